#include "control/alarms.h"

#include <chrono>
#include <utility>

namespace halogen::control {

void Alarms::set(steady_clock::time_point at, std::function<void()> call) {
  MutexLock lock(mutex_);
  if (stopping_) return;
  const bool earliest = alarms_.empty() || at < alarms_.top().at;
  alarms_.push({at, std::move(call)});
  if (earliest) changed_.notify_one();
}

void Alarms::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void Alarms::run() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    const auto now = steady_clock::now();
    if (alarms_.empty() || alarms_.top().at > now) {
      changed_.wait_until(mutex_, alarms_.empty() ? now + std::chrono::hours(1) : alarms_.top().at);
      continue;
    }
    // The queue gives no way to move out of it; the order does not look at the call.
    std::function<void()> call = std::move(const_cast<Alarm&>(alarms_.top()).call);
    alarms_.pop();
    mutex_.unlock();
    call();
    call = nullptr;
    mutex_.lock();
  }
}

}  // namespace halogen::control
