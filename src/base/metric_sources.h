// metric_sources.h: series that come and go, told at render() by whoever keeps their numbers.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"

namespace halogen::metrics {

struct Series {
  Labels labels;
  double value = 0;
  // Of a histogram, in the order of the bounds; those above the last are in `count` only.
  std::vector<uint64_t> buckets;
  uint64_t count = 0;
  double sum = 0;
};

struct Family {
  enum class Kind { counter, gauge, histogram };
  Kind kind = Kind::gauge;
  std::string name;
  std::string help;
  std::vector<double> bounds;  // Of a histogram.
  std::vector<Series> series;
};

// Called by render(), on any thread, until the registration goes. No two may tell the same family.
using Source = std::function<std::vector<Family>()>;

class Registration {
 public:
  Registration() = default;
  explicit Registration(Source source);

 private:
  std::shared_ptr<Source> source_;
};

}  // namespace halogen::metrics
