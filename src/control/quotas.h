// quotas.h: what a project may use (settings.quota), enforced.
//
// A project that has used more of time, WAL or transfer in this month than it may has its computes
// suspended, and none is started, until the month or the quota is another one. A branch that is
// larger than it may be keeps its compute, which refuses what writes more; deleting works.
//
// Threads: any. Looked at whenever what was used has been recorded (UsageMeter::kInterval).
#pragma once
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "control/catalog.h"
#include "control/jobs.h"
#include "control/settings/allowed_settings.h"
#include "control/suspend.h"
#include "control/usage_store.h"
#include "protocol/compute_host.h"
#include "protocol/pageserver_admin.h"

namespace halogen::control {

struct Quota {
  int64_t active_seconds = 0;  // 0, here and below: no limit.
  int64_t compute_seconds = 0;
  int64_t written_bytes = 0;
  int64_t transfer_bytes = 0;
  int64_t branch_bytes = 0;  // The logical size of each branch.

  bool limits_use() const {
    return active_seconds > 0 || compute_seconds > 0 || written_bytes > 0 || transfer_bytes > 0;
  }
  bool operator==(const Quota&) const = default;
};

// Of a project's settings.
Quota quota_of(const nlohmann::json& settings);
// Why a project that has used so much may use no more, for its clients; "" if it may.
std::string exceeded(const Quota& quota, const Usage& used);

class Quotas {
 public:
  struct Options {
    Catalog& catalog;
    EndpointManager& endpoints;
    ComputeHost& host;
    PageserverAdmin& pageserver;
    UsageStore& usage;
  };
  explicit Quotas(const Options& options) : options_(options) {}

  // Counts from now on, and is looked at once. A project that is gone has {}.
  void set(const std::string& project_id, const Quota& quota);
  // Of all projects that have a quota.
  void look();
  // Computes are told no more.
  void stop() { tells_.stop(); }
  // What a compute of this endpoint is to start with.
  SettingValues settings_of(const Endpoint& endpoint);

 private:
  void look_at(const std::string& project_id, const Quota& quota);
  void limit_use(const std::string& project_id, const Quota& quota);
  void limit_size(const Endpoint& endpoint, int64_t most);
  void tell(const std::string& endpoint_id, int64_t over);
  // In MiB, as computes are told; 0 if the branch is not too large.
  int64_t exceeded_size(const Branch& branch, int64_t most);

  const Options options_;
  Mutex look_mutex_;  // One look after another.
  Mutex mutex_;
  std::map<std::string, Quota> quotas_ GUARDED_BY(mutex_);  // By project, of those that have one.
  std::map<std::string, int64_t> told_ GUARDED_BY(mutex_);  // By endpoint, of running computes.
  Jobs tells_{1};                                           // These wait for computes.
};

}  // namespace halogen::control
