// follower.h: where a timeline's WAL comes in: its ingest, with the metadata of the newest LSN in
// memory, and the receiver that feeds it.
//
// Both are there only while they are needed: from wake() on, until all the WAL there is has been
// taken and written to files, and no compute can add to it. A timeline at rest costs no thread, no
// connection and no memory but its own. WAL that comes later than that is on the safekeeper, and
// whoever can wait for it wakes the timeline first.
//
// Threads: any.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "pageserver/timeline.h"
#include "pageserver/wal_receiver.h"
#include "protocol/skeleton.h"

namespace halogen::pageserver {

class Ingest;

// A safekeeper.
struct WalSource {
  std::string host;  // A unix socket folder.
  int port = 0;

  bool operator==(const WalSource&) const = default;
};

class Follower {
 public:
  struct Options {
    // What is in memory for longer is flushed, though it is little.
    std::chrono::seconds flush_interval{300};
    // The password by which a safekeeper gives a timeline's WAL: good for one connection.
    std::function<std::string(TimelineId)> wal_password = [](TimelineId) { return std::string(); };
    // How far the safekeeper has a timeline's WAL. It may lag while the timeline is at rest there,
    // too. None: that is not known, so every timeline is followed for ever.
    std::function<Lsn(TimelineId)> wal_end;
    // How long after there was something to do for it a timeline comes to rest.
    std::chrono::milliseconds rest_after{30000};
  };

  // `options` must outlive it.
  Follower(Timeline& timeline, const Options& options) : timeline_(timeline), options_(options) {}
  // As stop(): the store must be stopped before, as it may be full.
  ~Follower();
  Follower(const Follower&) = delete;
  Follower& operator=(const Follower&) = delete;

  // Where its WAL comes from; replaces the source there was.
  void set_source(std::shared_ptr<const WalSource> source) EXCLUDES(mutex_, change_mutex_);
  bool has_source(const WalSource& source) EXCLUDES(change_mutex_);
  // Whether the safekeeper has WAL that is not here.
  bool is_behind();
  // Follows the source, if there is one, and does not yet. Returns whether it has begun now.
  bool wake() EXCLUDES(mutex_, change_mutex_);
  // For the owner to call about once a second while it is awake. `in_use`: whether a compute may
  // add WAL. True: it is at rest.
  bool rest_if_idle(const std::function<bool()>& in_use) EXCLUDES(mutex_, change_mutex_);
  bool awake() const EXCLUDES(mutex_);

  void request_stop();
  // True once no more WAL comes.
  bool wait_ended(Deadline deadline);
  void stop();

  // Everything but hot pages. `lsn` is a record's end that has arrived.
  Skeleton skeleton(Lsn lsn, Deadline deadline);
  // conflict if `lsn` is not the end of the WAL there is.
  void put_file(Lsn lsn, const std::string& path, std::string content);
  // 0 while it cannot be known: the ancestor's WAL has yet to come, or files from the object store.
  uint64_t logical_bytes();
  // Without reading anything.
  std::optional<uint64_t> known_logical_bytes() EXCLUDES(mutex_);

 private:
  std::shared_ptr<Ingest> ingest(Deadline deadline) EXCLUDES(mutex_);
  std::shared_ptr<WalReceiver> receiver() const EXCLUDES(mutex_);
  std::shared_ptr<WalReceiver> start_receiver() REQUIRES(change_mutex_);
  bool has_all(const WalReceiver& receiver) const;

  Timeline& timeline_;
  const Options& options_;
  Mutex change_mutex_;  // Held while it wakes or comes to rest, the receiver's end included.
  std::shared_ptr<const WalSource> source_ GUARDED_BY(change_mutex_);  // Null: there is none.
  bool stopped_ GUARDED_BY(change_mutex_) = false;
  steady_clock::time_point idle_since_ GUARDED_BY(change_mutex_);
  mutable Mutex mutex_;
  std::shared_ptr<Ingest> ingest_ GUARDED_BY(mutex_);
  std::shared_ptr<WalReceiver> receiver_ GUARDED_BY(mutex_);
  std::optional<std::pair<Lsn, uint64_t>> logical_ GUARDED_BY(mutex_);  // Bytes as of an LSN.
};

}  // namespace halogen::pageserver
