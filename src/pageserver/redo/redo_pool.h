// redo_pool.h: a few redo processes behind the Redo interface.
//
// A keeper thread starts processes ahead of need, so that a read waits for one only when all
// max_processes are busy; it ends those beyond the first that have been idle for long. A process
// that dies, fails or overruns is replaced; what it worked on is tried once more on another.
//
// Writes to a process that has died raise SIGPIPE: the constructor makes this program ignore it.
#pragma once
#include <chrono>
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
    int max_processes = 2;
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

  // For tests: the processes that are ready and idle.
  std::vector<pid_t> idle_pids() const;

 private:
  using Process = std::unique_ptr<RedoProcess>;
  struct Idle {
    Process process;
    steady_clock::time_point since;
  };

  std::string replay_step(const PageKey& key, Bytes request, Deadline deadline);
  Process acquire(Deadline deadline);
  void release(Process process);
  void discard(Process process);
  void keep();
  bool wants_start() const REQUIRES(mutex_);
  void start_one() EXCLUDES(mutex_);
  std::vector<Process> take_expired() REQUIRES(mutex_);

  const Options options_;
  mutable Mutex mutex_;
  CondVar idle_cv_;
  CondVar keeper_cv_;
  std::vector<Idle> idle_ GUARDED_BY(mutex_);  // The last used is last, and used next.
  int processes_ GUARDED_BY(mutex_) = 0;       // Idle, busy and starting.
  int started_ GUARDED_BY(mutex_) = 0;         // Ever: names directories.
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::string start_error_ GUARDED_BY(mutex_);  // Of the last start, if it failed.
  steady_clock::time_point retry_at_ GUARDED_BY(mutex_);
  std::thread keeper_;
};

}  // namespace halogen::pageserver
