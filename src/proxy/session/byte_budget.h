// byte_budget.h: how many bytes of large messages are held in memory at a time, by all clients and
// by those of one endpoint. Only what must be there as a whole is held: most messages are passed on
// in pieces. Safe from any thread; outlives its shares.
#pragma once
#include <cstddef>
#include <string>
#include <unordered_map>

#include "base/metrics.h"
#include "base/mutex.h"

namespace halogen::proxy {

class ByteBudget {
 public:
  // Counted are the messages. While one is passed on, its bytes may be in memory three times.
  struct Limits {
    size_t message = size_t{256} << 20;
    size_t endpoint = size_t{256} << 20;
    size_t all = size_t{512} << 20;
  };
  // `metric` shows what is held.
  ByteBudget(Limits limits, const std::string& metric, const std::string& help);

  const Limits& limits() const { return limits_; }
  size_t held() const;

  // What one client holds. Given back when it is destroyed.
  class Share {
   public:
    explicit Share(ByteBudget& budget) : budget_(budget) {}
    ~Share() { give_back(); }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

    // In place of what it held before. False, and nothing is held, if there is no room.
    bool take(const std::string& endpoint, size_t bytes);
    void give_back();
    size_t held() const { return bytes_; }

   private:
    ByteBudget& budget_;
    std::string endpoint_;
    size_t bytes_ = 0;
  };

 private:
  bool take(const std::string& endpoint, size_t bytes);
  void give_back(const std::string& endpoint, size_t bytes);

  const Limits limits_;
  metrics::Gauge gauge_;  // `held_`, for /metrics.
  mutable Mutex mutex_;
  size_t held_ GUARDED_BY(mutex_) = 0;
  std::unordered_map<std::string, size_t> by_endpoint_ GUARDED_BY(mutex_);  // None is 0.
};

}  // namespace halogen::proxy
