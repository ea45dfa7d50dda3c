// redo_pool.h: a few redo processes behind the Redo interface.
//
// A keeper thread starts processes ahead of need, so that a read waits for one only when all
// max_processes are busy or other tenants', or when it comes while no work is expected; it ends
// those that have been idle for long. A process that dies, fails or overruns is replaced; what it
// worked on is tried again on others.
//
// A process works for the tenant that it was first used for until it ends: a record that has got
// the better of Postgres' redo routines (the sandbox holds) must not touch another tenant's pages.
//
// Writes to a process that has died raise SIGPIPE: the constructor makes this program ignore it.
#pragma once
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "pageserver/redo/redo.h"
#include "pageserver/redo/redo_process.h"

namespace halogen::pageserver {

class RedoPool : public Redo {
 public:
  struct Options {
    RedoProcessOptions process;
    fs::path scratch;  // Made if missing. Ours alone; leftovers of an earlier run are removed.
    int max_processes = 4;
    std::chrono::milliseconds idle_timeout = std::chrono::minutes(1);
    // A request never takes longer, whatever its deadline.
    std::chrono::milliseconds request_timeout = std::chrono::seconds(30);
  };

  // Returns at once; the first process is ready about 30 ms later. Throws io.
  explicit RedoPool(Options options);
  // No replay may be running.
  ~RedoPool() override;

  // Records must be in ascending order and newer than the base, or it is corrupt.
  std::string replay(const PageKey& key, std::optional<Bytes> base,
                     std::span<const RedoRecord> records, Deadline deadline) override;
  void expect_work(bool expected) override EXCLUDES(mutex_);
  Redo& of(TenantId tenant) override;

  // For tests: the processes that are ready and idle, or those of them that are one tenant's.
  std::vector<pid_t> idle_pids(std::optional<TenantId> owner = {}) const;

 private:
  using Process = std::unique_ptr<RedoProcess>;
  struct Idle {
    Process process;
    std::optional<TenantId> owner;  // None yet: a spare.
    steady_clock::time_point since;
  };
  class OfTenant;

  std::string replay_for(TenantId tenant, const PageKey& key, std::optional<Bytes> base,
                         std::span<const RedoRecord> records, Deadline deadline);
  std::string replay_step(TenantId tenant, const PageKey& key, Bytes request, Deadline deadline);
  Process acquire(TenantId tenant, Deadline deadline);
  // The tenant's own, else a spare; null if there is neither.
  Process take_idle(TenantId tenant) REQUIRES(mutex_);
  // Where all there may be are taken and idle ones are other tenants', the longest idle goes.
  void make_room() REQUIRES(mutex_);
  void release(Process process, TenantId tenant);
  void discard(Process process);
  bool has_spare() const REQUIRES(mutex_);
  void keep();
  bool wants_start() const REQUIRES(mutex_);
  void start_one() EXCLUDES(mutex_);
  std::vector<Process> take_expired() REQUIRES(mutex_);

  const Options options_;
  mutable Mutex mutex_;
  CondVar idle_cv_;
  CondVar keeper_cv_;
  std::map<TenantId, std::unique_ptr<OfTenant>> tenants_ GUARDED_BY(mutex_);
  std::vector<Idle> idle_ GUARDED_BY(mutex_);        // The last used is last, and used next.
  std::vector<Process> evicted_ GUARDED_BY(mutex_);  // For the keeper to end.
  int processes_ GUARDED_BY(mutex_) = 0;             // Idle, busy, starting and evicted.
  int started_ GUARDED_BY(mutex_) = 0;               // Ever: names directories.
  int waiting_ GUARDED_BY(mutex_) = 0;               // Requests without a process.
  bool expects_work_ GUARDED_BY(mutex_) = true;      // Else no spare is kept.
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::string start_error_ GUARDED_BY(mutex_);            // Of the last start, if it failed.
  steady_clock::time_point start_at_ GUARDED_BY(mutex_);  // Not before.
  std::thread keeper_;
};

}  // namespace halogen::pageserver
