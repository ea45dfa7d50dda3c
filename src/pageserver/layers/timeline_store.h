// timeline_store.h: the Store of one timeline on disk: open memory layer -> frozen memory layers ->
// layer files, newest first -> the ancestor at or below the branch point.
//
// Life of a version: put() into the open layer; freeze (by size, or on request) at a record's end;
// the store's own thread writes the frozen layer to a file, then the manifest (the commit point),
// and disk_consistent_lsn follows. Small files are later merged into larger ones. When the disk is
// full, frozen layers wait in memory and put() waits once there are too many: nothing is lost.
//
// Threads: one thread ingests (put, advance); a put by another thread fails with `conflict` if it
// comes too late. Everything else: any. Readers take an immutable View, no lock is held across I/O.
#pragma once
#include <atomic>
#include <chrono>
#include <thread>

#include "base/deadline.h"
#include "base/error.h"
#include "pageserver/layers/layer_memory.h"
#include "pageserver/layers/manifest.h"
#include "pageserver/layers/store.h"

namespace halogen::pageserver {

// Makes the page that a chain describes; used to keep chains short. Called from the store's thread.
using Reconstruct = std::function<std::string(const PageKey& key, const Chain& chain)>;

class TimelineStore : public Store, private LayerMemory::Holder {
 public:
  struct Options {
    size_t freeze_bytes = 64 << 20;  // Of the open layer.
    size_t max_frozen = 3;           // put() waits while more layers than this wait for the disk.
    size_t image_after_deltas = 32;  // A flush ends longer chains with an image.
    size_t merge_files = 8;          // That many files of one level become one of the next.
    uint64_t max_merge_bytes = uint64_t{8} << 30;
    std::chrono::milliseconds first_retry{500};  // After a failed flush; doubles up to the next.
    std::chrono::milliseconds last_retry{15000};
    std::shared_ptr<LayerCache> layer_cache;  // Required.
    // Shared by all stores of a process; by default without a limit.
    std::shared_ptr<LayerMemory> memory = std::make_shared<LayerMemory>(INT64_MAX);
    Reconstruct reconstruct;  // None: no images are added.
  };

  // Makes the folder and the first manifest, durably: the timeline exists from then on.
  static void create(const fs::path& folder, const Manifest& manifest);

  // Opens `folder`, removing what its manifest does not name. `ancestor` as the manifest says.
  TimelineStore(Options options, fs::path folder, std::shared_ptr<const TimelineStore> ancestor);
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

  // Freezes what is in memory and waits until it is in files. timed_out, unavailable.
  void flush(Deadline deadline);
  // Freezes the open layer if it has held something for longer than `age`; does not wait.
  void freeze_older_than(steady_clock::duration age);
  // Gives back the thread and what is open of layer files, until there is work again. False, and
  // nothing is given back, while there is some.
  bool rest();
  // From now on wait_for_lsn throws `cancelled` rather than wait, here or for an ancestor, and
  // flushes make no more images.
  void cancel_waits();
  // So do all waiting calls. Ends the store's thread.
  void stop();

  Lsn disk_consistent_lsn() const { return Lsn(disk_consistent_.load()); }
  // As of the last commit.
  Manifest manifest() const;
  uint64_t memory_bytes() const;
  const fs::path& folder() const { return folder_; }
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
    std::shared_ptr<const MemoryLayer> open;
    std::vector<Frozen> frozen;
    std::vector<std::shared_ptr<LayerFile>> files;
  };

  bool wait_arrived(Lsn lsn, Deadline deadline) const;
  std::shared_ptr<const View> view() const;
  // Newest first, through layers and ancestors, until `visit` stops.
  bool walk(const Key& key, Lsn lsn, Lsn known, const VisitVersion& visit) const;
  static bool walk_files(const View& view, const Key& key, Lsn lsn, Lsn known,
                         const VisitVersion& visit);
  std::vector<std::pair<Key, Value>> newest(const Key& first, const Key& last, Lsn lsn) const;

  uint64_t freeze() REQUIRES(write_mutex_);
  void freeze_within_record() REQUIRES(write_mutex_);
  void move_to_frozen(Lsn end, bool whole) REQUIRES(write_mutex_, mutex_);
  bool has_room() const REQUIRES(mutex_);
  void wait_for_room();
  uint64_t open_bytes() const override { return open_bytes_; }
  void freeze_open_layer() override { freeze_older_than(steady_clock::duration(0)); }
  std::shared_ptr<LayerFile> layer_file(const LayerDesc& desc) const;
  static void count_layers(const Manifest& manifest, double sign);

  // timeline_store_flush.cc: the store's thread.
  void start_thread() REQUIRES(mutex_);
  void run();
  bool run_once(std::chrono::milliseconds& retry);
  void flush_oldest();
  std::optional<LayerDesc> write_layer(const Frozen& frozen, uint64_t id);
  std::string make_image(const MemoryLayer::KeyVersions& key, Lsn end) const;
  bool has_long_chain(const MemoryLayer::KeyVersions& key, Lsn end) const;
  void commit(const Manifest& next, const Frozen* flushed);
  void flush_pending();
  std::vector<std::shared_ptr<LayerFile>> merge_candidates() const REQUIRES(mutex_);
  void merge_pending();
  LayerDesc merge(const std::vector<std::shared_ptr<LayerFile>>& files, uint64_t id);
  void report_failure(const Error& error);
  void wait_before_retry(std::chrono::milliseconds delay);

  const Options options_;
  const fs::path folder_;
  const std::shared_ptr<const TimelineStore> ancestor_;
  TimelineId timeline_;
  Lsn ancestor_lsn_;

  std::atomic<uint64_t> last_record_ = 0;
  std::atomic<uint64_t> disk_consistent_ = 0;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> waits_cancelled_ = false;
  std::atomic<bool> failing_ = false;  // The last attempt to write failed.
  std::atomic<size_t> frozen_now_ = 0;
  std::atomic<uint64_t> open_bytes_ = 0;

  // Order: write_mutex_, then mutex_.
  Mutex write_mutex_;
  std::shared_ptr<MemoryLayer> open_ GUARDED_BY(write_mutex_);
  steady_clock::time_point open_since_ GUARDED_BY(write_mutex_);  // Of the first put.
  Lsn last_put_ GUARDED_BY(write_mutex_);
  Lsn frozen_end_ GUARDED_BY(write_mutex_);
  bool freeze_wanted_ GUARDED_BY(write_mutex_) = false;

  mutable Mutex mutex_;
  CondVar changed_;  // Work for the thread, room for put, progress of a flush.
  std::shared_ptr<const View> view_ GUARDED_BY(mutex_);
  Manifest manifest_ GUARDED_BY(mutex_);
  uint64_t freezes_ GUARDED_BY(mutex_) = 0;  // Ever made, and ever flushed.
  uint64_t flushes_ GUARDED_BY(mutex_) = 0;
  bool merging_off_ GUARDED_BY(mutex_) = false;
  bool working_ GUARDED_BY(mutex_) = false;  // The thread is not waiting for work.
  bool resting_ GUARDED_BY(mutex_) = false;  // It is to end.
  // manifest_ names files that hold a part of a record, so it is not on disk.
  bool within_record_ GUARDED_BY(mutex_) = false;
  std::thread thread_ GUARDED_BY(mutex_);

  mutable Mutex wait_mutex_;
  mutable CondVar arrived_;
  mutable std::atomic<int> waiters_ = 0;
};

}  // namespace halogen::pageserver
