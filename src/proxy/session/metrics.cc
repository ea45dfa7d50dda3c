#include "proxy/session/metrics.h"

#include <unordered_map>

#include "base/error.h"

namespace halogen::proxy {
namespace {

metrics::Gauge state_gauge(const char* state) {
  return metrics::gauge("halogen_proxy_connections", "Client connections by state.",
                        {{"state", state}});
}

}  // namespace

Metrics::Metrics()
    : starting(state_gauge("starting")),
      waking(state_gauge("waking")),
      active(state_gauge("active")),
      closing(state_gauge("closing")),
      opened(metrics::counter("halogen_proxy_connections_opened_total", "Connections accepted.")),
      auth_failures(metrics::counter("halogen_proxy_auth_failures_total",
                                     "Clients whose password or role was wrong.")),
      wake_failures(
          metrics::counter("halogen_proxy_wake_failures_total", "Clients that got no compute.")),
      auth_limited(metrics::counter("halogen_proxy_auth_limited_total",
                                    "Clients refused because of failures before.")),
      auth_slowed(metrics::counter("halogen_proxy_auth_slowed_total",
                                   "Clients held back because others fail at their endpoint.")),
      not_allowed(metrics::counter("halogen_proxy_address_refused_total",
                                   "Clients whose address is not on the project's list.")),
      refused(metrics::counter("halogen_proxy_connections_refused_total",
                               "Connections over the limit of unauthenticated ones.")),
      crowded_out(metrics::counter("halogen_proxy_crowded_out_total",
                                   "Connections cut for saying nothing while others waited.")),
      no_descriptor(metrics::counter("halogen_proxy_no_descriptor_total",
                                     "Connections refused for want of file descriptors.")),
      held_refused(metrics::counter("halogen_proxy_messages_refused_total",
                                    "Messages refused for their size or for want of memory.")),
      cancels(metrics::counter("halogen_proxy_cancels_total", "Cancel requests delivered.")),
      bytes_in(
          metrics::counter("halogen_proxy_bytes_total", "Bytes carried.", {{"from", "client"}})),
      bytes_out(
          metrics::counter("halogen_proxy_bytes_total", "Bytes carried.", {{"from", "compute"}})),
      waiting(metrics::gauge("halogen_proxy_waiting", "Sessions in line for a server connection.")),
      queue_timeouts(metrics::counter("halogen_proxy_queue_timeouts_total",
                                      "Requests refused: no server connection came free.")),
      queue_seconds(metrics::histogram("halogen_proxy_queue_seconds",
                                       "Waits in line for a server connection.")),
      queries(metrics::counter("halogen_proxy_queries_total", "Queries passed on.")),
      transactions(metrics::counter("halogen_proxy_transactions_total", "Transactions ended.")),
      wake_seconds(metrics::histogram("halogen_proxy_wake_seconds",
                                      "From authenticated to the first ReadyForQuery.")) {}

// There are few reasons, and a transaction is one: looked up by label once per thread.
metrics::Gauge Metrics::pinned(const std::string& reason) {
  thread_local std::unordered_map<std::string, metrics::Gauge> known;
  auto found = known.find(reason);
  if (found == known.end())
    found = known
                .emplace(reason, metrics::gauge("halogen_proxy_pinned",
                                                "Sessions that keep their server, by reason.",
                                                {{"reason", reason}}))
                .first;
  return found->second;
}

metrics::Gauge& Metrics::of(State state) {
  switch (state) {
    case State::starting:
      return starting;
    case State::waking:
      return waking;
    case State::active:
      return active;
    case State::closing:
      return closing;
  }
  CHECK(false);
}

}  // namespace halogen::proxy
