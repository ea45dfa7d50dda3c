// deadline.h: the moment by which an answer is wanted; passed down, so that nested waits share it.
#pragma once
#include <chrono>

namespace halogen {

// Time as it passes for this thread: the machine's, unless a simulation sets it.
class SteadyClock {
 public:
  using duration = std::chrono::steady_clock::duration;
  using rep = std::chrono::steady_clock::rep;
  using period = std::chrono::steady_clock::period;
  using time_point = std::chrono::steady_clock::time_point;
  static constexpr bool is_steady = true;

  static time_point now() {
    return simulated_ == time_point() ? std::chrono::steady_clock::now() : simulated_;
  }
  // From now on it is this late for the calling thread; time_point() ends that.
  static void simulate(time_point now) { simulated_ = now; }

 private:
  static inline constinit thread_local time_point simulated_{};
};
using steady_clock = SteadyClock;

class Deadline {
 public:
  static Deadline after(steady_clock::duration duration) {
    return Deadline(steady_clock::now() + duration);
  }
  static Deadline never() { return Deadline(steady_clock::time_point::max()); }

  bool passed() const { return steady_clock::now() >= at_; }
  steady_clock::time_point at() const { return at_; }
  // Not below zero; for poll(2), use min(left(), ...) since never() is far away.
  std::chrono::milliseconds left() const {
    if (at_ == steady_clock::time_point::max()) return std::chrono::hours(24);
    auto rest = std::chrono::ceil<std::chrono::milliseconds>(at_ - steady_clock::now());
    return rest.count() > 0 ? rest : std::chrono::milliseconds(0);
  }

 private:
  explicit Deadline(steady_clock::time_point at) : at_(at) {}
  steady_clock::time_point at_;
};

}  // namespace halogen
