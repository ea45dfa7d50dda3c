// catalog_objects.h: what the catalog knows of projects, branches and endpoints.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/lsn.h"
#include "protocol/compute_host.h"

namespace halogen::control {

// What every project begins with.
inline constexpr const char* kOwnerRole = "neondb_owner";
inline constexpr const char* kFirstDatabase = "neondb";

using Micros = int64_t;  // Since 1970, UTC.
Micros now_micros();

constexpr int64_t kDefaultHistoryRetention = int64_t{7} * 24 * 3600;
constexpr double kLeastComputeUnits = 0.25;

struct Project {
  std::string id;
  std::string name;
  TenantId tenant;
  int pg_version = 15;
  uint64_t system_identifier = 0;
  std::string settings = "{}";  // JSON, as the API gave it.
  std::string state = "init";
  int64_t default_idle_timeout = 0;
  Micros created_at = 0;
  Micros updated_at = 0;
  std::string org_id;
  std::string endpoint_defaults = "{}";  // JSON: what new endpoints of it begin with.
  int64_t history_retention = kDefaultHistoryRetention;  // Seconds.
  bool store_passwords = true;       // Else none is kept that could be told again.
  std::optional<Micros> deleted_at;  // While its deletion can be taken back.
};

// Of a branch that was restored from a snapshot.
struct Restored {
  std::string from;    // The snapshot. Empty: it was not.
  std::string as;      // The branch whose place it is to take, or has taken.
  std::string status;  // restored, finalized
};

struct Branch {
  std::string id;
  std::string project_id;
  TimelineId timeline;
  std::optional<std::string> parent_id;
  Lsn parent_lsn;
  std::optional<Micros> parent_time;  // Of the last commit at or below parent_lsn.
  std::string name;
  bool is_default = false;
  bool is_look = false;  // A read-only look at its parent's past: not listed, and goes when idle.
  std::string state = "init";
  Micros created_at = 0;
  Micros updated_at = 0;
  std::optional<Micros> last_reset_at;  // When it was last restored or reset.
  bool is_protected = false;
  std::optional<Micros> expires_at;      // When it is deleted by itself,
  std::optional<Micros> expires_set_at;  // and when that was decided.
  std::string init_source;               // parent-data, schema-only
  Micros state_changed_at = 0;
  Restored restored;

  // Not a look, nor a snapshot's: those have ids of their own kind.
  bool is_listed() const { return !is_look && !id.starts_with("snap-"); }
};

struct Endpoint {
  std::string id;
  std::string project_id;
  std::string branch_id;
  int64_t idle_timeout = 0;     // Seconds; 0 = default, -1 = never.
  std::string settings = "{}";  // JSON object: Postgres settings by name.
  Micros created_at = 0;
  Micros updated_at = 0;
  std::optional<Micros> started_at;
  std::optional<Micros> suspended_at;
  bool vacuum_due = false;            // Suspended although autovacuum had work.
  std::optional<Micros> next_job_at;  // When it is to be awake for a job of pg_cron.
  bool read_only = false;
  std::string name;
  double least_cu = kLeastComputeUnits;
  double most_cu = kLeastComputeUnits;
  bool disabled = false;
  TimelineId timeline;  // What a read-only one has read since its last start; else nothing.
  // Every branch has a read-write endpoint, with which the platform works on it. Nobody sees one
  // that was not asked for, or connects to it.
  bool asked_for = true;
};

// A branch's roles as the catalog knows them. Not exact: a compute has run since and ended without
// telling, so only a running compute knows.
struct BranchRoles {
  bool exact = false;
  std::vector<StoredRole> roles;
  // If exact: where the branch's log ended when it had these roles. What changes one is logged, so
  // they are those of a log that ends there, and of no other. None: where the branch begins.
  std::optional<Lsn> as_of{};
};

}  // namespace halogen::control
