// What an endpoint's clients and server connections do. Nothing of the API of Neon's.
#include <charconv>
#include <nlohmann/json.hpp>

#include "control/api/shapes.h"

namespace halogen::control::api {

using nlohmann::json;

namespace {

int64_t micros(std::chrono::nanoseconds time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time).count();
}

int64_t micros(SystemTime at) { return micros(at.time_since_epoch()); }

json pool_json(const PoolerPool& pool) {
  json clients = json::object();
  for (size_t i = 0; i < kClientStates; i++)
    clients[client_state_name(static_cast<ClientState>(i))] = pool.clients[i];
  return {{"database", pool.database},
          {"role", pool.role},
          {"mode", pool_mode_name(pool.mode)},
          {"clients", std::move(clients)},
          {"pinned_by", pool.pinned_by},
          {"servers",
           {{"used", pool.servers_used},
            {"idle", pool.servers_idle},
            {"opening", pool.servers_opening}}},
          {"size", pool.size},
          {"longest_wait_us", pool.longest_wait.count()}};
}

json client_json(const PoolerClient& client) {
  return {{"id", fmt::format("{:x}", client.id)},
          {"database", client.database},
          {"role", client.role},
          {"mode", pool_mode_name(client.mode)},
          {"state", client_state_name(client.state)},
          {"pinned_by", client.pinned_by},
          {"address", client.address},
          {"port", client.port},
          {"application_name", client.application_name},
          {"connected_at", rfc3339(micros(client.connected))},
          {"last_request_at", rfc3339(micros(client.last_request))},
          {"waited_us", client.waited.count()},
          {"server_pid", client.server_pid},
          {"queries", client.queries},
          {"transactions", client.transactions}};
}

json totals_json(const std::string& database, const PoolerTotals& totals) {
  return {{"database", database},
          {"queries", totals.queries},
          {"transactions", totals.transactions},
          {"bytes_received", totals.received},
          {"bytes_sent", totals.sent},
          {"request_time_us", micros(totals.request_time)},
          {"wait_time_us", micros(totals.wait_time)}};
}

}  // namespace

// Every client is listed only if asked for (?clients=1): there may be thousands.
Response get_pooler(Services& services, const Request& request) {
  Endpoint endpoint = path_endpoint(services, request);
  bool listed = request.query_number("clients", 0, 0, 1) == 1;
  PoolerStatus status;
  if (services.pooler != nullptr) status = services.pooler->pooler_status(endpoint.id, listed);
  json clients = json::object();
  json pinned_by = json::object();
  json pools = json::array();
  for (size_t i = 0; i < kClientStates; i++) {
    int count = 0;
    for (const PoolerPool& pool : status.pools) count += pool.clients[i];
    clients[client_state_name(static_cast<ClientState>(i))] = count;
  }
  for (const PoolerPool& pool : status.pools) {
    pools.push_back(pool_json(pool));
    for (auto& [reason, count] : pool.pinned_by)
      pinned_by[reason] = pinned_by.value(reason, 0) + count;
  }
  json totals = json::array();
  for (auto& [database, of] : status.totals) totals.push_back(totals_json(database, of));
  json shape = {{"endpoint_id", endpoint.id},        {"clients", std::move(clients)},
                {"pinned_by", std::move(pinned_by)}, {"pools", std::move(pools)},
                {"totals", std::move(totals)},       {"wakes", status.wakes}};
  if (listed) {
    json all = json::array();
    for (const PoolerClient& client : status.clients) all.push_back(client_json(client));
    shape["client_list"] = std::move(all);
  }
  return json_response(200, {{"pooler", std::move(shape)}});
}

// Its connection ends with FATAL 57P01. What it had under way is cut off.
Response end_client(Services& services, const Request& request) {
  Endpoint endpoint = path_endpoint(services, request);
  const std::string& text = request.at("client_id");
  uint64_t id = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id, 16);
  bool parsed = error == std::errc() && end == text.data() + text.size();
  if (!parsed || services.pooler == nullptr || !services.pooler->end_client(endpoint.id, id))
    throw Error(Errc::not_found, "client not found");
  return json_response(200, json::object());
}

}  // namespace halogen::control::api
