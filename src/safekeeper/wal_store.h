// wal_store.h: one timeline's WAL on disk: appended, made durable in groups, read, cut, trimmed.
//
// Only what has been fsynced counts: readers, status and acknowledgements never see more. Behind
// the end of the log every stored byte is zero, so that nobody takes old bytes for WAL; what a
// crash left behind the last good record is zeroed when the store is opened.
//
// Damage below what was acknowledged is never taken for the end of the log. A damaged store cuts,
// zeroes and removes nothing; it can be read up to the damage, and writing is refused (corrupt).
//
// Threads: the calls under "writer" are for one thread at a time (the owner hands it over); the
// rest are for any. prepare_ahead() is for a background thread, asked for through `want_space`.
// Errors: Errc::io when the disk is full or fails to write; a failed fsync ends the process.
#pragma once
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/mutex.h"
#include "safekeeper/durable_state.h"
#include "safekeeper/record_scan.h"
#include "safekeeper/segment_files.h"

namespace halogen::safekeeper {

class WalStore {
 public:
  class Reader;

  struct Options {
    fs::path folder;
    // Called by the writer when prepare_ahead() should run soon. Must not block.
    std::function<void()> want_space;
    // Called by the writer when save_flushed() should run within about a second. Must not block.
    std::function<void()> want_save;
    // Told when a term begins below what was flushed, before anything is written there.
    std::function<void(Lsn end)> on_cut{};
    // For tests: called before "sync", "allocate" and "save" and after "read"; may throw or block.
    std::function<void(std::string_view step)> hook;
  };

  // A new folder with an empty log that begins at `state.start`. All or nothing.
  static void create(const fs::path& folder, const DurableState& state);
  // Opens and verifies; cuts a torn tail. Errc::corrupt if the state cannot be read.
  explicit WalStore(Options options);
  ~WalStore();

  const DurableState& identity() const { return identity_; }  // Only what never changes.
  uint64_t term() const;

  // ---- Writer ----
  Lsn end() const { return written_; }
  // Adds to the end of the log. Not durable before flush(). Throws corrupt if the log is damaged.
  void append(Bytes wal);
  // All that was appended is on disk when it returns; wakes who waits for it. The new end.
  Lsn flush();
  // Forgets what was appended and not flushed.
  void discard_unflushed() { written_ = flushed(); }
  // Where the log ends if it was written in place, until take() says so: the records that follow
  // one another behind `before`, up to `limit` and to where there is room.
  RecordWalk find_written(const std::optional<RecordPlace>& before, Lsn limit) const;
  // The log goes on to `end`, a record's end that find_written() has found. Unless that is known to
  // be on disk (`synced`) it is when this returns.
  void take(Lsn end, bool synced);
  // Sees to it that there is room for a writer in place that is at `written` and wants to go on to
  // `wanted`; how far there is. Throws io when the disk is full.
  Lsn keep_room(Lsn written, Lsn wanted);
  // Only that there is room up to `wanted`; how far there is.
  Lsn room_for(Lsn wanted);
  // A segment's name in the folder of a compute that writes in place.
  void link_segment(Lsn segment, int folder) const { files_.link(segment, folder); }
  // Nobody writes in place any more: what is behind the end of the log goes. Requires that
  // find_written() has ended at `walk`.
  void end_in_place(const RecordWalk& walk);
  // The last complete record, as known when the log was opened or last cut.
  std::optional<RecordPlace> last_record() const { return last_; }
  // Begins `term`: cuts the log at the end of its last complete record and returns that record;
  // without one the log is empty. Durable when it returns. Readers beyond the cut are ended.
  // Throws corrupt, and cuts nothing, if what was acknowledged is not whole.
  std::optional<RecordPlace> begin_term(uint64_t term);

  // ---- Any thread ----
  // Saves how far the log is flushed: the next opening holds all below for acknowledged.
  void save_flushed();
  // What is damaged, for people, clients included: it names no folder. Empty if nothing is known to
  // be.
  std::string damage() const;
  Lsn flushed() const;
  Lsn oldest() const;  // Nothing below is kept.
  // Throws timed_out, cancelled once the store is closed, corrupt if damage is before `lsn`.
  void wait_flushed(Lsn lsn, Deadline deadline);
  // [from, to), all of which must be kept and flushed.
  std::string read(Lsn from, Lsn to) const;
  // Removes segments wholly below `lsn`, but nothing that a Reader or begin_term() may need.
  void trim(Lsn lsn);
  // `written`: where a writer in place is.
  void prepare_ahead(Lsn written = kInvalidLsn);
  // Asks for prepare_ahead() before the first append needs it.
  void request_space() const {
    if (options_.want_space) options_.want_space();
  }
  // Ends all readers and waits; for good.
  void close();

