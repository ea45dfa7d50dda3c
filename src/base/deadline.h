// deadline.h: the moment by which an answer is wanted; passed down, so that nested waits share it.
#pragma once
#include <chrono>

namespace halogen {

using std::chrono::steady_clock;

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
