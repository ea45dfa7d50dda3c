#include <nlohmann/json.hpp>
#include <set>

#include "control/api/requests.h"
#include "control/api/shapes.h"
#include "control/settings/endpoint_settings.h"

namespace halogen::control::api {

using nlohmann::json;

namespace {

Response with_operations(Services& services, const std::string& endpoint_id,
                         const std::vector<Operation>& operations, int status = 200) {
  return json_response(
      status, {{"endpoint", endpoint_json(services, services.catalog.endpoint(endpoint_id))},
               {"operations", operations_json(operations)}});
}

}  // namespace

Response list_endpoints(Services& services, const Request& request) {
  std::vector<Endpoint> endpoints = services.catalog.endpoints(path_project(services, request).id);
  std::set<std::string> looks;
  for (const Branch& look : services.catalog.looks()) looks.insert(look.id);
  std::erase_if(endpoints, [&](const Endpoint& one) { return looks.contains(one.branch_id); });
  return json_response(200, {{"endpoints", endpoints_json(services, endpoints)}});
}

Response list_branch_endpoints(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  return json_response(
      200,
      {{"endpoints", endpoints_json(services, services.catalog.endpoints_of_branch(branch.id))}});
}

Response get_endpoint(Services& services, const Request& request) {
  Endpoint endpoint = path_endpoint(services, request);
  return json_response(200, {{"endpoint", endpoint_json(services, endpoint)}});
}

Response create_endpoint(Services& services, const Request& request) {
  const Project project = path_project(services, request);
  json wanted = object_or_empty(request.body_json(), "endpoint");
  const std::string branch_id = text_or(wanted, "branch_id", "");
  if (branch_id.empty()) throw Error(Errc::invalid_argument, "branch_id is required");
  Branch branch = services.catalog.branch(branch_id);
  if (branch.project_id != project.id || !branch.is_listed())
    throw Error(Errc::not_found, "branch not found");
  Endpoint made =
      services.projects.branches().create_endpoint(branch_id, endpoint_request(services, wanted));
  return with_operations(services, made.id,
                         {services.catalog.record_finished(branch, made.id, "create_compute")},
                         201);
}

// The idle timeout, `disabled` and the pooler's settings count at once, for a running compute too;
// Postgres settings, limits of its size and outgoing traffic from its next start.
Response update_endpoint(Services& services, const Request& request) {
  Endpoint endpoint = path_endpoint(services, request);
  json wanted = object_or_empty(request.body_json(), "endpoint");
  if (std::string branch = text_or(wanted, "branch_id", endpoint.branch_id);
      branch != endpoint.branch_id)
    throw Error(Errc::conflict, "branch_id: an endpoint stays with its branch");
  EndpointRequest change = endpoint_request(services, wanted);
  const json before = json::parse(endpoint.settings);
  endpoint.settings =
      changed_settings(services, before, object_or_empty(wanted, "settings")).dump();
  endpoint.idle_timeout = change.idle_timeout.value_or(endpoint.idle_timeout);
  endpoint.least_cu = change.least_cu.value_or(endpoint.least_cu);
  endpoint.most_cu = change.most_cu.value_or(endpoint.most_cu);
  endpoint.disabled = flag_or(wanted, "disabled", endpoint.disabled);
  if (wanted.contains("name")) endpoint.name = change.name;
  check_object_name("endpoint", endpoint.name);
  check_idle_timeout(endpoint.idle_timeout);
  check_compute_units(endpoint.least_cu, endpoint.most_cu);
  services.catalog.update_endpoint(endpoint);
  services.endpoints.update(endpoint);
  std::vector<Operation> operations;
  if (endpoint.disabled && services.endpoints.state(endpoint.id) != ComputeState::idle)
    operations.push_back(services.endpoints.begin_suspend(endpoint.id));
  return with_operations(services, endpoint.id, operations);
}

Response delete_endpoint(Services& services, const Request& request) {
  path_project(services, request);
  return unless_gone([&] {
    Endpoint endpoint = path_endpoint(services, request);
    json shape = endpoint_json(services, endpoint);
    const Operation operation = services.projects.branches().remove_endpoint(endpoint.id);
    shape["current_state"] = "idle";
    shape.erase("pending_state");
    return json_response(
        200, {{"endpoint", shape}, {"operations", json::array({operation_json(operation)})}});
  });
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
