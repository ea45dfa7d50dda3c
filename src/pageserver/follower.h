// follower.h: where a timeline's WAL comes in: its ingest, with the metadata of the newest LSN in
// memory, and, once attached, the receiver that feeds it.
//
// The ingest is made at its first use, out of a scan of the store, so that opening many timelines
// is quick.
//
// Threads: any.
#pragma once
#include <memory>
#include <string>

#include "pageserver/timeline.h"
#include "pageserver/wal_receiver.h"
#include "protocol/skeleton.h"

namespace halogen::pageserver {

class Ingest;

class Follower {
 public:
  // The password by which a safekeeper gives a timeline's WAL: good for one connection.
  using WalPassword = std::function<std::string(TimelineId)>;

  // `flush_interval`: what is in memory for longer is flushed, though it is little.
  Follower(Timeline& timeline, std::chrono::seconds flush_interval, WalPassword wal_password);
  // As stop(): the store must be stopped before, as it may be full.
  ~Follower();
  Follower(const Follower&) = delete;
  Follower& operator=(const Follower&) = delete;

  // Replaces the source there was.
  void attach(const std::string& host, int port);
  void request_stop();
  // True once no more WAL comes.
  bool wait_ended(Deadline deadline);
  void stop();

  // Everything but hot pages. `lsn` is a record's end that has arrived.
  Skeleton skeleton(Lsn lsn, Deadline deadline);
  // conflict if `lsn` is not the end of the WAL there is.
  void put_file(Lsn lsn, const std::string& path, std::string content);
  // 0 while it cannot be known, as the ancestor's WAL has yet to come.
  uint64_t logical_bytes();

 private:
  std::shared_ptr<Ingest> ingest(Deadline deadline) EXCLUDES(mutex_);
  std::shared_ptr<WalReceiver> receiver() EXCLUDES(mutex_);

  Timeline& timeline_;
  const std::chrono::seconds flush_interval_;
  const WalPassword wal_password_;
  Mutex mutex_;
  std::shared_ptr<Ingest> ingest_ GUARDED_BY(mutex_);
  std::shared_ptr<WalReceiver> receiver_ GUARDED_BY(mutex_);
  Mutex attach_mutex_;  // One attach at a time; held while the old receiver ends.
};

}  // namespace halogen::pageserver
