#include <nlohmann/json.hpp>

#include "control/api/requests.h"
#include "control/api/shapes.h"
#include "control/timestamp.h"

namespace halogen::control::api {

using nlohmann::json;

namespace {

json snapshot_json(const Snapshot& snapshot) {
  json shape = {{"id", snapshot.id},
                {"name", snapshot.name},
                {"lsn", snapshot.lsn.str()},
                {"source_branch_id", snapshot.source_branch_id},
                {"created_at", rfc3339(snapshot.created_at)},
                {"manual", snapshot.manual}};
  if (snapshot.time) shape["timestamp"] = timestamp(*snapshot.time);
  if (snapshot.expires_at) shape["expires_at"] = rfc3339(*snapshot.expires_at);
  return shape;
}

Snapshot path_snapshot(Services& services, const Request& request) {
  path_project(services, request);
  Snapshot snapshot = services.catalog.snapshot(request.at("snapshot_id"));
  if (snapshot.project_id != request.at("project_id"))
    throw Error(Errc::not_found, "snapshot not found");
  return snapshot;
}

}  // namespace

Response list_snapshots(Services& services, const Request& request) {
  json listed = json::array();
  for (const Snapshot& snapshot : services.catalog.snapshots(path_project(services, request).id))
    listed.push_back(snapshot_json(snapshot));
  return json_response(200, {{"snapshots", listed}});
}

Response create_snapshot(Services& services, const Request& request) {
  const Branch branch = path_branch(services, request);
  SnapshotRequest wanted;
  wanted.name = request.query_or("name", "");
  wanted.moment = moment_in(request, "lsn", "timestamp");
  wanted.expires_at = time_in({{"expires_at", request.query_or("expires_at", "")}}, "expires_at");
  CreatedSnapshot made = services.projects.snapshots().create(branch.id, wanted);
  return json_response(200, {{"snapshot", snapshot_json(made.snapshot)},
                             {"operations", operations_json({made.operation})}});
}

Response update_snapshot(Services& services, const Request& request) {
  const Snapshot snapshot = path_snapshot(services, request);
  json wanted = object_or_empty(request.body_json(), "snapshot");
  const std::string name = text_or(wanted, "name", snapshot.name);
  check_object_name("snapshot", name);
  services.catalog.rename_snapshot(snapshot.id, name);
  return json_response(200, {{"snapshot", snapshot_json(services.catalog.snapshot(snapshot.id))}});
}

Response delete_snapshot(Services& services, const Request& request) {
  const Operation operation =
      services.projects.snapshots().remove(path_snapshot(services, request));
  return json_response(202, {{"operations", operations_json({operation})}});
}

Response restore_snapshot(Services& services, const Request& request) {
  const Snapshot snapshot = path_snapshot(services, request);
  json body = request.body_json();
  SnapshotRestore wanted;
  wanted.name = text_or(body, "name", request.query_or("name", ""));
  wanted.target_id = text_or(body, "target_branch_id", "");
  wanted.finalize = flag_or(body, "finalize_restore", false);
  auto [branch, operations] = services.projects.snapshots().restore(snapshot, wanted);
  return json_response(
      200,
      {{"branch", branch_json(services, branch)},
       {"endpoints", endpoints_json(services, services.catalog.endpoints_of_branch(branch.id))},
       {"operations", operations_json(operations)}});
}

Response finalize_restore(Services& services, const Request& request) {
  const Branch branch = path_branch(services, request);
  const std::string name = text_or(request.body_json(), "name", "");
  return json_response(
      200,
      {{"operations", operations_json(services.projects.snapshots().finalize(branch.id, name))}});
}

Response get_backup_schedule(Services& services, const Request& request) {
  const Branch branch = path_branch(services, request);
  return json_response(200, {{"schedule", json::parse(services.catalog.schedule(branch.id))}});
}

// Counts from now on: what would have been due before is not taken.
Response set_backup_schedule(Services& services, const Request& request) {
  const Branch branch = path_branch(services, request);
  json items = request.body_json().value("schedule", json::array());
  parse_schedule(items);
  services.catalog.set_schedule({branch.id, items.dump(), now_micros()});
  return json_response(200, json::object());
}

}  // namespace halogen::control::api
