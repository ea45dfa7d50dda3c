#include "control/projects.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "control/api/shapes.h"
#include "control/settings/project_settings.h"

namespace halogen::control::api {

using nlohmann::json;

Response list_projects(Services& services, const Request& request) {
  int64_t limit = request.query_number("limit", 10, 1, 400);
  std::string cursor = request.query_or("cursor", "");
  std::string search = request.query_or("search", "");
  std::vector<Project> projects = services.catalog.projects();
  json listed = json::array();
  bool after_cursor = cursor.empty();
  std::string last;
  for (const Project& project : projects) {
    if (!after_cursor) {
      after_cursor = project.id == cursor;
      continue;
    }
    bool matches = project.name.find(search) != std::string::npos ||
                   project.id.find(search) != std::string::npos;
    if (project.state != "ready" || !matches) continue;
    if (static_cast<int64_t>(listed.size()) == limit) break;
    listed.push_back(project_json(services, project));
    last = project.id;
  }
  json answer = {
      {"projects", listed}, {"applications", json::object()}, {"integrations", json::object()}};
  // The last page repeats the cursor it was asked with: what follows it is empty.
  if (std::string next = last.empty() ? cursor : last; !next.empty())
    answer["pagination"] = {{"cursor", next}};
  return json_response(200, answer);
}

namespace {

// The `settings` of a project in a request, with what is wrong in them told by a code.
json checked_settings(const json& body) {
  json settings = object_or_empty(body, "settings");
  try {
    merged_settings("{}", settings);
  } catch (const Error& error) {
    throw ApiError(400, "INVALID_ALLOWED_IPS", error.what());
  }
  return settings;
}

}  // namespace

Response create_project(Services& services, const Request& request) {
  json body = object_or_empty(request.body_json(), "project");
  json branch = object_or_empty(body, "branch");
  json defaults = object_or_empty(body, "default_endpoint_settings");
  const std::string database = text_or(branch, "database_name", kFirstDatabase);
  const std::string role = text_or(branch, "role_name", kOwnerRole);
  ProjectRequest wanted;
  wanted.name = text_or(body, "name", "");
  wanted.branch_name = text_or(branch, "name", "");
  wanted.pg_version = number_or(body, "pg_version", 15);
  wanted.idle_timeout = number_or(defaults, "suspend_timeout_seconds", 0);
  wanted.settings = checked_settings(body).dump();
  wanted.history_retention = number_or(body, "history_retention_seconds", wanted.history_retention);
  CreatedBranch made = services.projects.create_project(wanted);
  std::vector<Operation> operations = {made.operation};
  try {
    if (database != kFirstDatabase || role != kOwnerRole)
      operations.push_back(services.roles_databases.name_first(made.branch, role, database));
  } catch (const Error&) {
    services.projects.delete_project(made.branch.project_id);
    throw;
  }
  Project project = services.catalog.project(made.branch.project_id);
  return json_response(
      201, {{"project", project_json(services, project)},
            {"connection_uris", connection_uris_json(services, made.branch, made.endpoint)},
            {"roles", roles_json(services, made.branch, made.endpoint)},
            {"databases", databases_json(services, made.branch)},
            {"operations", operations_json(operations)},
            {"branch", branch_json(made.branch)},
            {"endpoints", json::array({endpoint_json(services, made.endpoint)})}});
}

Response get_project(Services& services, const Request& request) {
  Project project = services.catalog.project(request.at("project_id"));
  json shape = project_json(services, project);
  shape["storage"] = storage_json(services, project);
  return json_response(200, {{"project", shape}});
}

// The name and settings; a list of allowed addresses counts at once, for new connections.
Response update_project(Services& services, const Request& request) {
  std::string id = services.catalog.project(request.at("project_id")).id;
  json body = object_or_empty(request.body_json(), "project");
  ProjectChange change{text_or(body, "name", ""), checked_settings(body).dump(), std::nullopt};
  if (int64_t seconds = number_or(body, "history_retention_seconds", -1);
      body.contains("history_retention_seconds"))
    change.history_retention = seconds;
  Project project = services.projects.update_project(id, change);
  return json_response(
      200, {{"project", project_json(services, project)}, {"operations", json::array()}});
}

Response delete_project(Services& services, const Request& request) {
  Project project = services.catalog.project(request.at("project_id"));
  services.projects.delete_project(project.id);
  return json_response(200, {{"project", project_json(services, project)}});
}

Response get_connection_uri(Services& services, const Request& request) {
  const std::string& project_id = request.at("project_id");
  services.catalog.project(project_id);
  std::string endpoint_id = request.query_or("endpoint_id", "");
  Endpoint endpoint;
  if (!endpoint_id.empty()) {
    endpoint = services.catalog.endpoint(endpoint_id);
  } else {
    std::string branch_id = request.query_or("branch_id", "");
    if (branch_id.empty()) branch_id = services.catalog.default_branch(project_id).id;
    if (services.catalog.branch(branch_id).project_id != project_id)
      throw Error(Errc::not_found, "branch not found");
    endpoint = services.catalog.endpoint_of_branch(branch_id);
  }
  if (endpoint.project_id != project_id) throw Error(Errc::not_found, "endpoint not found");
  bool pooled = request.query_or("pooled", "false") == "true";
  std::string uri = services.projects.connection_uri(
      endpoint, request.query_or("database_name", ""), request.query_or("role_name", ""), pooled);
  return json_response(200, {{"uri", uri}});
}

}  // namespace halogen::control::api
