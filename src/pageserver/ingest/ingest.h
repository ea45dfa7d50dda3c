// ingest.h: turns a timeline's WAL into versions of pages and metadata in its Store.
//
// Threads: feed and put_file are taken one at a time, in any thread; everything else is safe from
// any thread and never waits for I/O.
//
// After any exception everything that came before the offending record is stored and advanced to,
// and this Ingest is over: feed and put_file throw, skeleton_at() knows nothing. A new one goes on
// at last_record_lsn().
#pragma once
#include <functional>
#include <string>

#include "base/mutex.h"
#include "pageserver/ingest/apply.h"
#include "pageserver/ingest/change.h"
#include "pageserver/ingest/head.h"
#include "pageserver/ingest/skeleton.h"
#include "postgres/wal_reader.h"
#include "postgres/wal_record.h"

namespace halogen::pageserver {

// One page as of an LSN that has been advanced to: 8192 bytes. For CREATE DATABASE ... STRATEGY
// FILE_COPY, which copies pages that WAL does not carry.
using PageReader = std::function<std::string(const PageKey& key, Lsn lsn)>;

class Ingest {
 public:
  // `head` as of store.last_record_lsn().
  Ingest(Store& store, Head head, const MajorLayout& major, PageReader read_page);

  // WAL as it streams in, in pieces of any size: `start` is next_lsn(), or the end of the last
  // whole record to begin anew behind it. Errc::corrupt, or what Store and PageReader throw.
  void feed(Lsn start, Bytes wal) EXCLUDES(feeding_, mutex_);
  // Where the next feed goes on, maybe in the middle of a record.
  Lsn next_lsn() const EXCLUDES(feeding_);

  // Keeps a file that WAL does not carry, as of last_record_lsn; empty content removes it.
  void put_file(const std::string& path, std::string content) EXCLUDES(feeding_, mutex_);

  // The metadata after the last record taken, which may not yet be advanced to. The next
  // transaction id is exact.
  Lsn head_lsn() const EXCLUDES(mutex_);
  Skeleton skeleton() const EXCLUDES(mutex_);
  // The same if that is at `lsn`; else nothing, and the Store has to be asked.
  std::optional<Skeleton> skeleton_at(Lsn lsn) const EXCLUDES(mutex_);
  bool failed() const EXCLUDES(mutex_);
  uint64_t logical_bytes() const EXCLUDES(mutex_);
  CheckpointFields checkpoint() const EXCLUDES(mutex_);
  std::optional<uint32_t> relation_pages(const RelTag& tag) const EXCLUDES(mutex_);

 private:
  void take_all() REQUIRES(feeding_);
  void take(const WalRecordView& view) REQUIRES(feeding_);
  void take_long_message(const WalRecordView& view) REQUIRES(feeding_);
  void copy_pages(const DatabaseCopy& copy, Lsn end) REQUIRES(feeding_);
  template <typename Work>
  void or_fail(Work work) REQUIRES(feeding_);

  Store& store_;
  const MajorLayout& major_;
  const PageReader read_page_;

  mutable Mutex feeding_;  // Held while WAL is taken, I/O of the Store included.
  WalReader reader_ GUARDED_BY(feeding_);
  WalRecord record_ GUARDED_BY(feeding_);
  Lsn taken_ GUARDED_BY(feeding_);  // End of the last record that is in the Store whole.

  mutable Mutex mutex_;  // Never held across I/O.
  Head head_ GUARDED_BY(mutex_);
  Change change_ GUARDED_BY(mutex_);
  bool failed_ GUARDED_BY(mutex_) = false;  // The head may be half-changed.
};

}  // namespace halogen::pageserver