 private:
  static constexpr Lsn kNever{~uint64_t{0}};

  void recover();
  RecordScan scan() const;
  std::optional<RecordPlace> cut(std::optional<RecordPlace> last, Lsn before, uint64_t term);
  bool lost_behind(const RecordWalk& tail) const;
  void set_damaged(const RecordWalk& walk) EXCLUDES(mutex_);
  void ensure_space(Lsn end) EXCLUDES(mutex_);
  void prepare(Lsn upto) EXCLUDES(mutex_);
  void sync_segments();
  void clear_behind(Lsn end) EXCLUDES(mutex_);
  void publish(Lsn flushed) EXCLUDES(mutex_);
  void wake_waiting() REQUIRES(mutex_);
  void end_readers_beyond(Lsn end) REQUIRES(mutex_);
  void save(const std::function<void(DurableState&)>& change) EXCLUDES(save_mutex_, state_mutex_);
  void run_hook(std::string_view step) const {
    if (options_.hook) options_.hook(step);
  }

  const Options options_;
  const SegmentFiles files_;
  StateFile state_file_;  // Guarded by save_mutex_ once open.
  const DurableState identity_;

  // The writer's own.
  Lsn written_;                      // The end of the log, flushed or not.
  Lsn high_water_;                   // Bytes from written_ to here may be other than zero.
  std::optional<RecordPlace> last_;  // See last_record().
  UniqueFd segment_;
  Lsn segment_at_;
  std::vector<UniqueFd> full_segments_;  // Written since the last flush, but for segment_.

  Mutex save_mutex_;           // Held across the write of the state file, and nothing else.
  mutable Mutex state_mutex_;  // After save_mutex_; never held across I/O.
  DurableState state_ GUARDED_BY(state_mutex_);

  mutable Mutex mutex_;
  CondVar changed_;
  Lsn flushed_ GUARDED_BY(mutex_);
  std::string damage_ GUARDED_BY(mutex_);
  bool save_wanted_ GUARDED_BY(mutex_) = false;
  Lsn wake_at_ GUARDED_BY(mutex_) = kNever;  // The least that anybody waits for.
  size_t waiting_ GUARDED_BY(mutex_) = 0;    // In wait_flushed().
  bool closed_ GUARDED_BY(mutex_) = false;
  std::list<Reader*> readers_ GUARDED_BY(mutex_);
  Lsn prepared_ GUARDED_BY(mutex_);  // Allocated on disk up to here; never below written_.
  bool preparing_ GUARDED_BY(mutex_) = false;
  bool space_wanted_ GUARDED_BY(mutex_) = false;
  uint64_t chunk_ GUARDED_BY(mutex_) = 256 * 1024;  // How much is allocated ahead at a time.
  steady_clock::time_point last_prepared_ GUARDED_BY(mutex_);
};

// Follows a store's flushed WAL from a position on; holds what it has not read against trim().
// A cut ends it if it is beyond, or is reading what is being cut.
// One thread uses it. The store must outlive it.
class WalStore::Reader {
 public:
  // Throws gone below what is kept, invalid_argument beyond what is flushed.
  Reader(WalStore& store, Lsn from);
  ~Reader();
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  Lsn position() const { return position_; }
  // Flushed WAL at the position, which moves behind it; 0 when there is none yet. Throws
  // cancelled when the log was cut below the position, or the store closed.
  size_t read(std::span<std::byte> into);
  // How much there is to read. Throws as read() does.
  uint64_t available();

  // event_fd() becomes readable once WAL up to `lsn` is flushed, or read() would throw.
  void wake_at(Lsn lsn);
  int event_fd() const { return event_.get(); }
  void clear_event();

 private:
  friend class WalStore;
  void notify();

  WalStore& store_;
  UniqueFd event_;
  UniqueFd segment_;
  Lsn segment_at_;
  Lsn position_;
  Lsn held_;            // The position that trim() sees; guarded by the store's mutex.
  Lsn reading_to_;      // The end of the read under way; guarded by the store's mutex.
  Lsn wake_at_;         // Guarded by the store's mutex.
  bool ended_ = false;  // Guarded by the store's mutex.
};

}  // namespace halogen::safekeeper
