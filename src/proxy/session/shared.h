// shared.h: what all sessions of a proxy share, whatever their thread. Safe from any.
#pragma once
#include <array>
#include <atomic>
#include <string>

#include "base/mutex.h"
#include "proxy/auth/auth_limits.h"
#include "proxy/auth/login_counts.h"
#include "proxy/auth/password_checks.h"
#include "proxy/conversation/statements.h"
#include "proxy/io/descriptors.h"
#include "proxy/io/refused.h"
#include "proxy/io/tls.h"
#include "proxy/pool/cancel_keys.h"
#include "proxy/pool/pool.h"
#include "proxy/pubsub/listeners.h"
#include "proxy/session/census.h"
#include "proxy/session/metrics.h"
#include "proxy/session/options.h"

namespace halogen::proxy {

// Lets through a burst of lines, and then one in so many seconds, so that a flood of failures is no
// flood of log.
class LogLimit {
 public:
  // The number of lines held back since the last one; -1 if this one is to be held back too.
  int admit(steady_clock::time_point now = steady_clock::now());

 private:
  static constexpr double kBurst = 100;
  static constexpr double kPerSecond = 0.5;
  Mutex mutex_;
  steady_clock::time_point at_ GUARDED_BY(mutex_) = steady_clock::now();
  double lines_ GUARDED_BY(mutex_) = kBurst;  // That may be written now.
  int held_back_ GUARDED_BY(mutex_) = 0;
};

// How long the latest lookups of roles took: as long waits a client whose endpoint does not exist.
class LookupTimes {
 public:
  using Duration = steady_clock::duration;
  void took(Duration time);
  // Of one of them, picked at random.
  Duration one_of();

 private:
  Mutex mutex_;
  std::array<Duration, 64> times_ GUARDED_BY(mutex_) = {std::chrono::milliseconds(1)};
  size_t count_ GUARDED_BY(mutex_) = 1;
  size_t next_ GUARDED_BY(mutex_) = 0;
};

struct Shared {
  Shared(ProxyOptions the_options, Endpoints& the_endpoints, const CertificateFiles& files,
         std::string the_secret);

  const ProxyOptions options;
  Endpoints& endpoints;
  TlsContext tls;            // For Postgres' protocol.
  TlsContext web_tls;        // For HTTP.
  TlsContext api_tls;        // For the API's server.
  const std::string secret;  // Makes up the verifiers of those who do not exist.
  CancelKeys cancel_keys;
  StatementTexts texts;
  Pools pools;
  Listeners listeners;
  Census census{endpoints, pools};
  Metrics metrics;
  AuthLimits auth_limits;
  WorkLimits work_limits;
  PasswordChecks password_checks;
  LoginCounts login_counts;
  ByteBudget held_bytes;
  ByteBudget web_bytes;  // By client's address.
  Descriptors descriptors;
  LogLimit log_limit;
  LookupTimes lookup_times;
  std::atomic<int> unauthenticated = 0;
  std::atomic<int> sessions = 0;
  std::atomic<int> replicating = 0;    // Of the sessions.
  std::atomic<bool> draining = false;  // Sessions end as they come to rest; stays so.
  std::atomic<int> drained = 0;        // Sessions that did.
  std::atomic<int> cut_off = 0;        // Those that had work when the proxy stopped.
  std::atomic<bool> stopping = false;
  // The id of the next client, as log lines and the census tell it: begins with the time, so that
  // no client of an earlier run had it.
  std::atomic<uint64_t> next_client = first_client();

  static uint64_t first_client() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    constexpr int kMostPerSecond = 20;  // As a power of two.
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(now).count())
           << kMostPerSecond;
  }
};

}  // namespace halogen::proxy
