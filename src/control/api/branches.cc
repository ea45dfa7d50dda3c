#include <algorithm>
#include <nlohmann/json.hpp>

#include "control/api/shapes.h"
#include "control/timestamp.h"

namespace halogen::control::api {

using nlohmann::json;

namespace {

json listed_branches(Services& services, const Request& request) {
  const std::string& project_id = request.at("project_id");
  services.catalog.project(project_id);
  std::string search = request.query_or("search", "");
  std::vector<Branch> branches = services.catalog.branches(project_id);
  std::reverse(branches.begin(), branches.end());  // Newest first, as Neon's default.
  json listed = json::array();
  for (const Branch& branch : branches) {
    if (branch.state == "deleting" || branch.is_look) continue;
    if (branch.name.find(search) == std::string::npos &&
        branch.id.find(search) == std::string::npos)
      continue;
    listed.push_back(branch_json(branch));
  }
  return listed;
}

Response changed_branch(Services& services, const std::string& id) {
  return json_response(
      200, {{"branch", branch_json(services.catalog.branch(id))}, {"operations", json::array()}});
}

// Within a project names are unique.
template <typename Make>
auto with_unique_name(Make make) {
  try {
    return make();
  } catch (const Error& error) {
    if (error.code() == Errc::already_exists)
      throw ApiError(409, "BRANCH_ALREADY_EXISTS", error.what());
    throw;
  }
}

}  // namespace

Response list_branches(Services& services, const Request& request) {
  return json_response(200, {{"branches", listed_branches(services, request)},
                             {"annotations", json::object()},
                             {"pagination", {{"sort_by", "updated_at"}, {"sort_order", "desc"}}}});
}

namespace {

WantedMoment moment_in(const json& object, const char* lsn_key, const char* time_key) {
  WantedMoment moment;
  if (std::string text = text_or(object, lsn_key, ""); !text.empty()) {
    moment.lsn = Lsn::parse(text);
    if (!moment.lsn)
      throw Error(Errc::invalid_argument, "{} must be an LSN, as 0/1A2B3C4D", lsn_key);
  }
  if (std::string text = text_or(object, time_key, ""); !text.empty()) {
    moment.time = parse_timestamp(text);
    if (!moment.time)
      throw Error(Errc::invalid_argument,
                  "{} must be a time with its zone, as 2026-11-23T01:26:10Z", time_key);
  }
  return moment;
}

}  // namespace

Response create_branch(Services& services, const Request& request) {
  json body = request.body_json();
  json branch = object_or_empty(body, "branch");
  BranchRequest wanted;
  wanted.name = text_or(branch, "name", "");
  wanted.parent_id = text_or(branch, "parent_id", "");
  wanted.moment = moment_in(branch, "parent_lsn", "parent_timestamp");
  if (auto endpoints = body.find("endpoints");
      endpoints != body.end() && endpoints->is_array() && !endpoints->empty()) {
    const json& first = endpoints->front();
    if (!first.is_object()) throw Error(Errc::invalid_argument, "endpoints must be objects");
    wanted.idle_timeout = number_or(first, "suspend_timeout_seconds", 0);
  }
  CreatedBranch made = with_unique_name(
      [&] { return services.projects.create_branch(request.at("project_id"), wanted); });
  return json_response(
      201, {{"branch", branch_json(made.branch)},
            {"endpoints", json::array({endpoint_json(services, made.endpoint)})},
            {"operations", json::array({operation_json(made.operation)})},
            {"roles", roles_json(services, made.branch, made.endpoint)},
            {"databases", databases_json(services, made.branch)},
            {"connection_uris", connection_uris_json(services, made.branch, made.endpoint)}});
}

// As Neon's: the answer's parent_id is the branch that keeps the old state, if it has been restored
// from itself.
Response restore_branch(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  json body = request.body_json();
  RestoreRequest wanted;
  wanted.source_id = text_or(body, "source_branch_id", "");
  if (wanted.source_id.empty()) throw Error(Errc::invalid_argument, "source_branch_id is required");
  wanted.moment = moment_in(body, "source_lsn", "source_timestamp");
  wanted.keep_as = text_or(body, "preserve_under_name", "");
  try {
    RestoredBranch restored = services.projects.restore_branch(branch.id, wanted);
    json operations = json::array();
    for (const Operation& operation : restored.operations)
      operations.push_back(operation_json(operation));
    return json_response(200,
                         {{"branch", branch_json(restored.branch)}, {"operations", operations}});
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
  json shape = branch_json(branch);
  try {
    const TimelineInfo info = services.pageserver.timeline(branch.timeline);
    shape["logical_size"] = info.logical_bytes;
    shape["storage"] = storage_json(info);
  } catch (const Error& error) {
    shape["storage"] = {{"problem", error.what()}};  // Storage cannot open it; the rest is known.
  }
  return json_response(200, {{"branch", shape}, {"annotation", annotation}});
}

Response delete_branch(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  Operation operation = services.projects.delete_branch(branch.id);
  return json_response(200, {{"branch", branch_json(branch)},
                             {"operations", json::array({operation_json(operation)})}});
}

Response count_branches(Services& services, const Request& request) {
  const json listed = listed_branches(services, request);
  return json_response(200, {{"count", listed.size()}});
}

Response update_branch(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  json wanted = object_or_empty(request.body_json(), "branch");
  for (const char* key : {"protected", "expires_at"})
    if (auto value = wanted.find(key);
        value != wanted.end() && !value->is_null() && *value != false)
      throw Error(Errc::invalid_argument, "{} is not supported yet", key);
  if (std::string name = text_or(wanted, "name", branch.name); name != branch.name)
    with_unique_name([&] { services.projects.rename_branch(branch.id, name); });
  return changed_branch(services, branch.id);
}

Response set_default_branch(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  services.projects.set_default_branch(branch.id);
  return changed_branch(services, branch.id);
}

}  // namespace halogen::control::api
