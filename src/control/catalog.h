// catalog.h: what exists: projects, branches, endpoints, roles, operations, keys. SQLite at
// <home>/catalog.db, WAL journal, every commit fsynced.
//
// Passwords are encrypted (password_store.h), of API keys there are only hashes.
//
// Threads: any; one connection behind one mutex. The mutex is held across the database's own I/O,
// the one exception to the rule, for the database is what it guards. Answers are copies.
//
// An object is `init` from the moment its id is chosen until storage has it, and `deleting` from
// the moment its deletion is decided until storage has let go. After a crash both are cleaned up.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/lsn.h"
#include "base/mutex.h"
#include "control/password_store.h"
#include "control/sqlite.h"
#include "protocol/compute_host.h"

namespace halogen::control {

// What every project begins with.
inline constexpr const char* kOwnerRole = "neondb_owner";
inline constexpr const char* kFirstDatabase = "neondb";

using Micros = int64_t;  // Since 1970, UTC.
Micros now_micros();

constexpr int64_t kDefaultHistoryRetention = int64_t{7} * 24 * 3600;

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
  int64_t history_retention = kDefaultHistoryRetention;  // Seconds.
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
  bool vacuum_due = false;  // Suspended although autovacuum had work.
};

struct DatabaseRecord {
  int64_t id = 0;
  std::string name;
  std::string owner;
};

struct PendingSql {
  int64_t id = 0;
  std::string database;
  std::string statement;  // Applying it twice does no harm.
};

// A branch's roles as the catalog knows them. Not exact: a compute has run since and ended without
// telling, so only a running compute knows.
struct BranchRoles {
  bool exact = false;
  std::vector<StoredRole> roles;
};

struct Operation {
  std::string id;
  std::string project_id;
  std::string branch_id;
  std::string endpoint_id;  // Empty if it concerns none.
  std::string action;       // create_timeline, start_compute, ...
  std::string status;       // scheduling, running, finished, failed, skipped
  std::string error;
  Micros created_at = 0;
  Micros updated_at = 0;

  bool over() const { return status != "scheduling" && status != "running"; }
};

// What the catalog knows of what is in a branch.
struct BranchContents {
  BranchRoles roles;
  std::vector<std::pair<std::string, std::string>> passwords;  // Role, password.
  std::map<std::string, Micros> passwords_given_at;            // By role; now, if it is not there.
  std::vector<DatabaseRecord> databases;
  std::vector<PendingSql> pending;
};

// All that comes into being with a branch, in one transaction.
struct NewBranch {
  Branch branch;
  Endpoint endpoint;
  BranchContents contents;
};

// A branch that goes on from another moment: on a new timeline, with its id, name and endpoint.
struct MovedBranch {
  Branch branch;  // With the new timeline and parent; the rest as it is.
  BranchContents contents;
  // Takes over the timeline that it leaves, and its children. None: that becomes a loose timeline.
  std::optional<NewBranch> kept;
};

struct LooseTimeline {
  TimelineId timeline;
  std::string project_id;
};

struct CatalogOptions {
  std::filesystem::path key_file;            // Empty: catalog.keys beside the catalog.
  bool forget_unreadable_passwords = false;  // Rather than to refuse to open.
};

class Catalog {
 public:
  // Opens or creates, and brings an older schema up to date. A newer one is refused. Throws as
  // PasswordStore does, with nothing changed, if the passwords' key is missing.
  explicit Catalog(const std::filesystem::path& file, const CatalogOptions& options = {});

  std::optional<std::string> meta(const std::string& key);
  void set_meta(const std::string& key, const std::string& value);

  // Projects and branches. already_exists if the project has a branch of that name.
  void add_project(const Project& project, const NewBranch& branch);
  void add_branch(const NewBranch& branch);
  void set_project_state(const std::string& id, const std::string& state);
  // Its name, settings and history window.
  void update_project(const Project& project);
  void rename_branch(const std::string& id, const std::string& name);  // already_exists.
  // Instead of the one that was.
  void set_default_branch(const Branch& branch);
  void set_branch_state(const std::string& id, const std::string& state);
  void remove_branch(const std::string& id);  // With its endpoints and roles.
  // In one transaction: the branch has moved, or nothing has changed. Its new timeline was loose.
  void move_branch(const MovedBranch& moved);

