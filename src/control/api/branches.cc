#include <algorithm>
#include <nlohmann/json.hpp>

#include "control/api/shapes.h"

namespace halogen::control::api {

using nlohmann::json;

Response list_branches(Services& services, const Request& request) {
  const std::string& project_id = request.at("project_id");
  services.catalog.project(project_id);
  std::string search = request.query_or("search", "");
  std::vector<Branch> branches = services.catalog.branches(project_id);
  std::reverse(branches.begin(), branches.end());  // Newest first, as Neon's default.
  json listed = json::array();
  for (const Branch& branch : branches) {
    if (branch.state == "deleting") continue;
    if (branch.name.find(search) == std::string::npos &&
        branch.id.find(search) == std::string::npos)
      continue;
    listed.push_back(branch_json(branch));
  }
  return json_response(200, {{"branches", listed},
                             {"annotations", json::object()},
                             {"pagination", {{"sort_by", "updated_at"}, {"sort_order", "desc"}}}});
}

Response create_branch(Services& services, const Request& request) {
  json body = request.body_json();
  json branch = object_or_empty(body, "branch");
  for (const char* key : {"parent_lsn", "parent_timestamp"})
    if (!text_or(branch, key, "").empty())
      throw Error(Errc::invalid_argument, "{} is not supported yet: branch at the parent's head",
                  key);
  BranchRequest wanted;
  wanted.name = text_or(branch, "name", "");
  wanted.parent_id = text_or(branch, "parent_id", "");
  if (auto endpoints = body.find("endpoints");
      endpoints != body.end() && endpoints->is_array() && !endpoints->empty()) {
    const json& first = endpoints->front();
    if (!first.is_object()) throw Error(Errc::invalid_argument, "endpoints must be objects");
    wanted.idle_timeout = number_or(first, "suspend_timeout_seconds", 0);
  }
  try {
    CreatedBranch made = services.projects.create_branch(request.at("project_id"), wanted);
    return json_response(
        201, {{"branch", branch_json(made.branch)},
              {"endpoints", json::array({endpoint_json(services, made.endpoint)})},
              {"operations", json::array({operation_json(made.operation)})},
              {"roles", roles_json(services, made.branch, &made.endpoint)},
              {"databases", databases_json(services, made.branch)},
              {"connection_uris", connection_uris_json(services, made.branch, made.endpoint)}});
  } catch (const Error& error) {
    if (error.code() == Errc::already_exists)
      throw ApiError(409, "BRANCH_ALREADY_EXISTS", error.what());
    throw;
  }
}

Response get_branch(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  json annotation = {{"object", {{"type", "console/branch"}, {"id", branch.id}}},
                     {"value", json::object()}};
  return json_response(200, {{"branch", branch_json(branch)}, {"annotation", annotation}});
}

Response delete_branch(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  Operation operation = services.projects.delete_branch(branch.id);
  return json_response(200, {{"branch", branch_json(branch)},
                             {"operations", json::array({operation_json(operation)})}});
}

Response list_roles(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  return json_response(200, {{"roles", roles_json(services, branch, nullptr)}});
}

Response list_databases(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  return json_response(200, {{"databases", databases_json(services, branch)}});
}

Response reveal_password(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  std::optional<std::string> password = services.projects.password(
      services.catalog.endpoint_of_branch(branch.id), request.at("role_name"));
  if (!password)
    throw Error(Errc::not_found,
                "role not found, or its password is not stored: it was set or changed by SQL");
  return json_response(200, {{"password", *password}});
}

}  // namespace halogen::control::api
