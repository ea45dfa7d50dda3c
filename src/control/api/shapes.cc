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

namespace {

constexpr int64_t kNoSizeLimit = 16ll << 40;  // Bytes: the size of a branch is not limited.

// What has been used in this period.
json usage_json(const Usage& usage) {
  return {{"data_transfer_bytes", usage.transfer_bytes},
          {"written_data_bytes", usage.written_bytes},
          {"compute_time_seconds", usage.compute_ms / 1000},
          {"active_time_seconds", usage.active_ms / 1000},
          {"cpu_used_sec", usage.compute_ms / 1000}};
}

Usage usage_of(Services& services, const Project& project) {
  if (services.usage == nullptr) return {};
  return services.usage->of_project(project.id, now_micros() / 1'000'000);
}

json common_project_json(Services& services, const Project& project) {
  json defaults = json::parse(project.endpoint_defaults);
  defaults["suspend_timeout_seconds"] = project.default_idle_timeout;
  json settings = json::parse(project.settings);
  const int64_t limit =
      settings.value("quota", json::object()).value("logical_size_bytes", kNoSizeLimit);
  return {{"id", project.id},
          {"platform_id", "halogen"},
          {"region_id", services.region},
          {"name", project.name},
          {"provisioner", "halogen"},
          {"default_endpoint_settings", std::move(defaults)},
          {"settings", std::move(settings)},
          {"pg_version", project.pg_version},
          {"proxy_host", services.projects.connection_strings().domain()},
          {"branch_logical_size_limit", limit >> 20},
          {"branch_logical_size_limit_bytes", limit},
          {"store_passwords", project.store_passwords},
          {"creation_source", "api"},
          {"history_retention_seconds", project.history_retention},
          {"created_at", rfc3339(project.created_at)},
          {"updated_at", rfc3339(project.updated_at)},
          {"owner_id", project.org_id},
          {"org_id", project.org_id},
          {"cpu_used_sec", 0}};
}

// Usage is counted by calendar months.
void add_period(json& shape) {
  const std::time_t now = now_micros() / 1'000'000;
  std::tm month{};
  gmtime_r(&now, &month);
  month.tm_mday = 1;
  month.tm_hour = month.tm_min = month.tm_sec = 0;
  shape["consumption_period_start"] = rfc3339(Micros{::timegm(&month)} * 1'000'000);
  ++month.tm_mon;
  shape["consumption_period_end"] = rfc3339(Micros{::timegm(&month)} * 1'000'000);
}

}  // namespace

json project_json(Services& services, const Project& project) {
  json shape = common_project_json(services, project);
  const Usage usage = usage_of(services, project);
  shape.update(usage_json(usage));
  shape["data_storage_bytes_hour"] = usage.storage_byte_hours;
  add_period(shape);
  return shape;
}

json project_item_json(Services& services, const Project& project) {
  json shape = common_project_json(services, project);
  const Usage usage = usage_of(services, project);
  shape["active_time"] = usage.active_ms / 1000;
  shape["cpu_used_sec"] = usage.compute_ms / 1000;
  if (project.deleted_at) {
    shape["deleted_at"] = rfc3339(*project.deleted_at);
    shape["recoverable_until"] = rfc3339(services.projects.recoverable_until(project));
  }
  return shape;
}

json storage_json(const TimelineInfo& info) {
  return {{"own_bytes", info.physical_bytes},
          {"history_bytes", info.history_bytes},
          {"shared_bytes", info.shared_bytes},
          {"oldest_lsn", info.oldest_lsn.str()}};
}

json storage_json(Services& services, const Project& project) {
  uint64_t own = 0, history = 0;
  for (const TimelineInfo& info : services.pageserver.timelines_of(project.tenant)) {
    own += info.physical_bytes;
    history += info.history_bytes;
  }
  return {{"own_bytes", own}, {"history_bytes", history}};
}

