#include <nlohmann/json.hpp>

#include "control/api/shapes.h"

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

namespace {

// Postgres settings by name, in place of those before.
std::string checked_settings(const json& settings) {
  for (auto& [name, value] : settings.items())
    if (!value.is_string() && !value.is_number() && !value.is_boolean())
      throw Error(Errc::invalid_argument, "pg_settings.{} must be a string", name);
  return settings.dump();
}

}  // namespace

// The idle timeout counts at once, for a running compute too; Postgres settings from its next
// start.
Response update_endpoint(Services& services, const Request& request) {
  Endpoint endpoint = path_endpoint(services, request);
  json wanted = object_or_empty(request.body_json(), "endpoint");
  int64_t seconds = number_or(wanted, "suspend_timeout_seconds", endpoint.idle_timeout);
  if (seconds < -1 || seconds > 604800)
    throw Error(Errc::invalid_argument, "suspend_timeout_seconds must be between -1 and 604800");
  json settings = object_or_empty(wanted, "settings");
  if (settings.contains("pg_settings"))
    services.catalog.set_settings(endpoint.id,
                                  checked_settings(object_or_empty(settings, "pg_settings")));
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
