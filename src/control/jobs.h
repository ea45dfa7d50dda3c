// jobs.h: a fixed number of threads that run jobs in the order they came.
#pragma once
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace halogen::control {

class Jobs {
 public:
  explicit Jobs(size_t threads);
  ~Jobs();
  Jobs(const Jobs&) = delete;
  Jobs& operator=(const Jobs&) = delete;

  // A job must catch its own errors. Returns false, and drops it, after stop().
  bool add(std::function<void()> job);
  // Runs what has been added, then ends the threads.
  void stop();

 private:
  void work();

  Mutex mutex_;
  CondVar changed_;
  std::deque<std::function<void()>> queue_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace halogen::control
