#include <algorithm>
#include <nlohmann/json.hpp>

#include "control/api/requests.h"
#include "control/api/shapes.h"
#include "control/timestamp.h"

namespace halogen::control::api {

using nlohmann::json;

namespace {

bool is_shown(const Branch& branch) { return branch.state != "deleting" && branch.is_listed(); }

std::vector<Branch> listed_branches(Services& services, const Request& request) {
  const std::string search = request.query_or("search", "");
  std::vector<Branch> branches = services.catalog.branches(path_project(services, request).id);
  std::erase_if(branches, [&](const Branch& branch) {
    return !is_shown(branch) || (branch.name.find(search) == std::string::npos &&
                                 branch.id.find(search) == std::string::npos);
  });
  return branches;
}

// Sorted by it as text; the id decides between equals.
std::pair<std::string, std::string> place_of(const Branch& branch, const std::string& sort_by) {
  if (sort_by == "name") return {branch.name, branch.id};
  const Micros at = sort_by == "created_at" ? branch.created_at : branch.updated_at;
  return {fmt::format("{:020}", at), branch.id};
}

std::string as_cursor(const std::pair<std::string, std::string>& place) {
  std::string hex;
  for (unsigned char c : place.first) hex += fmt::format("{:02x}", c);
  return hex + "_" + place.second;
}

std::pair<std::string, std::string> place_in(const std::string& cursor) {
  const size_t bar = cursor.find('_');
  std::optional<std::string> text = parse_hex(cursor.substr(0, bar));
  if (bar == std::string::npos || !text)
    throw Error(Errc::invalid_argument, "cursor is none that a list of branches gave");
  return {*text, cursor.substr(bar + 1)};
}

Response changed_branch(Services& services, const std::string& id) {
  return json_response(200, {{"branch", branch_json(services, services.catalog.branch(id))},
                             {"operations", json::array()}});
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
  const std::string sort_by = request.query_or("sort_by", "updated_at");
  const std::string sort_order = request.query_or("sort_order", "desc");
  const size_t limit = static_cast<size_t>(request.query_number("limit", 10'000, 1, 10'000));
  std::map<std::pair<std::string, std::string>, Branch> sorted;
  for (Branch& branch : listed_branches(services, request))
    sorted.emplace(place_of(branch, sort_by), std::move(branch));
  std::vector<const Branch*> page;
  std::optional<std::pair<std::string, std::string>> after;
  if (std::string cursor = request.query_or("cursor", ""); !cursor.empty())
    after = place_in(cursor);
  if (sort_order == "asc") {
    for (auto it = after ? sorted.upper_bound(*after) : sorted.begin(); it != sorted.end(); ++it)
      page.push_back(&it->second);
  } else {
    auto it = std::make_reverse_iterator(after ? sorted.lower_bound(*after) : sorted.end());
    for (; it != sorted.rend(); ++it) page.push_back(&it->second);
  }
  json pagination = {{"sort_by", sort_by}, {"sort_order", sort_order}};
  if (page.size() > limit) {
    page.resize(limit);
    pagination["next"] = as_cursor(place_of(*page.back(), sort_by));
  }
  const auto known = services.catalog.annotations(request.at("project_id"));
  json branches = json::array();
  json annotations = json::object();
  for (const Branch* branch : page) {
    branches.push_back(branch_json(services, *branch));
    if (auto found = known.find(branch->id); found != known.end())
      annotations[branch->id] = annotation_json(branch->id, found->second);
  }
  return json_response(
      200, {{"branches", branches}, {"annotations", annotations}, {"pagination", pagination}});
}

// Unlike lists, by the name only.
Response count_branches(Services& services, const Request& request) {
  const std::string search = request.query_or("search", "");
  const std::vector<Branch> branches =
      services.catalog.branches(path_project(services, request).id);
  const auto count = std::ranges::count_if(branches, [&](const Branch& branch) {
    return is_shown(branch) && branch.name.find(search) != std::string::npos;
  });
  return json_response(200, {{"count", count}});
}

namespace {

void take_endpoints(Services& services, const json& body, BranchRequest& wanted) {
  auto endpoints = body.find("endpoints");
  if (endpoints == body.end() || endpoints->is_null()) return;
  for (const json& one : *endpoints) {
    EndpointRequest request = endpoint_request(services, one);
    if (request.read_only) {
      wanted.readers.push_back(std::move(request));
      continue;
    }
    if (wanted.endpoint) throw Error(Errc::conflict, "a branch has one read_write endpoint");
    wanted.endpoint = std::move(request);
  }
}

}  // namespace

Response create_branch(Services& services, const Request& request) {
  const Project project = path_project(services, request);
  json body = request.body_json();
  json branch = object_or_empty(body, "branch");
  BranchRequest wanted;
  wanted.name = text_or(branch, "name", "");
  wanted.parent_id = text_or(branch, "parent_id", "");
  wanted.moment = moment_in(branch, "parent_lsn", "parent_timestamp");
  wanted.is_protected = flag_or(branch, "protected", false);
  wanted.expires_at = time_in(branch, "expires_at");
  wanted.schema_only = text_or(branch, "init_source", "parent-data") == "schema-only";
  if (flag_or(branch, "archived", false))
    throw Error(Errc::conflict, "archived: branches are not archived here");
  if (json annotation = object_or_empty(body, "annotation_value"); !annotation.empty())
    wanted.annotation = annotation.dump();
  take_endpoints(services, body, wanted);
  CreatedBranch made =
      with_unique_name([&] { return services.projects.branches().create(project.id, wanted); });
  std::vector<Endpoint> endpoints = {made.endpoint};
  endpoints.insert(endpoints.end(), made.readers.begin(), made.readers.end());
  json answer = {{"branch", branch_json(services, made.branch)},
                 {"endpoints", endpoints_json(services, endpoints)},
                 {"operations", json::array({operation_json(made.operation)})},
                 {"roles", roles_json(services, made.branch, made.endpoint)},
                 {"databases", databases_json(services, made.branch)}};
  if (json uris = connection_uris_json(services, made.branch, made.endpoint); !uris.empty())
    answer["connection_uris"] = uris;
  return json_response(201, answer);
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
  RestoredBranch restored =
      with_unique_name([&] { return services.projects.restores().restore(branch.id, wanted); });
  return json_response(200, {{"branch", branch_json(services, restored.branch)},
                             {"operations", operations_json(restored.operations)}});
}

Response get_branch(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  auto known = services.catalog.annotations(branch.project_id);
  json shape = branch_json(services, branch);
  try {
    const TimelineInfo info = services.pageserver.timeline(branch.timeline);
    shape["logical_size"] = info.logical_bytes;
    shape["storage"] = storage_json(info);
  } catch (const Error& error) {
    shape["storage"] = {{"problem", error.what()}};  // Storage cannot open it; the rest is known.
  }
  return json_response(
      200, {{"branch", shape}, {"annotation", annotation_json(branch.id, known[branch.id])}});
}

Response delete_branch(Services& services, const Request& request) {
  path_project(services, request);
  return unless_gone([&] {
    Branch branch = path_branch(services, request);
    Operation operation = services.projects.branches().remove(branch.id);
    return json_response(200, {{"branch", branch_json(services, branch)},
                               {"operations", json::array({operation_json(operation)})}});
  });
}

Response update_branch(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  json wanted = object_or_empty(request.body_json(), "branch");
  BranchChange change;
  change.name = text_or(wanted, "name", "");
  if (auto found = wanted.find("protected"); found != wanted.end() && !found->is_null())
    change.is_protected = flag_or(wanted, "protected", false);
  if (wanted.contains("expires_at")) change.expires_at = time_in(wanted, "expires_at");
  with_unique_name([&] { return services.projects.branches().update(branch.id, change); });
  return changed_branch(services, branch.id);
}

Response set_default_branch(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  services.projects.branches().set_default(branch.id);
  return changed_branch(services, branch.id);
}

}  // namespace halogen::control::api
