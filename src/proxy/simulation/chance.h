// chance.h: all that is left to chance in a simulation comes from one seed.
#pragma once
#include <chrono>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace halogen::proxy::simulation {

class Chance {
 public:
  explicit Chance(uint64_t seed) : engine_(seed) {}

  size_t below(size_t n) { return static_cast<size_t>(engine_() % n); }
  bool one_in(size_t n) { return below(n) == 0; }
  std::string of(const std::vector<std::string>& all) { return all[below(all.size())]; }
  // Mostly short, sometimes as long as this.
  std::chrono::milliseconds up_to(std::chrono::milliseconds most) {
    auto bound = static_cast<size_t>(most.count());
    size_t part = one_in(4) ? bound : bound / 20;
    return std::chrono::milliseconds(below(part + 1));
  }

 private:
  std::mt19937_64 engine_;  // The same numbers everywhere; the library's distributions are not.
};

}  // namespace halogen::proxy::simulation
