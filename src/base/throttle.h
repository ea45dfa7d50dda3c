// throttle.h: for log lines that a stranger can cause: one a second, so that he fills no log.
#pragma once
#include <atomic>
#include <chrono>

#include "base/deadline.h"

namespace halogen {

class Throttle {
 public:
  // True at most once a second. Safe from any thread.
  bool allow() {
    const auto now = steady_clock::now().time_since_epoch().count();
    auto next = next_.load(std::memory_order_relaxed);
    constexpr auto kSecond = steady_clock::duration(std::chrono::seconds(1)).count();
    return now >= next && next_.compare_exchange_strong(next, now + kSecond);
  }

 private:
  std::atomic<std::chrono::steady_clock::rep> next_ = 0;
};

}  // namespace halogen
