#include <map>
#include <nlohmann/json.hpp>

#include "base/metrics.h"
#include "control/api/shapes.h"

namespace halogen::control::api {

using nlohmann::json;

namespace {

json computes_json(Services& services) {
  std::map<std::string, ComputeProcess> running;
  for (ComputeProcess& process : services.host.processes())
    running[process.endpoint_id] = std::move(process);
  json computes = json::array();
  for (const Endpoint& endpoint : services.catalog.all_endpoints()) {
    json shape = {{"endpoint", endpoint.id},
                  {"project", endpoint.project_id},
                  {"branch", endpoint.branch_id},
                  {"timeline", services.catalog.branch(endpoint.branch_id).timeline.str()},
                  {"state", compute_state_name(services.endpoints.state(endpoint.id))},
                  {"keeps_awake", services.endpoints.keeps_awake(endpoint.id)},
                  {"next_job_at", nullptr},
                  {"pid", nullptr},
                  {"socket_folder", nullptr}};
    if (auto job = services.endpoints.next_job(endpoint.id)) shape["next_job_at"] = rfc3339(*job);
    if (services.data_directory) shape["data_directory"] = services.data_directory(endpoint.id);
    if (auto process = running.find(endpoint.id); process != running.end()) {
      shape["pid"] = process->second.pid;
      shape["socket_folder"] = process->second.socket_folder;
      shape["data_directory"] = process->second.data_directory;
      shape["log_file"] = process->second.log_file;
      shape["problem"] = process->second.problem;
    }
    computes.push_back(std::move(shape));
  }
  return computes;
}

// One entry for each branch, also of those that only look at a moment.
json storage_of_branches(Services& services) {
  std::map<TimelineId, TimelineInfo> timelines;
  for (TimelineInfo& info : services.pageserver.timelines())
    timelines[info.timeline] = std::move(info);
  json listed = json::array();
  for (const Branch& branch : services.catalog.all_branches()) {
    auto found = timelines.find(branch.timeline);
    if (found == timelines.end()) continue;
    json shape = storage_json(found->second);
    shape["project"] = branch.project_id;
    shape["branch"] = branch.id;
    shape["name"] = branch.name;
    if (found->second.logical_bytes > 0) shape["logical_bytes"] = found->second.logical_bytes;
    listed.push_back(std::move(shape));
  }
  return listed;
}

}  // namespace

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
  status["computes"] = computes_json(services);
  status["storage"] = storage_of_branches(services);
  return json_response(200, status);
}

}  // namespace halogen::control::api
