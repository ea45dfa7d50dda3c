// What the console's lists show of many things at once. Routes of our own, not Neon's.
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "control/api/shapes.h"

namespace halogen::control::api {

using nlohmann::json;

namespace {

// nullopt for what storage cannot open: its branch is listed all the same.
std::optional<TimelineInfo> storage_of(Services& services, const Branch& branch) {
  try {
    return services.pageserver.timeline(branch.timeline);
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::vector<Branch> shown_branches(Services& services, const std::string& project_id) {
  std::vector<Branch> branches = services.catalog.branches(project_id);
  std::erase_if(branches, [](const Branch& branch) {
    return !branch.is_listed() || branch.state == "deleting";
  });
  return branches;
}

json branch_overview(Services& services, const Branch& branch) {
  json shape = {{"branch_id", branch.id}};
  if (std::optional<TimelineInfo> storage = storage_of(services, branch)) {
    shape["last_record_lsn"] = storage->last_record_lsn.str();
    shape["logical_bytes"] = storage->logical_bytes;
    shape["own_bytes"] = storage->physical_bytes;
    shape["history_bytes"] = storage->history_bytes;
    shape["shared_bytes"] = storage->shared_bytes;
  }
  return shape;
}

json compute_overview(Services& services, const Endpoint& endpoint,
                      const std::map<std::string, std::string>& problems) {
  json shape = {{"endpoint_id", endpoint.id},
                {"branch_id", endpoint.branch_id},
                {"state", compute_state_name(services.endpoints.state(endpoint.id))},
                {"keeps_awake", services.endpoints.keeps_awake(endpoint.id)}};
  if (auto problem = problems.find(endpoint.id); problem != problems.end())
    shape["problem"] = problem->second;
  if (endpoint.started_at) shape["started_at"] = rfc3339(*endpoint.started_at);
  if (endpoint.suspended_at) shape["suspended_at"] = rfc3339(*endpoint.suspended_at);
  return shape;
}

json project_overview(Services& services, const Project& project) {
  uint64_t own_bytes = 0;
  uint64_t logical_bytes = 0;
  const std::vector<Branch> branches = shown_branches(services, project.id);
  for (const Branch& branch : branches) {
    std::optional<TimelineInfo> storage = storage_of(services, branch);
    if (!storage) continue;
    own_bytes += storage->physical_bytes;
    if (branch.is_default) logical_bytes = storage->logical_bytes;
  }
  std::map<std::string, int> computes;
  Micros last_active = 0;
  for (const Endpoint& endpoint : services.catalog.endpoints(project.id)) {
    computes[std::string(compute_state_name(services.endpoints.state(endpoint.id)))]++;
    last_active =
        std::max({last_active, endpoint.started_at.value_or(0), endpoint.suspended_at.value_or(0)});
  }
  json shape = {{"project_id", project.id},
                {"branches", branches.size()},
                {"computes", computes},
                {"logical_bytes", logical_bytes},
                {"own_bytes", own_bytes}};
  if (last_active != 0) shape["last_active_at"] = rfc3339(last_active);
  return shape;
}

}  // namespace

Response get_overview(Services& services, const Request&) {
  json listed = json::array();
  for (const Project& project : services.catalog.projects())
    if (project.state == "ready") listed.push_back(project_overview(services, project));
  return json_response(200, {{"projects", std::move(listed)}});
}

// For finding one by its name: of thousands, a few words each.
Response get_all_branches(Services& services, const Request&) {
  json listed = json::array();
  for (const Project& project : services.catalog.projects()) {
    if (project.state != "ready") continue;
    for (const Branch& branch : shown_branches(services, project.id))
      listed.push_back({{"id", branch.id}, {"name", branch.name}, {"project_id", project.id}});
  }
  return json_response(200, {{"branches", std::move(listed)}});
}

Response get_project_overview(Services& services, const Request& request) {
  const std::string id = path_project(services, request).id;
  std::map<std::string, std::string> problems;
  for (const ComputeProcess& process : services.host.processes())
    if (!process.problem.empty()) problems[process.endpoint_id] = process.problem;
  json branches = json::array();
  for (const Branch& branch : shown_branches(services, id))
    branches.push_back(branch_overview(services, branch));
  json computes = json::array();
  for (const Endpoint& endpoint : services.catalog.endpoints(id))
    computes.push_back(compute_overview(services, endpoint, problems));
  return json_response(200, {{"branches", std::move(branches)}, {"computes", std::move(computes)}});
}

}  // namespace halogen::control::api
