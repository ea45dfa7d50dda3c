// rate_limit.h: how many requests an API key may make: so many a second, and a burst of them at
// once after a rest (token bucket).
//
// Threads: any.
#pragma once
#include <chrono>
#include <cmath>
#include <map>
#include <optional>

#include "base/deadline.h"
#include "base/mutex.h"

namespace halogen::control::api {

class RateLimit {
 public:
  // 0 a second: there is no limit.
  RateLimit(double per_second, double burst) : per_second_(per_second), burst_(burst) {}

  // Takes one of the key's requests; or tells how long to wait for the next one.
  std::optional<std::chrono::seconds> refuse(int64_t key, steady_clock::time_point now) {
    if (per_second_ <= 0) return std::nullopt;
    MutexLock lock(mutex_);
    auto [found, is_new] = buckets_.try_emplace(key, Bucket{burst_, now});
    Bucket& bucket = found->second;
    const double rested = std::chrono::duration<double>(now - bucket.at).count();
    bucket.left = std::min(burst_, bucket.left + rested * per_second_);
    bucket.at = now;
    if (bucket.left >= 1) {
      bucket.left -= 1;
      return std::nullopt;
    }
    return std::chrono::seconds(static_cast<int64_t>(std::ceil((1 - bucket.left) / per_second_)));
  }

 private:
  struct Bucket {
    double left;
    steady_clock::time_point at;
  };

  const double per_second_;
  const double burst_;
  Mutex mutex_;
  std::map<int64_t, Bucket> buckets_ GUARDED_BY(mutex_);  // As many as there are keys.
};

}  // namespace halogen::control::api
