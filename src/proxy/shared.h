// shared.h: what all sessions of a proxy share, whatever their thread. Safe from any.
#pragma once
#include <atomic>
#include <string>

#include "base/metrics.h"
#include "base/mutex.h"
#include "postgres/wire.h"
#include "proxy/auth_limits.h"
#include "proxy/cancel_keys.h"
#include "proxy/census.h"
#include "proxy/descriptors.h"
#include "proxy/listeners.h"
#include "proxy/password_checks.h"
#include "proxy/pool.h"
#include "proxy/proxy.h"
#include "proxy/statements.h"
#include "proxy/tls.h"

namespace halogen::proxy {

// A client is told why and let go. Its message is for the client's eyes.
class Refused : public Error {
 public:
  Refused(std::string_view sqlstate, std::string_view message, std::string_view hint = {},
          Errc code = Errc::permission_denied);
  // In a server's own words.
  explicit Refused(wire::ErrorFields fields);

  const wire::ErrorFields& fields() const { return fields_; }

 private:
  wire::ErrorFields fields_;
};

// No room for those that have not shown who they are.
Refused too_many_newcomers();
// For a client, or for its server connection.
Refused no_descriptors();

enum class State { starting, waking, active, closing };

struct Metrics {
  metrics::Gauge starting;  // Not authenticated yet.
  metrics::Gauge waking;    // Authenticated, waiting for a compute.
  metrics::Gauge active;
  metrics::Gauge closing;  // Told all there is to tell.
  metrics::Counter opened;
  metrics::Counter auth_failures;
  metrics::Counter wake_failures;
  metrics::Counter auth_limited;   // Refused for too many failures before.
  metrics::Counter auth_slowed;    // Held back for failures of others.
  metrics::Counter not_allowed;    // From an address that is not on the list.
  metrics::Counter refused;        // Over the limit of unauthenticated connections.
  metrics::Counter crowded_out;    // Said nothing for long while others waited for their place.
  metrics::Counter no_descriptor;  // For want of file descriptors.
  metrics::Counter cancels;
  metrics::Counter bytes_in;  // From clients.
  metrics::Counter bytes_out;
  metrics::Gauge waiting;            // Sessions in line for a server.
  metrics::Counter queue_timeouts;   // Those that got none in time.
  metrics::Histogram queue_seconds;  // Of those that had to wait.
  metrics::Counter queries;
  metrics::Counter transactions;
  metrics::Histogram wake_seconds;  // From authenticated to the first ReadyForQuery.

  Metrics();
  metrics::Gauge& of(State state);
  // Sessions that keep their server, by what they hold.
  static metrics::Gauge pinned(const std::string& reason);
};

// Lets through so many lines a second, so that a flood of failures is no flood of log.
class LogLimit {
 public:
  // The number of lines held back since the last one; -1 if this one is to be held back too.
  int admit();

 private:
  static constexpr int kPerSecond = 20;
  Mutex mutex_;
  std::chrono::steady_clock::time_point second_ GUARDED_BY(mutex_);
  int lines_ GUARDED_BY(mutex_) = 0;
  int held_back_ GUARDED_BY(mutex_) = 0;
};

struct Shared {
  Shared(Proxy::Options the_options, Endpoints& the_endpoints, const CertificateFiles& files,
         std::string the_secret);

  const Proxy::Options options;
  Endpoints& endpoints;
  TlsContext tls;
  const std::string secret;  // Makes up the verifiers of those who do not exist.
  CancelKeys cancel_keys;
  StatementTexts texts;
  Pools pools;
  Listeners listeners;
  Census census{endpoints, pools};
  Metrics metrics;
  AuthLimits auth_limits;
  PasswordChecks password_checks;
  Descriptors descriptors;
  LogLimit log_limit;
  std::atomic<int> unauthenticated = 0;
  std::atomic<int> sessions = 0;
  std::atomic<int> replicating = 0;    // Of the sessions.
  std::atomic<bool> draining = false;  // Sessions end as they come to rest; stays so.
  std::atomic<int> drained = 0;        // Sessions that did.
  std::atomic<int> cut_off = 0;        // Those that had work when the proxy stopped.
  std::atomic<bool> stopping = false;
};

}  // namespace halogen::proxy
