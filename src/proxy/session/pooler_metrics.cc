#include "proxy/session/pooler_metrics.h"

namespace halogen::proxy {
namespace {

using metrics::Family;
using metrics::Series;
using Kind = metrics::Family::Kind;

double in_seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

Series one(const std::string& endpoint, double value) {
  Series series;
  series.labels = {{"endpoint", endpoint}};
  series.value = value;
  return series;
}

Series one(const std::string& endpoint, const char* label, std::string_view of, double value) {
  Series series = one(endpoint, value);
  series.labels[label] = of;
  return series;
}

// All pools of an endpoint, and all databases.
struct Sums {
  explicit Sums(const PoolerStatus& status) {
    for (const PoolerPool& pool : status.pools) {
      for (size_t i = 0; i < kClientStates; i++) clients[i] += pool.clients[i];
      for (auto& [reason, count] : pool.pinned_by) pinned_by[reason] += count;
      used += pool.servers_used;
      idle += pool.servers_idle;
      opening += pool.servers_opening;
      longest_wait = std::max(longest_wait, pool.longest_wait);
    }
    for (auto& [database, of] : status.totals) totals.add(of);
  }
  std::array<int, kClientStates> clients{};
  std::map<std::string, int> pinned_by;
  int used = 0;
  int idle = 0;
  int opening = 0;
  std::chrono::microseconds longest_wait{0};
  PoolerTotals totals;
};

Series request_series(const std::string& endpoint, const PoolerTotals& totals) {
  Series series = one(endpoint, 0);
  for (uint64_t count : totals.requests) series.count += count;
  series.buckets.assign(totals.requests.begin(), totals.requests.end() - 1);
  series.sum = in_seconds(totals.request_time);
  return series;
}

}  // namespace

std::vector<Family> pooler_metrics(const Statuses& statuses) {
  Family clients{Kind::gauge, "halogen_pooler_clients", "Clients by what they do."};
  Family servers{Kind::gauge, "halogen_pooler_servers", "Connections to the compute."};
  Family pinned{Kind::gauge, "halogen_pooler_pinned",
                "Clients that keep their server while they do nothing, by what they hold."};
  Family longest{Kind::gauge, "halogen_pooler_longest_wait_seconds",
                 "How long the client has waited that waits longest for a server."};
  Family queries{Kind::counter, "halogen_pooler_queries_total", "Queries passed on."};
  Family transactions{Kind::counter, "halogen_pooler_transactions_total", "Transactions ended."};
  Family waits{Kind::counter, "halogen_pooler_wait_seconds_total",
               "Time that clients waited for a server or a compute."};
  Family wakes{Kind::counter, "halogen_pooler_wakes_total",
               "Starts of the compute that clients waited for."};
  Family requests{Kind::histogram, "halogen_pooler_request_seconds",
                  "From a request's arrival to the last answer to it, with all waiting."};
  for (auto bound : PoolerTotals::kBounds) requests.bounds.push_back(in_seconds(bound));

  for (auto& [endpoint, status] : statuses) {
    Sums sums(status);
    for (size_t i = 0; i < kClientStates; i++)
      clients.series.push_back(
          one(endpoint, "state", client_state_name(static_cast<ClientState>(i)), sums.clients[i]));
    servers.series.push_back(one(endpoint, "state", "used", sums.used));
    servers.series.push_back(one(endpoint, "state", "idle", sums.idle));
    servers.series.push_back(one(endpoint, "state", "opening", sums.opening));
    for (auto& [reason, count] : sums.pinned_by)
      pinned.series.push_back(one(endpoint, "reason", reason, count));
    longest.series.push_back(one(endpoint, in_seconds(sums.longest_wait)));
    queries.series.push_back(one(endpoint, static_cast<double>(sums.totals.queries)));
    transactions.series.push_back(one(endpoint, static_cast<double>(sums.totals.transactions)));
    waits.series.push_back(one(endpoint, in_seconds(sums.totals.wait_time)));
    wakes.series.push_back(one(endpoint, static_cast<double>(status.wakes)));
    requests.series.push_back(request_series(endpoint, sums.totals));
  }
  return {clients, servers, pinned, longest, queries, transactions, waits, wakes, requests};
}

}  // namespace halogen::proxy
