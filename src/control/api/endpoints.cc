#include <nlohmann/json.hpp>

#include "control/api/shapes.h"
#include "control/settings/endpoint_settings.h"

namespace halogen::control::api {

using nlohmann::json;

namespace {

Response with_operations(Services& services, const std::string& endpoint_id,
                         const std::vector<Operation>& operations) {
  return json_response(
      200, {{"endpoint", endpoint_json(services, services.catalog.endpoint(endpoint_id))},
            {"operations", operations_json(operations)}});
}

}  // namespace

Response list_endpoints(Services& services, const Request& request) {
  services.catalog.project(request.at("project_id"));
  json listed = json::array();
  for (const Endpoint& endpoint : services.catalog.endpoints(request.at("project_id")))
    if (!services.catalog.branch(endpoint.branch_id).is_look)
      listed.push_back(endpoint_json(services, endpoint));
  return json_response(200, {{"endpoints", listed}});
}

Response list_branch_endpoints(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  json listed = json::array();
  for (const Endpoint& endpoint : services.catalog.endpoints(branch.project_id))
    if (endpoint.branch_id == branch.id) listed.push_back(endpoint_json(services, endpoint));
  return json_response(200, {{"endpoints", listed}});
}

Response get_endpoint(Services& services, const Request& request) {
  Endpoint endpoint = path_endpoint(services, request);
  return json_response(200, {{"endpoint", endpoint_json(services, endpoint)}});
}

namespace {

// Each part that is given takes the place of what was there.
json changed_settings(Services& services, const json& before, const json& changes) {
  const bool allowed = outgoing_traffic(before);
  const bool outgoing = flag_or(changes, "outgoing_traffic", allowed);
  if (outgoing && !allowed) services.host.require_outgoing_traffic();
  json joined = joined_settings(
      changes.contains("pg_settings") ? object_or_empty(changes, "pg_settings")
                                      : postgres_part(before),
      changes.contains("pgbouncer_settings") ? object_or_empty(changes, "pgbouncer_settings")
                                             : pooler_part(before),
      outgoing);
  if (services.settings_guard && changes.contains("pg_settings"))
    check_settings(postgres_values(joined));
  return joined;
}

}  // namespace

// The idle timeout and the pooler's settings count at once, for a running compute too; Postgres
// settings and outgoing traffic from its next start.
Response update_endpoint(Services& services, const Request& request) {
  Endpoint endpoint = path_endpoint(services, request);
  json wanted = object_or_empty(request.body_json(), "endpoint");
  int64_t seconds = number_or(wanted, "suspend_timeout_seconds", endpoint.idle_timeout);
  if (seconds < -1 || seconds > 604800)
    throw Error(Errc::invalid_argument, "suspend_timeout_seconds must be between -1 and 604800");
  json before = json::parse(endpoint.settings);
  json settings = changed_settings(services, before, object_or_empty(wanted, "settings"));
  if (settings != before) {
    services.catalog.set_settings(endpoint.id, settings.dump());
    services.endpoints.set_pool_settings(endpoint.id, pool_settings(settings));
  }
  services.catalog.set_idle_timeout(endpoint.id, seconds);
  services.endpoints.set_idle_timeout(endpoint.id, seconds);
  return with_operations(services, endpoint.id, {});
}

Response start_endpoint(Services& services, const Request& request) {
  Endpoint endpoint = path_endpoint(services, request);
  return with_operations(services, endpoint.id, {services.endpoints.begin_start(endpoint.id)});
}

Response restart_endpoint(Services& services, const Request& request) {
  Endpoint endpoint = path_endpoint(services, request);
  Operation suspend = services.endpoints.begin_suspend(endpoint.id);
  Operation start = services.endpoints.begin_start(endpoint.id);
  return with_operations(services, endpoint.id, {suspend, start});
}

Response suspend_endpoint(Services& services, const Request& request) {
  Endpoint endpoint = path_endpoint(services, request);
  return with_operations(services, endpoint.id, {services.endpoints.begin_suspend(endpoint.id)});
}

}  // namespace halogen::control::api
