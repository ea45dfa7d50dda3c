// timeline.h: one branch's WAL and the compute that may add to it.
//
// Threads: every call is safe from any. Calls that change who writes (begin_term, pull,
// write_in_place, stop_pull) run one after the other; the inflow's thread is the store's writer
// while one is on.
#pragma once
#include <memory>
#include <optional>

#include "base/mutex.h"
#include "protocol/safekeeper_admin.h"
#include "safekeeper/acceptor.h"
#include "safekeeper/inflow.h"
#include "safekeeper/wal_store.h"

namespace halogen::safekeeper {

class Timeline {
 public:
  explicit Timeline(WalStore::Options options);
  ~Timeline();

  WalStore& store() { return store_; }

  // See SafekeeperAdmin for these.
  TermStart begin_term(uint64_t term);
  void pull(uint64_t term, const WalSource& source);
  InPlaceAccess write_in_place(uint64_t term, UniqueFd folder);
  void stop_pull(uint64_t term);
  Lsn catch_up();
  WalStatus status() const;
  // No compute adds to it, and it can be closed and opened again: it has no damage to remember.
  bool idle();

  // Ends the pull and all readers, for good.
  void stop();

 private:
  // Appends for one term, as long as that lasts.
  class TermSink;

  void end_inflow() REQUIRES(writer_mutex_);
  // Ends the inflow there is. Throws unless the compute of `term` may write.
  void admit(uint64_t term) REQUIRES(writer_mutex_);
  void set_problem(const std::string& why) EXCLUDES(mutex_);
  void check_open() REQUIRES(writer_mutex_);
  Verdict may_append(uint64_t term, Lsn at, Lsn end) const EXCLUDES(mutex_);
  [[noreturn]] void refuse(Verdict verdict, uint64_t term) const EXCLUDES(mutex_);

  WalStore store_;
  // Held while the writer changes hands, I/O included: that is what it is for.
  Mutex writer_mutex_;
  std::unique_ptr<TermSink> sink_ GUARDED_BY(writer_mutex_);
  std::unique_ptr<Inflow> inflow_ GUARDED_BY(writer_mutex_);
  bool stopped_ GUARDED_BY(writer_mutex_) = false;

  mutable Mutex mutex_;
  Acceptor acceptor_ GUARDED_BY(mutex_);
  std::string problem_ GUARDED_BY(mutex_);
};

}  // namespace halogen::safekeeper
