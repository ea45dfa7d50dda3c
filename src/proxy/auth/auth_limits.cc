#include "proxy/auth/auth_limits.h"

#include <algorithm>
#include <tuple>

namespace halogen::proxy {
namespace {

using Clock = AuthLimits::Clock;

constexpr int kClientNetwork = 64;  // Of IPv6.
constexpr double kWarnings = 20;    // Refusals over TLS before they become cheap ones.
constexpr double kWarningsPerSecond = 2;
constexpr std::chrono::milliseconds kTurn{200};  // Until one that waits for its turn asks again.

double in_seconds(Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

std::string address_key(const IpAddress& address) {
  return (address.is_v6() ? address.first_of(kClientNetwork) : address).str();
}

// No endpoint's name and no address has a space in it.
std::string login_key(const AuthLimits::Attempt& attempt) {
  return address_key(attempt.address) + " " + attempt.endpoint + " " + attempt.role;
}

}  // namespace

AuthLimits::Bucket* AuthLimits::find(Table& table, const std::string& key, Clock::time_point now) {
  auto found = table.buckets.find(key);
  if (found == table.buckets.end()) return nullptr;
  Bucket& bucket = found->second;
  double passed = std::max(0.0, in_seconds(now - bucket.at));
  bucket.tokens = std::min(table.rate.burst, bucket.tokens + passed * table.rate.per_second);
  bucket.warnings = std::min(kWarnings, bucket.warnings + passed * kWarningsPerSecond);
  bucket.at = now;
  table.uses.splice(table.uses.begin(), table.uses, bucket.use);
  return &bucket;
}

AuthLimits::Bucket& AuthLimits::find_or_make(Table& table, const std::string& key,
                                             Clock::time_point now) const {
  if (Bucket* found = find(table, key, now)) return *found;
  if (table.buckets.size() >= options_.max_buckets) {
    table.buckets.erase(table.uses.back());
    table.uses.pop_back();
  }
  table.uses.push_front(key);
  Bucket& bucket = table.buckets[key];
  bucket.tokens = table.rate.burst;
  bucket.warnings = kWarnings;
  bucket.at = now;
  bucket.use = table.uses.begin();
  return bucket;
}

AuthLimits::Answer AuthLimits::ask(const Bucket* bucket, LimitRate rate) {
  if (bucket == nullptr || bucket->tokens >= rate.burst || bucket->tokens >= bucket->under_way + 1)
    return {};
  if (bucket->tokens >= 1) return {Verdict::busy, kTurn};
  double wait = (1 - bucket->tokens) / rate.per_second;
  wait = std::clamp(wait, 1.0, static_cast<double>(kMaxWait.count()));
  return {Verdict::refused,
          std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(wait))};
}

AuthLimits::Answer AuthLimits::begin(const Attempt& attempt, Clock::time_point now) {
  MutexLock lock(mutex_);
  Bucket* address = find(addresses_, address_key(attempt.address), now);
  Bucket* login = find(logins_, login_key(attempt), now);
  bool trusted = login != nullptr && login->trusted;
  Answer answer = ask(login, logins_.rate);
  if (!trusted) {
    Answer other = ask(address, addresses_.rate);
    if (std::tie(other.verdict, other.wait) > std::tie(answer.verdict, answer.wait)) answer = other;
  }
  if (!answer.admitted()) return answer;
  if (address != nullptr) address->under_way++;
  if (login != nullptr) login->under_way++;
  Bucket* endpoint = find(endpoints_, attempt.endpoint, now);
  if (!trusted && endpoint != nullptr && endpoint->tokens < 1) answer.wait = options_.slow_down;
  return answer;
}

void AuthLimits::end(const Attempt& attempt, Result result, Clock::time_point now) {
  MutexLock lock(mutex_);
  auto finish = [&](Table& table, const std::string& key) {
    Bucket* bucket =
        result == Result::unknown ? find(table, key, now) : &find_or_make(table, key, now);
    if (bucket == nullptr) return;
    bucket->under_way = std::max(0, bucket->under_way - 1);  // It may have begun before the bucket.
    if (result == Result::right) bucket->trusted = true;
    if (result != Result::wrong) return;
    double floor = std::min(0.0, 1 - in_seconds(kMaxWait) * table.rate.per_second);
    bucket->tokens = std::max(floor, bucket->tokens - 1);
  };
  finish(addresses_, address_key(attempt.address));
  finish(logins_, login_key(attempt));
  finish(endpoints_, attempt.endpoint);
}

void AuthLimits::forget(const std::string& endpoint) {
  MutexLock lock(mutex_);
  auto forget = [](Table& table, auto is_of) {
    std::erase_if(table.uses, [&](const std::string& key) {
      if (!is_of(key)) return false;
      table.buckets.erase(key);
      return true;
    });
  };
  std::string within = " " + endpoint + " ";
  forget(endpoints_, [&](const std::string& key) { return key == endpoint; });
  forget(logins_, [&](const std::string& key) { return key.find(within) != std::string::npos; });
}

bool AuthLimits::is_worn_out(const IpAddress& address, Clock::time_point now) {
  MutexLock lock(mutex_);
  Bucket* bucket = find(addresses_, address_key(address), now);
  if (ask(bucket, addresses_.rate).verdict != Verdict::refused || bucket->trusted) return false;
  if (bucket->warnings < 1) return true;
  bucket->warnings--;
  return false;
}

size_t AuthLimits::buckets() const {
  MutexLock lock(mutex_);
  return addresses_.buckets.size() + logins_.buckets.size() + endpoints_.buckets.size();
}

}  // namespace halogen::proxy
