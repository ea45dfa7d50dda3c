// The schemas of the API's objects.
#include "control/api/description/description.h"
#include "control/api/description/schema.h"

namespace halogen::control::api::parts {

using namespace schema;  // NOLINT: the notation of this file.

namespace {

json usage_of(json shape) {
  for (const char* name : {"cpu_used_sec", "compute_time_seconds", "active_time_seconds",
                           "written_data_bytes", "data_transfer_bytes"}) {
    shape["properties"][name] = whole();
    shape["required"].push_back(name);
  }
  return shape;
}

json quota() {
  json limit = whole(0, INT64_MAX);
  return object({optional("active_time_seconds", limit), optional("compute_time_seconds", limit),
                 optional("written_data_bytes", limit), optional("data_transfer_bytes", limit),
                 optional("logical_size_bytes", limit)});
}

json project_settings() {
  return object({optional("quota", ref("ProjectQuota")),
                 optional("allowed_ips", object({optional("ips", list(text())),
                                                 optional("protected_branches_only", flag())})),
                 optional("enable_logical_replication", flag()),
                 optional("block_public_connections", flag()),
                 optional("block_vpc_connections", flag()),
                 optional("preload_libraries", ref("PreloadLibraries"))});
}

json endpoint_defaults() {
  return object({optional("pg_settings", ref("PgSettings")),
                 optional("pgbouncer_settings", ref("PgbouncerSettings")),
                 optional("autoscaling_limit_min_cu", number(0.25)),
                 optional("autoscaling_limit_max_cu", number(0.25)),
                 optional("suspend_timeout_seconds", whole(-1, 604800))});
}

json project_item() {
  return object({required("id", id()),
                 required("name", text()),
                 required("platform_id", text()),
                 required("region_id", text()),
                 required("provisioner", text()),
                 optional("default_endpoint_settings", ref("DefaultEndpointSettings")),
                 optional("settings", ref("ProjectSettings")),
                 required("pg_version", whole()),
                 required("proxy_host", text()),
                 required("branch_logical_size_limit", whole()),
                 required("branch_logical_size_limit_bytes", whole()),
                 required("store_passwords", flag()),
                 required("creation_source", text()),
                 required("history_retention_seconds", whole()),
                 required("created_at", time()),
                 required("updated_at", time()),
                 required("owner_id", text()),
                 optional("org_id", id()),
                 optional("deleted_at", time()),
                 optional("recoverable_until", time())});
}

json project() {
  json shape = usage_of(project_item());
  for (const char* name : {"consumption_period_start", "consumption_period_end"}) {
    shape["properties"][name] = time();
    shape["required"].push_back(name);
  }
  shape["properties"]["data_storage_bytes_hour"] = whole();
  return shape;
}

json branch() {
  return usage_of(object({required("id", id()),
                          required("project_id", id()),
                          required("name", text()),
                          optional("parent_id", id()),
                          optional("parent_lsn", text()),
                          optional("parent_timestamp", time()),
                          required("current_state", text()),
                          optional("pending_state", text()),
                          required("state_changed_at", time()),
                          required("creation_source", text()),
                          optional("primary", flag()),
                          required("default", flag()),
                          required("protected", flag()),
                          required("created_at", time()),
                          required("updated_at", time()),
                          optional("expires_at", time()),
                          optional("ttl_interval_seconds", whole()),
                          optional("last_reset_at", time()),
                          optional("init_source", text()),
                          optional("restored_from", id()),
                          optional("restored_as", id()),
                          optional("restore_status", text())}));
}

json endpoint() {
  return object({required("id", id()),
                 required("host", text()),
                 optional("name", text()),
                 required("project_id", id()),
                 required("branch_id", id()),
                 required("autoscaling_limit_min_cu", number(0.25)),
                 required("autoscaling_limit_max_cu", number(0.25)),
                 required("region_id", text()),
                 required("type", choice({"read_write", "read_only"})),
                 required("current_state", choice({"init", "active", "idle"})),
                 optional("pending_state", choice({"init", "active", "idle"})),
                 required("settings", ref("EndpointSettings")),
                 required("pooler_enabled", flag()),
                 required("pooler_mode", text()),
                 required("disabled", flag()),
                 required("passwordless_access", flag()),
                 required("creation_source", text()),
                 required("created_at", time()),
                 required("updated_at", time()),
                 optional("started_at", time()),
                 optional("suspended_at", time()),
                 optional("last_active", time()),
                 required("proxy_host", text()),
                 required("suspend_timeout_seconds", whole()),
                 required("provisioner", text()),
                 optional("keeps_awake", described(text(), "Why it is not suspended")),
                 optional("next_job_at", described(time(), "When it wakes for a job of pg_cron"))});
}

json operation() {
  return object({required("id", uuid()), required("project_id", id()), optional("branch_id", id()),
                 optional("endpoint_id", id()), required("action", text()),
                 required("status", choice({"scheduling", "running", "finished", "failed", "error",
                                            "cancelling", "cancelled", "skipped"})),
                 optional("error", text()), required("failures_count", whole()),
                 required("created_at", time()), required("updated_at", time()),
                 required("total_duration_ms", whole())});
}

json api_key() {
  return object({required("id", whole()), required("name", text()), required("created_at", time()),
                 optional("last_used_at", time()), optional("last_used_from_addr", text()),
                 optional("project_id", id()), optional("revoked", flag())});
}

json connection_details() {
  return object({required("connection_uri", text()),
                 required("connection_parameters",
                          object({required("database", text()), required("role", text()),
                                  required("password", text()), required("host", text()),
                                  required("pooler_host", text())}))});
}

}  // namespace

json components() {
  return {
      {"GeneralError", object({optional("request_id", text()), required("code", text()),
                               required("message", text())})},
      {"PgSettings", map_of(json::object({{"description", "A setting's value"}}))},
      {"PgbouncerSettings", map_of(json::object({{"description", "A setting's value"}}))},
      {"PreloadLibraries",
       object({optional("use_defaults", flag()), optional("enabled_libraries", list(text(), 32))})},
      {"ProjectQuota", quota()},
      {"ProjectSettings", project_settings()},
      {"DefaultEndpointSettings", endpoint_defaults()},
      {"EndpointSettings", object({optional("pg_settings", ref("PgSettings")),
                                   optional("pgbouncer_settings", ref("PgbouncerSettings")),
                                   optional("preload_libraries", ref("PreloadLibraries")),
                                   optional("outgoing_traffic", flag())})},
      {"Project", project()},
      {"ProjectListItem", project_item()},
      {"Branch", branch()},
      {"Annotation",
       object({required("object", object({required("type", text()), required("id", text())})),
               required("value", map_of(text())), optional("created_at", time()),
               optional("updated_at", time())})},
      {"Endpoint", endpoint()},
      {"Operation", operation()},
      {"Role",
       object({required("branch_id", id()), required("name", text()), optional("password", text()),
               optional("protected", flag()), optional("authentication_method", text()),
               required("created_at", time()), required("updated_at", time())})},
      {"Database", object({required("id", whole()), required("branch_id", id()),
                           required("name", text()), required("owner_name", text()),
                           required("created_at", time()), required("updated_at", time())})},
      {"ConnectionDetails", connection_details()},
      {"Organization",
       object({required("id", id()), required("name", text()), required("handle", text()),
               required("plan", text()), required("managed_by", text()),
               required("created_at", time()), required("updated_at", time())})},
      {"ApiKey", api_key()},
  };
}

}  // namespace halogen::control::api::parts
