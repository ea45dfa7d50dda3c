#include "control/quotas.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/log.h"

namespace halogen::control {
namespace {

using nlohmann::json;

const log::Logger logger("control");

constexpr const char* kSizeSetting = "halogen.size_limit_exceeded";

constexpr const char* kCancelWriters =
    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE state = 'active' AND backend_type = "
    "'client backend' AND pid <> pg_backend_pid() AND backend_xid IS NOT NULL";

int64_t limit_in(const json& quota, const char* name) {
  auto found = quota.find(name);
  return found != quota.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

std::string reason(const char* what, const char* name) {
  return fmt::format(
      "the project has exceeded its quota of {}: raise settings.quota.{}, or wait for the next "
      "month",
      what, name);
}

}  // namespace

Quota quota_of(const json& settings) {
  auto found = settings.find("quota");
  if (found == settings.end() || !found->is_object()) return {};
  return {.active_seconds = limit_in(*found, "active_time_seconds"),
          .compute_seconds = limit_in(*found, "compute_time_seconds"),
          .written_bytes = limit_in(*found, "written_data_bytes"),
          .transfer_bytes = limit_in(*found, "data_transfer_bytes"),
          .branch_bytes = limit_in(*found, "logical_size_bytes")};
}

std::string exceeded(const Quota& quota, const Usage& used) {
  auto over = [](int64_t most, int64_t much) { return most > 0 && much >= most; };
  if (over(quota.active_seconds, used.active_ms / 1000))
    return reason("active time", "active_time_seconds");
  if (over(quota.compute_seconds, used.compute_ms / 1000))
    return reason("compute time", "compute_time_seconds");
  if (over(quota.written_bytes, used.written_bytes))
    return reason("written data", "written_data_bytes");
  if (over(quota.transfer_bytes, used.transfer_bytes))
    return reason("data transfer", "data_transfer_bytes");
  return "";
}

void Quotas::set(const std::string& project_id, const Quota& quota) {
  const bool any = quota != Quota{};
  {
    MutexLock lock(mutex_);
    if (!any && !quotas_.contains(project_id)) return;
    if (any)
      quotas_[project_id] = quota;
    else
      quotas_.erase(project_id);
  }
  MutexLock looking(look_mutex_);
  look_at(project_id, quota);
}

void Quotas::look() {
  MutexLock looking(look_mutex_);
  std::map<std::string, Quota> quotas;
  {
    MutexLock lock(mutex_);
    quotas = quotas_;
  }
  for (const auto& [project_id, quota] : quotas) look_at(project_id, quota);
}

void Quotas::look_at(const std::string& project_id, const Quota& quota) {
  try {
    limit_use(project_id, quota);
    for (const Endpoint& endpoint : options_.catalog.endpoints(project_id))
      limit_size(endpoint, quota.branch_bytes);
  } catch (const Error& error) {
    logger.warn("project {}: its quota could not be looked at: {}", project_id, error.what());
  }
}

void Quotas::limit_use(const std::string& project_id, const Quota& quota) {
  std::string why;
  if (quota.limits_use())
    why = exceeded(quota, options_.usage.of_project(project_id, now_micros() / 1'000'000));
  if (!options_.endpoints.limit_project(project_id, why)) return;
  logger.info("project {}: {}", project_id, why.empty() ? "within its quota again" : why);
  if (why.empty()) return;
  for (const Endpoint& endpoint : options_.catalog.endpoints(project_id))
    if (options_.endpoints.state(endpoint.id) != ComputeState::idle)
      options_.endpoints.begin_suspend(endpoint.id);
}

int64_t Quotas::exceeded_size(const Branch& branch, int64_t most) {
  if (most <= 0) return 0;
  const auto size =
      static_cast<int64_t>(options_.pageserver.timeline(branch.timeline).logical_bytes);
  return size < most ? 0 : std::max<int64_t>(most >> 20, 1);
}

SettingValues Quotas::settings_of(const Endpoint& endpoint) {
  int64_t most = 0;
  {
    MutexLock lock(mutex_);
    told_.erase(endpoint.id);
    auto found = quotas_.find(endpoint.project_id);
    if (found == quotas_.end() || found->second.branch_bytes == 0) return {};
    most = found->second.branch_bytes;
  }
  const int64_t over = exceeded_size(options_.catalog.known(endpoint.id).branch, most);
  MutexLock lock(mutex_);
  told_[endpoint.id] = over;
  return {{kSizeSetting, std::to_string(over)}};
}

void Quotas::limit_size(const Endpoint& endpoint, int64_t most) {
  if (endpoint.read_only || options_.endpoints.state(endpoint.id) != ComputeState::active) return;
  const int64_t over = exceeded_size(options_.catalog.branch(endpoint.branch_id), most);
  {
    MutexLock lock(mutex_);
    auto told = told_.find(endpoint.id);
    if ((told == told_.end() ? 0 : told->second) == over) return;
    told_[endpoint.id] = over;
  }
  logger.info("branch {}: {}", endpoint.branch_id,
              over > 0 ? "larger than its project's quota allows: writes are refused"
                       : "no larger than its project's quota allows");
  tells_.add([this, id = endpoint.id, over] { tell(id, over); });
}

// Statements that write when the size is first seen to be too large are cancelled: a single one
// could go on writing without end.
void Quotas::tell(const std::string& endpoint_id, int64_t over) {
  try {
    options_.endpoints.exclusively(endpoint_id, [&](bool running) {
      if (!running) return;  // Its next start is told.
      options_.host.execute(endpoint_id, "postgres",
                            fmt::format("SET {} = {}", kSizeSetting, over));
      if (over > 0) options_.host.execute(endpoint_id, "postgres", kCancelWriters);
    });
  } catch (const Error& error) {
    logger.warn("{}: could not be told of its size's limit: {}", endpoint_id, error.what());
    MutexLock lock(mutex_);
    told_[endpoint_id] = -1;  // So that the next look tells it.
  }
}

}  // namespace halogen::control
