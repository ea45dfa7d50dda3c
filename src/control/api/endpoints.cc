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

// Only the idle timeout can be changed yet; it counts at once, for a running compute too.
Response update_endpoint(Services& services, const Request& request) {
  Endpoint endpoint = path_endpoint(services, request);
  json wanted = object_or_empty(request.body_json(), "endpoint");
  int64_t seconds = number_or(wanted, "suspend_timeout_seconds", endpoint.idle_timeout);
  if (seconds < -1 || seconds > 604800)
    throw Error(Errc::invalid_argument, "suspend_timeout_seconds must be between -1 and 604800");
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
