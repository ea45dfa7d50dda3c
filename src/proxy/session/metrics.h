// metrics.h: what the sessions of this process count, for /metrics. Safe from any thread.
#pragma once
#include <string>

#include "base/metrics.h"

namespace halogen::proxy {

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
  metrics::Counter held_refused;   // Messages that were too large, or for which there was no room.
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

}  // namespace halogen::proxy
