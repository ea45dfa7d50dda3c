// step_times.h: how long each step of a wake or a suspend took, for one line in the log.
#pragma once
#include <fmt/core.h>

#include <chrono>
#include <string>

namespace halogen::compute {

class StepTimes {
 public:
  // The time since the last mark (or the beginning) was spent on `step`.
  void mark(const char* step) {
    auto now = std::chrono::steady_clock::now();
    text_ += fmt::format("{} {:.1f}, ", step, milliseconds(now - last_));
    last_ = now;
  }
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  // "term 0.3, skeleton 2.1, ready 40.2, total 43.0 ms"
  std::string str() const { return fmt::format("{}total {:.1f} ms", text_, seconds() * 1e3); }

 private:
  using Clock = std::chrono::steady_clock;
  static double milliseconds(Clock::duration d) {
    return std::chrono::duration<double, std::milli>(d).count();
  }
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_ = start_;
  std::string text_;
};

}  // namespace halogen::compute
