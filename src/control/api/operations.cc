#include <nlohmann/json.hpp>

#include "control/api/shapes.h"

namespace halogen::control::api {

using nlohmann::json;

Response list_operations(Services& services, const Request& request) {
  const std::string project_id = path_project(services, request).id;
  int64_t limit = request.query_number("limit", 100, 1, 1000);
  std::string cursor = request.query_or("cursor", "");
  json listed = json::array();
  std::string last = cursor;
  for (const Operation& operation : services.catalog.operations(project_id, limit, cursor)) {
    listed.push_back(operation_json(operation));
    last = operation.id;
  }
  json answer = {{"operations", listed}};
  if (!last.empty()) answer["pagination"] = {{"cursor", last}};
  return json_response(200, answer);
}

Response get_operation(Services& services, const Request& request) {
  Operation operation = services.catalog.operation(request.at("operation_id"));
  if (operation.project_id != request.at("project_id"))
    throw Error(Errc::not_found, "operation not found");
  return json_response(200, {{"operation", operation_json(operation)}});
}

}  // namespace halogen::control::api
