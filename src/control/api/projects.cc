#include "control/projects.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "control/api/requests.h"
#include "control/api/shapes.h"
#include "control/settings/preload_libraries.h"
#include "control/settings/project_settings.h"

namespace halogen::control::api {

using nlohmann::json;

namespace {

// The place behind a project in the order of lists.
std::string cursor_behind(const Project& project) {
  return fmt::format("{}_{}", project.created_at, project.id);
}

void set_place(Catalog::ProjectPage& page, const std::string& cursor) {
  if (cursor.empty()) return;
  const size_t bar = cursor.find('_');
  std::optional<int64_t> created = parse_whole(cursor.substr(0, bar));
  if (bar == std::string::npos || !created)
    throw Error(Errc::invalid_argument, "cursor is none that a list of projects gave");
  page.after_created = *created;
  page.after_id = cursor.substr(bar + 1);
}

}  // namespace

Response list_projects(Services& services, const Request& request) {
  Catalog::ProjectPage page;
  page.org_id = chosen_organization(services, request, request.query_or("org_id", ""));
  page.limit = request.query_number("limit", 10, 1, 400);
  page.search = request.query_or("search", "");
  page.recoverable = request.query_or("recoverable", "false") == "true";
  const std::string cursor = request.query_or("cursor", "");
  set_place(page, cursor);
  json listed = json::array();
  std::string last = cursor;
  for (const Project& project : services.catalog.project_page(page)) {
    listed.push_back(project_item_json(services, project));
    last = cursor_behind(project);
  }
  json answer = {
      {"projects", listed}, {"applications", json::object()}, {"integrations", json::object()}};
  // The last page repeats the cursor it was asked with: what follows it is empty.
  if (!last.empty()) answer["pagination"] = {{"cursor", last}};
  return json_response(200, answer);
}

namespace {

// What is asked for and has no effect here is refused: it would be taken for protection.
void require_offered(const json& settings) {
  for (const char* name :
       {"enable_logical_replication", "block_public_connections", "block_vpc_connections", "hipaa"})
    if (settings.value(name, json()) == true)
      throw Error(Errc::conflict, "settings.{} is not offered here", name);
}

// The `settings` of a project in a request, with what is wrong in them told by a code.
json checked_settings(const json& body, int pg_version) {
  json settings = object_or_empty(body, "settings");
  require_offered(settings);
  check_preload_libraries(settings, pg_version);
  try {
    merged_settings("{}", settings);
  } catch (const Error& error) {
    throw ApiError(400, "INVALID_ALLOWED_IPS", error.what());
  }
  return settings;
}

// Only what has an effect here is kept.
json endpoint_defaults(Services& services, const json& body) {
  json given = object_or_empty(body, "default_endpoint_settings");
  json kept = json::object();
  for (const char* key : {"autoscaling_limit_min_cu", "autoscaling_limit_max_cu",
                          "suspend_timeout_seconds", "pg_settings"})
    if (auto found = given.find(key); found != given.end() && !found->is_null()) kept[key] = *found;
  // As it was before there were default_endpoint_settings.
  for (const char* key : {"autoscaling_limit_min_cu", "autoscaling_limit_max_cu"})
    if (auto found = body.find(key); found != body.end() && !found->is_null()) kept[key] = *found;
  if (kept.contains("pg_settings")) checked_pg_settings(services, kept["pg_settings"]);
  return kept;
}

std::optional<std::string> annotation_in(const json& object, const char* key) {
  json value = object_or_empty(object, key);
  return value.empty() ? std::nullopt : std::optional(value.dump());
}

}  // namespace

Response create_project(Services& services, const Request& request) {
  json body = object_or_empty(request.body_json(), "project");
  json branch = object_or_empty(body, "branch");
  const std::string region = text_or(body, "region_id", services.region);
  if (region != services.region)
    throw Error(Errc::invalid_argument, "region_id must be {}: there is no other region here",
                services.region);
  ProjectRequest wanted;
  wanted.name = text_or(body, "name", "");
  wanted.branch_name = text_or(branch, "name", "");
  wanted.database = text_or(branch, "database_name", kFirstDatabase);
  wanted.role = text_or(branch, "role_name", kOwnerRole);
  wanted.org_id = chosen_organization(services, request, text_or(body, "org_id", ""));
  wanted.pg_version = number_or(body, "pg_version", 15);
  wanted.settings = checked_settings(body, wanted.pg_version).dump();
  wanted.endpoint_defaults = endpoint_defaults(services, body).dump();
  wanted.history_retention = number_or(body, "history_retention_seconds", kDefaultHistoryRetention);
  wanted.store_passwords = flag_or(body, "store_passwords", true);
  wanted.annotation = annotation_in(branch, "annotations");
  CreatedBranch made = services.projects.create(wanted);
  Project project = services.catalog.project(made.branch.project_id);
  json answer = {{"project", project_json(services, project)},
                 {"connection_uris", connection_uris_json(services, made.branch, made.endpoint)},
                 {"roles", roles_json(services, made.branch, made.endpoint)},
                 {"databases", databases_json(services, made.branch)},
                 {"operations", operations_json({made.operation})},
                 {"branch", branch_json(services, made.branch)},
                 {"endpoints", endpoints_json(services, {made.endpoint})}};
  // Told this once, and kept nowhere.
  if (!project.store_passwords) services.catalog.remove_password(made.branch.id, wanted.role);
  return json_response(201, answer);
}

Response get_project(Services& services, const Request& request) {
  const Project project = path_project(services, request);
  json shape = project_json(services, project);
  shape["storage"] = storage_json(services, project);
  return json_response(200, {{"project", shape}});
}

// A list of allowed addresses counts at once, for new connections.
Response update_project(Services& services, const Request& request) {
  const Project before = path_project(services, request);
  json body = object_or_empty(request.body_json(), "project");
  ProjectChange change{text_or(body, "name", ""), checked_settings(body, before.pg_version).dump(),
                       endpoint_defaults(services, body).dump(), std::nullopt};
  if (body.contains("history_retention_seconds"))
    change.history_retention =
        number_or(body, "history_retention_seconds", kDefaultHistoryRetention);
  Project project = services.projects.update(before.id, change);
  return json_response(
      200, {{"project", project_json(services, project)}, {"operations", json::array()}});
}

// What computes may preload (`settings.preload_libraries`), as far as it is installed here.
Response list_preload_libraries(Services& services, const Request& request) {
  const int version = path_project(services, request).pg_version;
  json listed = json::array();
  for (const PreloadLibrary& library : preload_libraries())
    if (is_installed(library, version))
      listed.push_back({{"library_name", library.name},
                        {"description", library.description},
                        {"is_default", false},
                        {"is_experimental", false},
                        {"version", version_of(library, version)}});
  return json_response(200, {{"libraries", listed}});
}

Response delete_project(Services& services, const Request& request) {
  const bool for_good = request.query_or("hard_delete", "false") == "true";
  // For good also where it waits to be recovered.
  Project project = for_good ? services.catalog.project(request.at("project_id"))
                             : path_project(services, request);
  if (for_good)
    services.projects.discard(project.id);
  else
    project = services.projects.remove(project.id);
  return json_response(200, {{"project", project_json(services, project)}});
}

Response recover_project(Services& services, const Request& request) {
  Project project = services.projects.recover(request.at("project_id"));
  json branches = json::array();
  for (const Branch& branch : services.catalog.branches(project.id))
    if (branch.is_listed() && branch.state == "ready")
      branches.push_back(branch_json(services, branch));
  return json_response(200, {{"project", project_json(services, project)}, {"branches", branches}});
}

Response get_connection_uri(Services& services, const Request& request) {
  const Project project = path_project(services, request);
  std::string endpoint_id = request.query_or("endpoint_id", "");
  Endpoint endpoint;
  if (!endpoint_id.empty()) {
    endpoint = services.catalog.endpoint(endpoint_id);
  } else {
    std::string branch_id = request.query_or("branch_id", "");
    if (branch_id.empty()) branch_id = services.catalog.default_branch(project.id).id;
    Branch branch = services.catalog.branch(branch_id);
    if (branch.project_id != project.id) throw Error(Errc::not_found, "branch not found");
    endpoint = read_write_endpoint(services, branch);
  }
  if (endpoint.project_id != project.id || !endpoint.asked_for)
    throw Error(Errc::not_found, "endpoint not found");
  bool pooled = request.query_or("pooled", "false") == "true";
  std::string uri = services.projects.connection_strings().uri(
      endpoint, request.query_or("database_name", ""), request.query_or("role_name", ""), pooled);
  return json_response(200, {{"uri", uri}});
}

}  // namespace halogen::control::api
