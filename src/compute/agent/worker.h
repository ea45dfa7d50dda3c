// worker.h: one background thread that runs jobs in the order they come.
#pragma once
#include <chrono>
#include <deque>
#include <functional>
#include <string>
#include <thread>

#include "base/mutex.h"

namespace halogen::compute {

class Worker {
 public:
  // `name` is the thread's (15 characters).
  explicit Worker(std::string name);
  // Runs what is queued, then ends.
  ~Worker();

  // A job that throws is logged as a warning; it must catch what it expects.
  void post(std::function<void()> job);
  // From now on runs `job` about that often too. Once, before others use the worker.
  void every(std::chrono::milliseconds period, std::function<void()> job);

 private:
  void run();
  std::function<void()> next();  // Empty: end.

  std::string name_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<std::function<void()>> jobs_ GUARDED_BY(mutex_);
  std::chrono::milliseconds period_ GUARDED_BY(mutex_){0};
  std::function<void()> periodic_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace halogen::compute
