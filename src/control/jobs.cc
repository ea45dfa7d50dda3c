#include "control/jobs.h"

#include <utility>

namespace halogen::control {

Jobs::Jobs(size_t threads) {
  for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

Jobs::~Jobs() { stop(); }

bool Jobs::add(std::function<void()> job) {
  MutexLock lock(mutex_);
  if (stopping_) return false;
  queue_.push_back(std::move(job));
  changed_.notify_one();
  return true;
}

void Jobs::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  for (std::thread& thread : threads_)
    if (thread.joinable()) thread.join();
}

void Jobs::work() {
  for (;;) {
    std::function<void()> job;
    {
      MutexLock lock(mutex_);
      while (queue_.empty() && !stopping_) changed_.wait(mutex_);
      if (queue_.empty()) return;
      job = std::move(queue_.front());
      queue_.pop_front();
    }
    job();
  }
}

}  // namespace halogen::control
