// auth_limits.h: how often a client may fail to show who it is before it is made to wait.
//
// Three kinds of token buckets, from which only failures take:
//   address   all attempts from one address: refused while it is empty;
//   login     one role of one endpoint, from one address: refused while it is empty;
//   endpoint  guessing from many addresses: only slowed down, for to refuse would let anybody lock
//             out its owner.
// A login that has succeeded from an address is trusted: what others fail at, from there or from
// elsewhere, neither slows it down nor has it refused.
//
// A bucket that is not full admits no more attempts at a time than it has tokens, so that many at
// once are no way around it; the others wait for their turn. A full one admits any number: a storm
// of good clients is served, and after one of bad ones the debt has to be waited for, up to
// kMaxWait.
//
// IPv6 counts by /64, which is what one client has. Names that are no endpoint share one bucket.
// Each table holds so many buckets at most; the one not used for longest goes. Safe from any
// thread.
#pragma once
#include <chrono>
#include <list>
#include <string>
#include <unordered_map>

#include "base/ip_address.h"
#include "base/mutex.h"

namespace halogen::proxy {

struct LimitRate {
  double burst = 0;       // Failures before anything happens.
  double per_second = 0;  // How many are forgiven in a second.
};

class AuthLimits {
 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    LimitRate address{200, 5};
    LimitRate login{50, 1};
    LimitRate endpoint{200, 20};
    std::chrono::milliseconds slow_down{500};  // For an endpoint whose bucket is empty.
    size_t max_buckets = 32'768;               // Of each kind.
  };
  static constexpr std::chrono::seconds kMaxWait{60};

  explicit AuthLimits(Options options) : options_(options) {}

  struct Attempt {
    IpAddress address;
    std::string endpoint;  // Empty: there is none of that name.
    std::string role;
  };
  enum class Verdict {
    admitted,  // After `wait`, mostly zero. end() must follow.
    busy,      // To be asked again after `wait`.
    refused,   // The client is to stay away for `wait`, at least a second.
  };
  struct Answer {
    Verdict verdict = Verdict::admitted;
    Clock::duration wait{0};
    bool admitted() const { return verdict == Verdict::admitted; }
  };
  enum class Result { right, wrong, unknown };  // unknown: no password was shown.

  // Before any work.
  Answer begin(const Attempt& attempt, Clock::time_point now);
  void end(const Attempt& attempt, Result result, Clock::time_point now);
  // The endpoint has been deleted.
  void forget(const std::string& endpoint);
  // True for an address that is made to wait, has been told so often, and from which nobody is
  // trusted: it is not worth a TLS handshake. A call that says false counts as telling it.
  bool is_worn_out(const IpAddress& address, Clock::time_point now);

  size_t buckets() const;

 private:
  struct Bucket {
    double tokens = 0;
    double warnings = 0;  // How often it may still be told so over TLS.
    int under_way = 0;    // Attempts begun since the bucket is there.
    bool trusted = false;
    Clock::time_point at{};
    std::list<std::string>::iterator use;
  };
  struct Table {
    explicit Table(LimitRate the_rate) : rate(the_rate) {}
    const LimitRate rate;
    std::unordered_map<std::string, Bucket> buckets;
    std::list<std::string> uses;  // Keys, the most recently used first.
  };

  // nullptr if there is none: it would be full. Made by failures and successes only, so that
  // merely connecting pushes nobody's out.
  static Bucket* find(Table& table, const std::string& key, Clock::time_point now);
  Bucket& find_or_make(Table& table, const std::string& key, Clock::time_point now) const;
  static Answer ask(const Bucket* bucket, LimitRate rate);

  const Options options_;
  mutable Mutex mutex_;
  Table addresses_ GUARDED_BY(mutex_){options_.address};
  Table logins_ GUARDED_BY(mutex_){options_.login};
  Table endpoints_ GUARDED_BY(mutex_){options_.endpoint};
};

}  // namespace halogen::proxy
