#include "proxy/auth/work_limits.h"

#include <algorithm>
#include <utility>

namespace halogen::proxy {
namespace {

constexpr int kClientNetwork = 64;  // Of IPv6.

}  // namespace

std::string network_of(const IpAddress& address) {
  return (address.is_v6() ? address.first_of(kClientNetwork) : address).str();
}

double WorkLimits::tokens(const std::string& key, Clock::time_point now) {
  auto found = buckets_.find(key);
  if (found == buckets_.end()) return options_.address.burst;
  Bucket& bucket = found->second;
  double passed = std::max(0.0, std::chrono::duration<double>(now - bucket.at).count());
  bucket.tokens += passed * options_.address.per_second;
  bucket.at = now;
  if (bucket.tokens < options_.address.burst) return bucket.tokens;
  uses_.erase(bucket.use);
  buckets_.erase(found);
  return options_.address.burst;
}

WorkLimits::Bucket& WorkLimits::find_or_make(const std::string& key, Clock::time_point now) {
  if (auto found = buckets_.find(key); found != buckets_.end()) {
    uses_.splice(uses_.begin(), uses_, found->second.use);
    return found->second;
  }
  if (buckets_.size() >= options_.max_buckets) {
    buckets_.erase(uses_.back());
    uses_.pop_back();
  }
  uses_.push_front(key);
  return buckets_.emplace(key, Bucket{options_.address.burst, now, uses_.begin()}).first->second;
}

bool WorkLimits::is_empty(const IpAddress& address, Clock::time_point now) {
  MutexLock lock(mutex_);
  return tokens(network_of(address), now) < 1;
}

int WorkLimits::under_way(const IpAddress& address) const {
  MutexLock lock(mutex_);
  auto found = under_way_.find(network_of(address));
  return found == under_way_.end() ? 0 : found->second;
}

size_t WorkLimits::buckets() const {
  MutexLock lock(mutex_);
  return buckets_.size();
}

// `first`: of its connection.
bool WorkLimits::begin(const std::string& key, bool first, Clock::time_point now) {
  MutexLock lock(mutex_);
  double left = tokens(key, now);
  auto found = under_way_.find(key);
  int others = found == under_way_.end() ? 0 : found->second;
  if (left < options_.address.burst && left < others + (first ? 1 : 0)) return false;
  if (first) under_way_[key] = others + 1;
  return true;
}

void WorkLimits::end(const std::string& key, int units, bool spent, Clock::time_point now) {
  MutexLock lock(mutex_);
  auto found = under_way_.find(key);
  if (--found->second == 0) under_way_.erase(found);
  if (!spent) return;
  tokens(key, now);
  Bucket& bucket = find_or_make(key, now);
  // The debt of a crowd that came at once is waited for, but not for ever.
  double floor = -static_cast<double>(AuthLimits::kMaxWait.count()) * options_.address.per_second;
  bucket.tokens = std::max(floor, bucket.tokens - units);
}

void WorkLimits::Charge::spend() {
  if (units_ > 0) limits_.end(network_of(address_), std::exchange(units_, 0), true, Clock::now());
}

bool WorkLimits::Charge::take(Clock::time_point now) {
  if (!limits_.begin(network_of(address_), units_ == 0, now)) return false;
  units_++;
  return true;
}

void WorkLimits::Charge::give_back() {
  if (units_ > 0) limits_.end(network_of(address_), std::exchange(units_, 0), false, Clock::now());
}

}  // namespace halogen::proxy
