// store_merger.h: merges a timeline's runs, and with that forgets what nobody can read any more.
//
// What a step has written counts once the owner's manifest names it, and no longer what it was made
// of: a crash at any moment leaves either.
//
// Threads: step() one at a time.
#pragma once
#include <atomic>
#include <functional>
#include <optional>
#include <set>
#include <string>

#include "pageserver/layers/merge_step.h"

namespace halogen::pageserver {

class StoreMerger {
 public:
  // The store, as far as it is needed here. Calls throw `cancelled` when it stops.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual Runs runs() const = 0;
    virtual RetainSet retain() const = 0;
    virtual uint64_t next_layer_id() = 0;
    // As Store::collect, also where nobody may read any more but this merge keeps what is there.
    virtual Chain collect_kept(const Key& key, Lsn lsn) const = 0;
    // What the ancestor has of `key`; empty if nothing, or there is no ancestor.
    virtual Chain collect_inherited(const Key& key) const = 0;
    // Makes `edit` the next state, durably. Layers without a file are opened.
    virtual void commit_runs(const std::function<void(Runs&)>& edit) = 0;
    virtual std::string make_page(const PageKey& key, const Chain& chain) const = 0;
    // Throws when it is time to end.
    virtual void pause() const = 0;
  };
  struct Options {
    MergeRules rules;
    std::string folder;  // Of layer files.
    TimelineId timeline;
    uint64_t file_bytes = 128 << 20;
    // A longer or larger chain becomes an image at the horizon and its points, and ends with one.
    size_t image_after_changes = 8;
    uint64_t image_after_bytes = 1024;
  };

  StoreMerger(Options options, Owner& owner, RetainSet merged)
      : options_(std::move(options)), owner_(owner), merged_(std::move(merged)) {}

  // Whether there is something to do.
  bool wanted(const Runs& runs, const RetainSet& retain) const {
    return plan_ || look_ || choose_merge(runs, retain, merged_, forgotten_, options_.rules);
  }
  // The horizon has moved on: more may be forgotten than is known. Any thread.
  void look() { look_ = true; }
  // Does a part of it. False: there was nothing.
  bool step();

 private:
  struct Sources {
    std::vector<RunPtr> inputs;
    RunPtr output;
  };
  bool begin();
  uint64_t bytes_forgotten() const;
  uint64_t bytes_of_file() const;
  Sources sources() const;
  void find_dropped(const Runs& runs);
  bool is_dropped(const Key& key) const;
  bool must_rewrite(const LayerDesc& file) const;
  Keeper::Rules rules();
  bool is_long(const Key& key, size_t changes, uint64_t bytes) const;
  std::optional<std::string> make_image(const Key& key, const Chain& chain);
  std::optional<std::string> shorten(const Key& key, Lsn read, const Chain& chain);
  void commit(const Sources& from, const MergeRange& range, RunWriter& writer,
              std::optional<Key> next);

  const Options options_;
  Owner& owner_;
  RetainSet merged_;  // What the base was last merged for.
  std::atomic<bool> look_ = false;
  uint64_t forgotten_ = 0;  // See choose_merge.

  // Of the merge that goes on.
  std::optional<MergePlan> plan_;
  RetainSet retain_;
  MergeProgress progress_;
  std::vector<std::pair<Key, Key>> dropped_pages_;  // Ranges of pages that nobody can read.
  std::set<Key> dropped_;                           // The metadata keys that say so.
  bool makes_images_ = true;
};

}  // namespace halogen::pageserver
