#include <nlohmann/json.hpp>

#include "control/api/shapes.h"
#include "control/settings/pool_settings.h"

namespace halogen::control::api {

using nlohmann::json;

namespace {

Response with_operation(Services& services, const std::string& endpoint_id,
                        const Operation& operation) {
  return json_response(
      200, {{"endpoint", endpoint_json(services, services.catalog.endpoint(endpoint_id))},
            {"operations", json::array({operation_json(operation)})}});
}

}  // namespace

Response list_endpoints(Services& services, const Request& request) {
  services.catalog.project(request.at("project_id"));
  json listed = json::array();
  for (const Endpoint& endpoint : services.catalog.endpoints(request.at("project_id")))
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

// The idle timeout and the pooler's settings count at once, for a running compute too; Postgres
// settings from its next start.
Response update_endpoint(Services& services, const Request& request) {
  Endpoint endpoint = path_endpoint(services, request);
  json wanted = object_or_empty(request.body_json(), "endpoint");
  int64_t seconds = number_or(wanted, "suspend_timeout_seconds", endpoint.idle_timeout);
  if (seconds < -1 || seconds > 604800)
    throw Error(Errc::invalid_argument, "suspend_timeout_seconds must be between -1 and 604800");
  json settings = object_or_empty(wanted, "settings");
  // Each part that is given takes the place of what was there.
  json before = json::parse(endpoint.settings);
  json joined = joined_settings(
      settings.contains("pg_settings") ? object_or_empty(settings, "pg_settings")
                                       : postgres_part(before),
      settings.contains("pgbouncer_settings") ? object_or_empty(settings, "pgbouncer_settings")
                                              : pooler_part(before));
  if (services.settings_guard && settings.contains("pg_settings"))
    check_settings(postgres_values(joined));
  if (joined != before) {
    services.catalog.set_settings(endpoint.id, joined.dump());
    services.endpoints.set_pool_settings(endpoint.id, pool_settings(joined));
  }
  services.catalog.set_idle_timeout(endpoint.id, seconds);
  services.endpoints.set_idle_timeout(endpoint.id, seconds);
  return json_response(
      200, {{"endpoint", endpoint_json(services, services.catalog.endpoint(endpoint.id))},
            {"operations", json::array()}});
}

Response start_endpoint(Services& services, const Request& request) {
  Endpoint endpoint = path_endpoint(services, request);
  return with_operation(services, endpoint.id, services.endpoints.begin_start(endpoint.id));
}

Response suspend_endpoint(Services& services, const Request& request) {
  Endpoint endpoint = path_endpoint(services, request);
  return with_operation(services, endpoint.id, services.endpoints.begin_suspend(endpoint.id));
}

}  // namespace halogen::control::api
