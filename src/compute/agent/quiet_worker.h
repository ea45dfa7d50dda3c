// quiet_worker.h: does what wakes need done ahead, or leave behind, when none is under way.
//
// A background thread that takes only processor time nobody else wants, and begins a job a second
// after the last one was posted: a wake or a suspend posts what it leaves to do. Safe from any
// thread.
#pragma once
#include <chrono>
#include <functional>
#include <string>

#include "base/mutex.h"
#include "compute/agent/worker.h"

namespace halogen::compute {

class QuietWorker {
 public:
  // `name` is the thread's (15 characters).
  explicit QuietWorker(std::string name);
  // Jobs that have not begun are dropped.
  ~QuietWorker();

  void post(std::function<void()> job);
  // Does not wait for quiet: for the start, when nothing is awake yet.
  void post_now(std::function<void()> job);
  // Waits until all that was posted is done, at once; for tests.
  void settle();

 private:
  void wait_for_quiet();
  bool stopping();

  Mutex mutex_;
  CondVar changed_;
  std::chrono::steady_clock::time_point last_use_ GUARDED_BY(mutex_);
  size_t settling_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
  Worker worker_;  // Last: its jobs use the rest.
};

}  // namespace halogen::compute