  // Timelines in storage that no branch has: to be deleted as soon as no other stands on them.
  void add_loose_timeline(const LooseTimeline& loose);
  void remove_loose_timeline(TimelineId timeline);
  std::vector<LooseTimeline> loose_timelines();  // Newest first.
  void remove_project(const std::string& id);

  Project project(const std::string& id);  // not_found; likewise below.
  std::vector<Project> projects();         // Oldest first; likewise below.
  Branch branch(const std::string& id);
  Branch default_branch(const std::string& project_id);
  std::vector<Branch> branches(const std::string& project_id);
  std::vector<Branch> all_branches();
  std::vector<Branch> children(const std::string& branch_id);
  std::vector<Branch> looks();

  // Endpoints.
  Endpoint endpoint(const std::string& id);
  Endpoint endpoint_of_branch(const std::string& branch_id);
  std::vector<Endpoint> endpoints(const std::string& project_id);
  std::vector<Endpoint> all_endpoints();
  void set_idle_timeout(const std::string& id, int64_t seconds);
  void set_settings(const std::string& id, const std::string& settings);
  // After this, and durably, the catalog's copy of the branch's roles is not exact.
  void compute_starting(const Endpoint& endpoint, const Operation& operation);
  void compute_started(const Endpoint& endpoint);
  // No roles: they could not be read, so the copy stays inexact.
  void compute_suspended(const Endpoint& endpoint, const ComputeStopped& stopped);

  // Roles and what goes with them.
  BranchContents contents(const std::string& branch_id);
  BranchRoles roles(const std::string& branch_id);
  std::vector<std::pair<std::string, std::string>> passwords(const std::string& branch_id);
  std::map<std::string, Micros> passwords_given_at(const std::string& branch_id);
  std::optional<std::string> password(const std::string& branch_id, const std::string& role);
  void set_password(const std::string& branch_id, const std::string& role,
                    const std::string& password);
  void remove_password(const std::string& branch_id, const std::string& role);
  std::vector<DatabaseRecord> databases(const std::string& branch_id);
  // What a running compute has: the copy stays inexact. Databases that it had keep their ids.
  void set_roles_databases(const std::string& branch_id, const std::vector<StoredRole>& roles,
                           const std::vector<StoredDatabase>& databases);
  void set_databases(const std::string& branch_id, const std::vector<StoredDatabase>& databases);
  std::vector<PendingSql> pending_sql(const std::string& branch_id);
  void remove_pending_sql(int64_t id);

  // Operations. Those a crash interrupted are set to failed by fail_unfinished_operations().
  void put_operation(const Operation& operation);  // Inserts or replaces.
  // One that was over before anybody could ask for it.
  Operation record_finished(const Branch& branch, const std::string& endpoint_id,
                            const std::string& action);
  void finish_operation(const std::string& id, const std::string& status,
                        const std::string& error = "");
  Operation operation(const std::string& id);
  // Newest first, those before `cursor` (an operation's id) if that is not empty.
  std::vector<Operation> operations(const std::string& project_id, int64_t limit,
                                    const std::string& cursor);
  void fail_unfinished_operations();

  // The passwords' keys: see PasswordStore.
  std::vector<KeyUse> password_keys();
  void rotate_password_keys();
  size_t drop_older_password_keys();

  // API keys: only the SHA-256 is kept. A key takes the place of an older one of its name.
  void set_api_key(const std::string& name, const std::string& key);
  bool knows_api_key(const std::string& key);
  bool knows_api_key_hash(const std::string& hash);  // sha256_hex() of it.

 private:
  void migrate(const CatalogOptions& options) REQUIRES(mutex_);
  void insert_project(const Project& project) REQUIRES(mutex_);
  void insert_branch(const NewBranch& added) REQUIRES(mutex_);
  void insert_contents(const std::string& branch_id, const BranchContents& contents)
      REQUIRES(mutex_);
  void insert_roles(const std::string& branch_id, const std::vector<StoredRole>& roles)
      REQUIRES(mutex_);
  void put_roles(const std::string& branch_id, const std::vector<StoredRole>& roles)
      REQUIRES(mutex_);
  void put_databases(const std::string& branch_id, const std::vector<StoredDatabase>& databases)
      REQUIRES(mutex_);

  Mutex mutex_;
  Database db_ GUARDED_BY(mutex_);
  std::optional<PasswordStore> passwords_ GUARDED_BY(mutex_);  // There from migrate() on.
};

}  // namespace halogen::control
