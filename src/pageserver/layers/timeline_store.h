// timeline_store.h: the Store of one timeline on disk: open memory layer -> frozen memory layers ->
// runs of layer files, newest first -> the ancestor at or below the branch point.
//
// Life of a version: put() into the open layer; freeze (by size, or on request) at a record's end;
// the store's own thread writes the frozen layer to a run, then the manifest (the commit point),
// and disk_consistent_lsn follows. Runs are later merged (merge_plan.h), which forgets what
// set_retain() lets go. When the disk is full, frozen layers wait in memory and put() waits once
// there are too many: nothing is lost.
//
// Threads: one thread ingests (put, advance); a put by another thread fails with `conflict` if it
// comes too late. Everything else: any. Readers take an immutable View, no lock is held across I/O.
#pragma once
#include <atomic>
#include <chrono>
#include <thread>

#include "base/deadline.h"
#include "base/error.h"
#include "pageserver/layers/compactor.h"
#include "pageserver/layers/layer_memory.h"
#include "pageserver/layers/manifest.h"
#include "pageserver/layers/run.h"
#include "pageserver/layers/store.h"
#include "pageserver/layers/store_merger.h"
#include "protocol/archived.h"

namespace halogen::pageserver {

// Makes the page of a project that a chain describes; used to keep chains short. Called by flushes
// and merges.
using Reconstruct =
    std::function<std::string(TenantId tenant, const PageKey& key, const Chain& chain)>;

class TimelineStore : public Store,
                      private LayerMemory::Holder,
                      private Compactor::Client,
                      private StoreMerger::Owner {
 public:
  // The same for all stores of a process, which share it.
  struct Options {
    size_t freeze_bytes = 64 << 20;  // Of the open layer.
    size_t max_frozen = 3;           // put() waits while more layers than this wait for the disk.
    size_t image_after_deltas = 32;  // A flush ends longer chains with an image.
    MergeRules merging{};
    uint64_t file_bytes = 128 << 20;             // Of a file of a merged run, about.
    std::chrono::milliseconds first_retry{500};  // After a failed flush; doubles up to the next.
    std::chrono::milliseconds last_retry{15000};
    std::shared_ptr<LayerCache> layer_cache;  // Required.
    // Where an object store has copies of layer files. Null: all stay here.
    std::shared_ptr<LocalLayers> local_layers;
    // By default without a limit.
    std::shared_ptr<LayerMemory> memory = std::make_shared<LayerMemory>(INT64_MAX);
    std::shared_ptr<Compactor> compactor = std::make_shared<Compactor>();
    Reconstruct reconstruct;  // None: no images are added.
    // Told when another manifest of a timeline is on disk; must not block.
    std::function<void(TimelineId)> committed;
  };

  // Makes the folder and the first manifest, durably: the timeline exists from then on.
  static void create(const fs::path& folder, const Manifest& manifest);

  // Opens `folder`, removing what its manifest does not name. `ancestor` as the manifest says.
  TimelineStore(std::shared_ptr<const Options> options, const fs::path& folder,
                std::shared_ptr<const TimelineStore> ancestor);
  // Drops what is in memory: flush() first to keep it.
  ~TimelineStore() override;

  void put(Lsn lsn, std::span<const Put> puts) override;
  void advance(Lsn lsn) override;
  Lsn last_record_lsn() const override { return Lsn(last_record_.load()); }
  Chain collect(const Key& key, Lsn lsn) const override;
  void scan(const Key& first, const Key& last, Lsn lsn,
            const std::function<void(const Key&, const Value&)>& visit) const override;

  // As collect, for a caller who knows the key's state as of `known`: only versions above it.
  Chain collect_above(const Key& key, Lsn lsn, Lsn known) const;

  // Until last_record_lsn >= lsn, here; and below that the ancestors have their part. timed_out.
  void wait_for_lsn(Lsn lsn, Deadline deadline) const;
  bool arrived(Lsn lsn) const;
  // Whether somebody waits for WAL of this timeline.
  bool awaited() const { return waiters_ > 0; }

  // From now on only what `retain` names can be read: other reads throw `gone`, and merges forget
  // what only they need. The horizon never goes back, nor beyond disk_consistent_lsn; points that
  // cannot be read any more are left out.
  void set_retain(RetainSet retain);
  // Whether set_retain(retain) could change nothing: all is in the base run, and was merged for it.
  bool has_history() const;
  // Whether runs are merged, or about to be.
  bool merging() const;
  // Goes on with merges that were under way, from when `reconstruct` may be called.
  void resume_merging();
  // Whether a read at `lsn` finds history, here and in the ancestors.
  bool readable(Lsn lsn) const;
  // Everything from here on is readable, up to the newest.
  Lsn oldest_readable() const;

  struct Sizes {
    uint64_t own = 0;      // Bytes of layer files.
    uint64_t history = 0;  // Of these, about: versions that newer ones have superseded.
    uint64_t shared = 0;   // Bytes of ancestors' files that it stands on.
    size_t files = 0;
    size_t runs = 0;  // A read looks into as many files, at most.
  };
  Sizes sizes() const;

  // Freezes what is in memory and waits until it is in files. timed_out, unavailable.
  void flush(Deadline deadline);
  // Freezes the open layer if it has held something for longer than `age`; does not wait.
  void freeze_older_than(steady_clock::duration age);
  // Gives back the thread and what is open of layer files, until there is work again. False, and
  // nothing is given back, while there is some, merges included.
  bool rest();
  // From now on wait_for_lsn throws `cancelled` rather than wait, here or for an ancestor, and
  // flushes make no more images.
  void cancel_waits();
  // So do all waiting calls. Ends the store's thread, and merging.
  void stop();

  Lsn disk_consistent_lsn() const { return Lsn(disk_consistent_.load()); }
  fs::path folder() const { return folder_; }
  TenantId tenant() const { return tenant_; }
  TimelineId timeline() const { return timeline_; }
  uint32_t major() const { return major_; }  // Of PostgreSQL.
  Lsn start_lsn() const { return start_lsn_; }
  // As of the last commit.
  Manifest manifest() const;
  // The same, with its files; nullopt while a record is being written.
  std::optional<StoredTimeline> stored() const;
  uint64_t memory_bytes() const;
  const std::shared_ptr<const TimelineStore>& ancestor() const { return ancestor_; }
  Lsn ancestor_lsn() const { return ancestor_lsn_; }

 private:
  struct Frozen {
    std::shared_ptr<const MemoryLayer> layer;  // May be empty: then only the LSN moves on.
    Lsn end;
    bool whole = true;  // False: its last record goes on in the next layer.
  };
  // All layers, each list newest first.
  struct View {
    std::shared_ptr<const MemoryLayer> open;  // Null: nothing has been put into it.
    std::vector<Frozen> frozen;
    Runs runs;
    RetainSet retain;

    bool has_memory() const { return (open && !open->empty()) || !frozen.empty(); }
  };

  bool wait_arrived(Lsn lsn, Deadline deadline) const;
  std::shared_ptr<const View> view() const;
  // Newest first, through layers and ancestors, until `visit` stops. `gone` where only `any` reads.
  enum class Reads { retained, any };
  bool walk(const Key& key, Lsn lsn, Lsn known, const VisitVersion& visit,
            Reads reads = Reads::retained) const;
  static bool walk_runs(const View& view, const Key& key, Lsn lsn, Lsn known,
                        const VisitVersion& visit);
  bool has_own(const View& view, Lsn lsn) const;
  void require_own(const View& view, Lsn lsn) const;
  Chain collect_any(const Key& key, Lsn lsn) const;
  std::vector<std::pair<Key, Value>> newest(const Key& first, const Key& last, Lsn lsn) const;

  Manifest manifest_now() const REQUIRES(mutex_);
  void join_memory();
  void leave_memory();
  void begin_open_layer() REQUIRES(write_mutex_);
  bool is_open_empty() const REQUIRES(write_mutex_) { return !open_ || open_->empty(); }
  uint64_t freeze() REQUIRES(write_mutex_);
  void freeze_within_record() REQUIRES(write_mutex_);
  void move_to_frozen(Lsn end, bool whole) REQUIRES(write_mutex_, mutex_);
  bool has_room() const REQUIRES(mutex_);
  void wait_for_room();
  uint64_t open_bytes() const override { return open_bytes_; }
  void freeze_open_layer() override { freeze_older_than(steady_clock::duration(0)); }
  std::shared_ptr<LayerFile> layer_file(const LayerDesc& desc, bool is_here = true) const;
  static void count_layers(const Runs& runs, double sign);

  // For the merger.
  std::optional<std::chrono::milliseconds> compact_once() override;
  Runs runs() const override { return view()->runs; }
  RetainSet retain() const override { return view()->retain; }
  uint64_t next_layer_id() override;
  Chain collect_kept(const Key& key, Lsn lsn) const override { return collect_any(key, lsn); }
  Chain collect_inherited(const Key& key) const override;
  void commit_runs(const std::function<void(Runs&)>& edit) override;
  std::string make_page(const PageKey& key, const Chain& chain) const override;
  void pause() const override;
  void make_merger(const RetainSet& merged);
  bool merge_wanted() const REQUIRES(mutex_);
  void request_merge() REQUIRES(mutex_);

  // timeline_store_flush.cc: the store's thread.
  void start_thread() REQUIRES(mutex_);
  void run();
  bool run_once(std::chrono::milliseconds& retry);
  void flush_oldest();
  void write_layer(const Frozen& frozen, RunWriter& writer);
  std::string make_image(const MemoryLayer::KeyVersions& key, Lsn end) const;
  bool has_long_chain(const MemoryLayer::KeyVersions& key, Lsn end) const;
  void commit(const std::function<void(Runs&)>& edit, const Frozen* flushed)
      REQUIRES(commit_mutex_);
  void take_over(Runs runs, const Frozen* flushed);
  Runs with_files(Runs runs) const;
  void flush_pending();
  void report_failure(const Error& error);
  void wait_before_retry(std::chrono::milliseconds delay);

  // There are many of us at rest, so what is only needed at work is made then.
  const std::shared_ptr<const Options> options_;
  const std::string folder_;  // No path: that keeps all its parts.
  const std::shared_ptr<const TimelineStore> ancestor_;
  TimelineId timeline_;
  TenantId tenant_;
  Lsn ancestor_lsn_;
  Lsn start_lsn_;
  uint32_t major_ = 0;

  std::atomic<uint64_t> last_record_ = 0;
  std::atomic<uint64_t> disk_consistent_ = 0;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> waits_cancelled_ = false;
  std::atomic<bool> failing_ = false;    // The last attempt to write failed.
  std::atomic<bool> in_memory_ = false;  // Has joined options_->memory.
  mutable std::atomic<int> waiters_ = 0;
  std::atomic<size_t> frozen_now_ = 0;
  std::atomic<uint64_t> open_bytes_ = 0;

  // Order: write_mutex_ or commit_mutex_, then mutex_.
  // Held while a manifest is written, by the store's thread or the compactor's; nobody else takes
  // it.
  Mutex commit_mutex_;
  Mutex write_mutex_;
  std::shared_ptr<MemoryLayer> open_ GUARDED_BY(write_mutex_);    // As the view's.
  steady_clock::time_point open_since_ GUARDED_BY(write_mutex_);  // Of the first put.
  Lsn last_put_ GUARDED_BY(write_mutex_);
  Lsn frozen_end_ GUARDED_BY(write_mutex_);
  bool freeze_wanted_ GUARDED_BY(write_mutex_) = false;

  mutable Mutex mutex_;
  CondVar changed_;  // Work for the thread, room for put, progress of a flush.
  mutable CondVar arrived_;
  std::shared_ptr<const View> view_ GUARDED_BY(mutex_);
  uint64_t next_id_ GUARDED_BY(mutex_) = 1;  // Of the next layer file.
  uint64_t freezes_ GUARDED_BY(mutex_) = 0;  // Ever made, and ever flushed.
  uint64_t flushes_ GUARDED_BY(mutex_) = 0;
  bool merging_off_ GUARDED_BY(mutex_) = false;
  bool merging_ GUARDED_BY(mutex_) = false;   // A step runs.
  std::chrono::milliseconds merge_retry_{0};  // Only the compactor's.
  bool working_ GUARDED_BY(mutex_) = false;   // The thread is not waiting for work.
  bool resting_ GUARDED_BY(mutex_) = false;   // It is to end.
  // The view has files that hold a part of a record, so no manifest on disk names them.
  bool within_record_ GUARDED_BY(mutex_) = false;
  std::thread thread_ GUARDED_BY(mutex_);
  std::unique_ptr<StoreMerger> merger_;  // Null until there is a run. Its steps: the compactor's.
};

}  // namespace halogen::pageserver
