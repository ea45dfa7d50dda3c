#include <nlohmann/json.hpp>

#include "base/metrics.h"
#include "control/api/shapes.h"

namespace halogen::control::api {

using nlohmann::json;

Response get_health(Services&, const Request&) { return json_response(200, {{"status", "ok"}}); }

Response get_metrics(Services&, const Request&) {
  return {200, metrics::render(), "text/plain; version=0.0.4"};
}

Response get_status(Services& services, const Request&) {
  json status = json::parse(services.platform.empty() ? "{}" : services.platform);
  status["state"] = "running";
  json components = json::array();
  if (services.components)
    for (const ComponentStatus& component : services.components())
      components.push_back(
          {{"name", component.name}, {"state", component.state}, {"detail", component.detail}});
  status["components"] = std::move(components);
  json endpoints = json::array();
  for (const Endpoint& endpoint : services.catalog.all_endpoints())
    endpoints.push_back({{"id", endpoint.id},
                         {"project_id", endpoint.project_id},
                         {"branch_id", endpoint.branch_id},
                         {"state", compute_state_name(services.endpoints.state(endpoint.id))}});
  status["endpoints"] = std::move(endpoints);
  return json_response(200, status);
}

}  // namespace halogen::control::api
