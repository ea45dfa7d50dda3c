// work_limits.h: how much work an address may have done for clients that never log in: TLS
// handshakes, SCRAM exchanges with their lookups of roles, cancel requests with a wrong key.
//
// A token bucket per address (IPv6: per /64). Each connection takes one unit when its first byte
// has come and one more when its role is looked up; a client that logs in gives all back. While its
// bucket is full an address may have any number under way, as a crowd of good clients has; else no
// more than it has tokens, and the others wait. An empty one is refused at the door, in the clear.
// What limits an address to a share of the places for newcomers counts connections: under_way().
//
// So many buckets are kept, the least recently used goes first. None is made for an address whose
// clients log in. Safe from any thread; outlives its charges.
#pragma once
#include <chrono>
#include <list>
#include <string>
#include <unordered_map>

#include "base/ip_address.h"
#include "base/mutex.h"
#include "proxy/auth/auth_limits.h"

namespace halogen::proxy {

class WorkLimits {
 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    LimitRate address{1000, 20};
    size_t max_buckets = 32'768;
  };
  explicit WorkLimits(Options options) : options_(options) {}

  // The address has spent all that it has.
  bool is_empty(const IpAddress& address, Clock::time_point now);
  // Its connections that have taken a unit and not ended or logged in.
  int under_way(const IpAddress& address) const;
  size_t buckets() const;

  // The work done for one connection. What was not given back when it ends stays charged.
  class Charge {
   public:
    Charge(WorkLimits& limits, const IpAddress& address) : limits_(limits), address_(address) {}
    ~Charge() { spend(); }
    Charge(const Charge&) = delete;
    Charge& operator=(const Charge&) = delete;

    // Takes another unit. False if it has to wait, or the address has spent all.
    bool take(Clock::time_point now);
    void give_back();
    // It ends without: what it took is gone.
    void spend();

   private:
    WorkLimits& limits_;
    const IpAddress address_;
    int units_ = 0;
  };

 private:
  struct Bucket {
    double tokens = 0;
    Clock::time_point at{};
    std::list<std::string>::iterator use;
  };

  bool begin(const std::string& key, bool first, Clock::time_point now);
  void end(const std::string& key, int units, bool spent, Clock::time_point now);
  double tokens(const std::string& key, Clock::time_point now) REQUIRES(mutex_);
  Bucket& find_or_make(const std::string& key, Clock::time_point now) REQUIRES(mutex_);

  const Options options_;
  mutable Mutex mutex_;
  std::unordered_map<std::string, Bucket> buckets_ GUARDED_BY(mutex_);  // None is full for long.
  std::unordered_map<std::string, int> under_way_ GUARDED_BY(mutex_);   // None is 0.
  std::list<std::string> uses_ GUARDED_BY(mutex_);  // Keys, the most recently used first.
};

// What one client has, as a key: an IPv4 address, or an IPv6 /64.
std::string network_of(const IpAddress& address);

}  // namespace halogen::proxy
