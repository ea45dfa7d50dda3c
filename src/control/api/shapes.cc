#include "control/api/shapes.h"

#include "control/settings/endpoint_settings.h"
#include "control/timestamp.h"

#include <ctime>
#include <nlohmann/json.hpp>

namespace halogen::control::api {

using nlohmann::json;

std::string rfc3339(Micros at) {
  std::time_t seconds = at / 1'000'000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

json project_json(Services& services, const Project& project) {
  constexpr int64_t kWeek = 7 * 24 * 3600;
  return {
      {"id", project.id},
      {"platform_id", "halogen"},
      {"region_id", services.region},
      {"name", project.name},
      {"provisioner", "halogen"},
      {"default_endpoint_settings", {{"suspend_timeout_seconds", project.default_idle_timeout}}},
      {"settings", json::parse(project.settings)},
      {"pg_version", project.pg_version},
      {"proxy_host", services.projects.host_name("", false).substr(1)},
      {"branch_logical_size_limit", 16'777'216},
      {"branch_logical_size_limit_bytes", 17'592'186'044'416},
      {"store_passwords", true},
      {"creation_source", "console"},
      {"history_retention_seconds", project.history_retention},
      {"created_at", rfc3339(project.created_at)},
      {"updated_at", rfc3339(project.updated_at)},
      {"consumption_period_start", rfc3339(project.created_at)},
      {"consumption_period_end", rfc3339(project.created_at + 30 * kWeek / 7 * 1'000'000)},
      {"owner_id", "halogen"},
      {"data_storage_bytes_hour", 0},
      {"data_transfer_bytes", 0},
      {"written_data_bytes", 0},
      {"compute_time_seconds", 0},
      {"active_time_seconds", 0},
      {"active_time", 0},
      {"cpu_used_sec", 0}};
}

json storage_json(const TimelineInfo& info) {
  return {{"own_bytes", info.physical_bytes},
          {"history_bytes", info.history_bytes},
          {"shared_bytes", info.shared_bytes},
          {"oldest_lsn", info.oldest_lsn.str()}};
}

json storage_json(Services& services, const Project& project) {
  uint64_t own = 0, history = 0;
  for (const TimelineInfo& info : services.pageserver.timelines()) {
    if (info.tenant != project.tenant) continue;
    own += info.physical_bytes;
    history += info.history_bytes;
  }
  return {{"own_bytes", own}, {"history_bytes", history}};
}

json branch_json(const Branch& branch) {
  json shape = {{"id", branch.id},
                {"project_id", branch.project_id},
                {"name", branch.name},
                {"current_state", branch.state == "ready" ? "ready" : "init"},
                {"state_changed_at", rfc3339(branch.updated_at)},
                {"creation_source", "console"},
                {"primary", branch.is_default},
                {"default", branch.is_default},
                {"protected", false},
                {"cpu_used_sec", 0},
                {"compute_time_seconds", 0},
                {"active_time_seconds", 0},
                {"written_data_bytes", 0},
                {"data_transfer_bytes", 0},
                {"created_at", rfc3339(branch.created_at)},
                {"updated_at", rfc3339(branch.updated_at)}};
  if (branch.parent_id) {
    shape["parent_id"] = *branch.parent_id;
    shape["parent_lsn"] = branch.parent_lsn.str();
    if (branch.parent_time) shape["parent_timestamp"] = timestamp(*branch.parent_time);
  }
  if (branch.last_reset_at) shape["last_reset_at"] = rfc3339(*branch.last_reset_at);
  return shape;
}

namespace {

// `pg_settings_ignored`: what an older release stored, but is not allowed; the reasons by name.
json settings_json(const std::string& stored) {
  json settings = json::parse(stored);
  json shape = {{"pg_settings", postgres_part(settings)},
                {"pgbouncer_settings", pooler_part(settings)},
                {"outgoing_traffic", outgoing_traffic(settings)}};
  SettingValues ignored = settings_in_force(postgres_values(settings)).ignored;
  if (!ignored.empty()) shape["pg_settings_ignored"] = ignored;
  return shape;
}

}  // namespace

json endpoint_json(Services& services, const Endpoint& endpoint) {
  std::string host = services.projects.host_name(endpoint.id, false);
  ComputeState state = services.endpoints.state(endpoint.id);
  bool up = state == ComputeState::active || state == ComputeState::suspending;
  json shape = {{"host", host},
                {"id", endpoint.id},
                {"project_id", endpoint.project_id},
                {"branch_id", endpoint.branch_id},
                {"autoscaling_limit_min_cu", 0.25},
                {"autoscaling_limit_max_cu", 0.25},
                {"region_id", services.region},
                {"type", "read_write"},
                {"current_state", up ? "active" : "idle"},
                {"settings", settings_json(endpoint.settings)},
                {"pooler_enabled", true},
                {"pooler_mode", "transaction"},
                {"disabled", false},
                {"passwordless_access", false},
                {"creation_source", "console"},
                {"created_at", rfc3339(endpoint.created_at)},
                {"updated_at", rfc3339(endpoint.updated_at)},
                {"proxy_host", host.substr(endpoint.id.size() + 1)},
                {"suspend_timeout_seconds", endpoint.idle_timeout},
                {"provisioner", "halogen"}};
  if (state == ComputeState::starting) shape["pending_state"] = "active";
  if (state == ComputeState::suspending) shape["pending_state"] = "idle";
  if (endpoint.started_at) shape["started_at"] = rfc3339(*endpoint.started_at);
  if (endpoint.suspended_at) shape["suspended_at"] = rfc3339(*endpoint.suspended_at);
  if (endpoint.started_at) shape["last_active"] = rfc3339(*endpoint.started_at);
  return shape;
}

json operation_json(const Operation& operation) {
  json shape = {{"id", operation.id},
                {"project_id", operation.project_id},
                {"action", operation.action},
                {"status", operation.status},
                {"failures_count", operation.status == "failed" ? 1 : 0},
                {"created_at", rfc3339(operation.created_at)},
                {"updated_at", rfc3339(operation.updated_at)},
                {"total_duration_ms", (operation.updated_at - operation.created_at) / 1000}};
  if (!operation.branch_id.empty()) shape["branch_id"] = operation.branch_id;
  if (!operation.endpoint_id.empty()) shape["endpoint_id"] = operation.endpoint_id;
  if (!operation.error.empty()) shape["error"] = operation.error;
  return shape;
}

json operations_json(const std::vector<Operation>& operations) {
  json listed = json::array();
  for (const Operation& operation : operations) listed.push_back(operation_json(operation));
  return listed;
}

json role_json(const Branch& branch, const StoredRole& role) {
  return {{"branch_id", branch.id},
          {"name", role.name},
          {"protected", false},
          {"authentication_method", role.can_login ? "password" : "no_login"},
          {"created_at", rfc3339(branch.created_at)},
          {"updated_at", rfc3339(branch.updated_at)}};
}

json database_json(const Branch& branch, const DatabaseRecord& database) {
  return {{"id", database.id},
          {"branch_id", branch.id},
          {"name", database.name},
          {"owner_name", database.owner},
          {"created_at", rfc3339(branch.created_at)},
          {"updated_at", rfc3339(branch.updated_at)}};
}

json roles_json(Services& services, const Branch& branch, const Endpoint& endpoint) {
  json roles = json::array();
  for (const StoredRole& role : services.catalog.roles(branch.id).roles) {
    if (!role.can_login || role.verifier.empty()) continue;
    json shape = role_json(branch, role);
    if (auto password = services.projects.password(endpoint, role.name))
      shape["password"] = *password;
    roles.push_back(std::move(shape));
  }
  return roles;
}

json databases_json(Services& services, const Branch& branch) {
  json databases = json::array();
  for (const DatabaseRecord& database : services.catalog.databases(branch.id))
    databases.push_back(database_json(branch, database));
  return databases;
}

json connection_uris_json(Services& services, const Branch& branch, const Endpoint& endpoint) {
  auto passwords = services.catalog.passwords(branch.id);
  auto databases = services.catalog.databases(branch.id);
  json uris = json::array();
  if (passwords.size() != 1 || databases.size() != 1) return uris;
  const std::string& role = passwords.front().first;
  const std::string& database = databases.front().name;
  json parameters = {{"database", database},
                     {"role", role},
                     {"host", services.projects.host_name(endpoint.id, false)},
                     {"pooler_host", services.projects.host_name(endpoint.id, true)}};
  if (auto password = services.projects.password(endpoint, role))
    parameters["password"] = *password;
  uris.push_back(
      {{"connection_uri", services.projects.connection_uri(endpoint, database, role, false)},
       {"connection_parameters", parameters}});
  return uris;
}

Branch path_branch(Services& services, const Request& request) {
  services.catalog.project(request.at("project_id"));
  Branch branch = services.catalog.branch(request.at("branch_id"));
  if (branch.project_id != request.at("project_id"))
    throw Error(Errc::not_found, "branch not found");
  return branch;
}

Endpoint path_endpoint(Services& services, const Request& request) {
  services.catalog.project(request.at("project_id"));
  Endpoint endpoint = services.catalog.endpoint(request.at("endpoint_id"));
  if (endpoint.project_id != request.at("project_id"))
    throw Error(Errc::not_found, "endpoint not found");
  return endpoint;
}

}  // namespace halogen::control::api