json branch_json(Services& services, const Branch& branch) {
  const bool is_settled = branch.state == "ready" || branch.state == "resetting";
  json shape = {{"id", branch.id},
                {"project_id", branch.project_id},
                {"name", branch.name},
                {"current_state", is_settled ? branch.state : "init"},
                {"state_changed_at", rfc3339(branch.state_changed_at != 0 ? branch.state_changed_at
                                                                          : branch.created_at)},
                {"creation_source", "api"},
                {"primary", branch.is_default},
                {"default", branch.is_default},
                {"protected", branch.is_protected},
                {"created_at", rfc3339(branch.created_at)},
                {"updated_at", rfc3339(branch.updated_at)}};
  if (branch.state == "init" || branch.state == "resetting") shape["pending_state"] = "ready";
  Usage usage;
  if (services.usage != nullptr)
    usage = services.usage->of_branch(branch.id, now_micros() / 1'000'000);
  shape.update(usage_json(usage));
  if (!branch.restored.from.empty()) {
    shape["restored_from"] = branch.restored.from;
    shape["restored_as"] = branch.restored.as;
    shape["restore_status"] = branch.restored.status;
  }
  if (branch.parent_id && branch.parent_id != branch.restored.from) {
    shape["parent_id"] = *branch.parent_id;
    shape["parent_lsn"] = branch.parent_lsn.str();
    if (branch.parent_time) shape["parent_timestamp"] = timestamp(*branch.parent_time);
  }
  if (!branch.init_source.empty()) shape["init_source"] = branch.init_source;
  if (branch.last_reset_at) shape["last_reset_at"] = rfc3339(*branch.last_reset_at);
  if (branch.expires_at) {
    shape["expires_at"] = rfc3339(*branch.expires_at);
    const Micros set_at = branch.expires_set_at.value_or(branch.created_at);
    shape["ttl_interval_seconds"] = (*branch.expires_at - set_at + 500'000) / 1'000'000;
  }
  return shape;
}

json annotation_json(const std::string& branch_id, const Annotation& annotation) {
  json shape = {{"object", {{"type", "console/branch"}, {"id", branch_id}}},
                {"value", json::parse(annotation.value)}};
  if (annotation.created_at == 0) return shape;  // Nobody wrote one.
  shape["created_at"] = rfc3339(annotation.created_at);
  shape["updated_at"] = rfc3339(annotation.updated_at);
  return shape;
}

namespace {

// `pg_settings_ignored`: what an older release stored, but is not allowed; the reasons by name.
json settings_json(const std::string& stored) {
  json settings = json::parse(stored);
  json pooler = pooler_part(settings);  // Values are texts, as Neon's clients take them to be.
  for (json& value : pooler)
    if (!value.is_string()) value = value.dump();
  json shape = {{"pg_settings", postgres_values(settings)},
                {"pgbouncer_settings", std::move(pooler)},
                {"outgoing_traffic", outgoing_traffic(settings)}};
  SettingValues ignored = settings_in_force(postgres_values(settings)).ignored;
  if (!ignored.empty()) shape["pg_settings_ignored"] = ignored;
  return shape;
}

}  // namespace

json endpoint_json(Services& services, const Endpoint& endpoint) {
  ConnectionStrings& strings = services.projects.connection_strings();
  ComputeState state = services.endpoints.state(endpoint.id);
  bool up = state == ComputeState::active || state == ComputeState::suspending;
  json shape = {{"host", strings.host_name(endpoint.id, false)},
                {"id", endpoint.id},
                {"project_id", endpoint.project_id},
                {"branch_id", endpoint.branch_id},
                {"autoscaling_limit_min_cu", endpoint.least_cu},
                {"autoscaling_limit_max_cu", endpoint.most_cu},
                {"region_id", services.region},
                {"type", endpoint.read_only ? "read_only" : "read_write"},
                {"current_state", up ? "active" : "idle"},
                {"settings", settings_json(endpoint.settings)},
                {"pooler_enabled", true},
                {"pooler_mode", "transaction"},
                {"disabled", endpoint.disabled},
                {"passwordless_access", false},
                {"creation_source", "api"},
                {"created_at", rfc3339(endpoint.created_at)},
                {"updated_at", rfc3339(endpoint.updated_at)},
                {"proxy_host", strings.domain()},
                {"suspend_timeout_seconds", endpoint.idle_timeout},
                {"provisioner", "halogen"}};
  if (!up && services.catalog.is_being_made(endpoint.branch_id)) shape["current_state"] = "init";
  if (!endpoint.name.empty()) shape["name"] = endpoint.name;
  if (state == ComputeState::starting) shape["pending_state"] = "active";
  if (state == ComputeState::suspending) shape["pending_state"] = "idle";
  if (endpoint.started_at) shape["started_at"] = rfc3339(*endpoint.started_at);
  if (endpoint.suspended_at) shape["suspended_at"] = rfc3339(*endpoint.suspended_at);
  // It was active until it was suspended.
  std::optional<Micros> last = services.endpoints.last_active(endpoint.id);
  if (!last) last = endpoint.suspended_at ? endpoint.suspended_at : endpoint.started_at;
  if (last) shape["last_active"] = rfc3339(*last);
  if (std::string reason = services.endpoints.keeps_awake(endpoint.id); !reason.empty())
    shape["keeps_awake"] = reason;
  if (auto job = services.endpoints.next_job(endpoint.id)) shape["next_job_at"] = rfc3339(*job);
  return shape;
}

json endpoints_json(Services& services, const std::vector<Endpoint>& endpoints) {
  json listed = json::array();
  for (const Endpoint& endpoint : endpoints)
    if (endpoint.asked_for) listed.push_back(endpoint_json(services, endpoint));
  return listed;
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

json role_json(const Branch& branch, const StoredRole& role,
               const std::optional<RoleTimes>& times) {
  // Made by SQL, and not looked at since: all we know is that it is there.
  const RoleTimes seen = times.value_or(RoleTimes{branch.created_at, branch.updated_at});
  return {{"branch_id", branch.id},
          {"name", role.name},
          {"protected", false},
          {"authentication_method", role.can_login ? "password" : "no_login"},
          {"created_at", rfc3339(seen.created_at)},
          {"updated_at", rfc3339(seen.updated_at)}};
}

json database_json(const Branch& branch, const DatabaseRecord& database) {
  return {{"id", database.id},
          {"branch_id", branch.id},
          {"name", database.name},
          {"owner_name", database.owner},
          {"created_at", rfc3339(database.created_at)},
          {"updated_at", rfc3339(database.updated_at)}};
}

json roles_json(Services& services, const Branch& branch, const Endpoint& endpoint) {
  json roles = json::array();
  const auto times = services.catalog.role_times(branch.id);
  for (const StoredRole& role : services.catalog.roles(branch.id).roles) {
    if (!role.can_login || role.verifier.empty()) continue;
    auto seen = times.find(role.name);
    json shape =
        role_json(branch, role, seen == times.end() ? std::nullopt : std::optional(seen->second));
    if (auto password = services.projects.connection_strings().password(endpoint, role.name))
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
  ConnectionStrings& strings = services.projects.connection_strings();
  auto passwords = services.catalog.passwords(branch.id);
  auto databases = services.catalog.databases(branch.id);
  json uris = json::array();
  if (!endpoint.asked_for || passwords.size() != 1 || databases.size() != 1) return uris;
  const std::string& role = passwords.front().first;
  const std::string& database = databases.front().name;
  const std::optional<std::string> password = strings.password(endpoint, role);
  if (!password) return uris;
  uris.push_back({{"connection_uri", strings.uri(endpoint, database, role, false)},
                  {"connection_parameters",
                   {{"database", database},
                    {"role", role},
                    {"password", *password},
                    {"host", strings.host_name(endpoint.id, false)},
                    {"pooler_host", strings.host_name(endpoint.id, true)}}}});
  return uris;
}

Project path_project(Services& services, const Request& request) {
  return services.projects.present(request.at("project_id"));
}

Branch path_branch(Services& services, const Request& request) {
  path_project(services, request);
  Branch branch = services.catalog.branch(request.at("branch_id"));
  if (branch.project_id != request.at("project_id") || !branch.is_listed() ||
      branch.state == "deleting")
    throw Error(Errc::not_found, "branch not found");
  return branch;
}

Endpoint path_endpoint(Services& services, const Request& request) {
  path_project(services, request);
  Endpoint endpoint = services.catalog.endpoint(request.at("endpoint_id"));
  if (endpoint.project_id != request.at("project_id") || !endpoint.asked_for)
    throw Error(Errc::not_found, "endpoint not found");
  return endpoint;
}

Endpoint read_write_endpoint(Services& services, const Branch& branch) {
  Endpoint endpoint = services.catalog.endpoint_of_branch(branch.id);
  if (!endpoint.asked_for)
    throw Error(Errc::not_found, "endpoint not found: the branch \"{}\" has none", branch.name);
  return endpoint;
}

}  // namespace halogen::control::api
