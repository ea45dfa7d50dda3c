// catalog.h: what exists: projects, branches, endpoints, roles, operations, keys. SQLite at
// <home>/catalog.db, WAL journal, every commit fsynced.
//
// Passwords are encrypted (password_store.h), of API keys there are only hashes.
//
// Threads: any; one connection behind one mutex. The mutex is held across the database's own I/O,
// the one exception to the rule, for the database is what it guards. Answers are copies. What says
// that it is from memory takes neither that mutex nor the database.
//
// An object is `init` from the moment its id is chosen until storage has it, and `deleting` from
// the moment its deletion is decided until storage has let go. After a crash both are cleaned up.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/lsn.h"
#include "base/mutex.h"
#include "control/catalog_memory.h"
#include "control/catalog_objects.h"
#include "control/password_store.h"
#include "control/sqlite.h"
#include "protocol/compute_host.h"

namespace halogen::control {

// What people wrote about a branch.
struct Annotation {
  std::string value = "{}";  // A JSON object of texts.
  Micros created_at = 0;
  Micros updated_at = 0;
};

struct Snapshot {
  std::string id;  // Of the branch that it is, too.
  std::string project_id;
  std::string name;
  std::string source_branch_id;
  Lsn lsn;
  std::optional<Micros> time;  // Of the last commit in it.
  Micros created_at = 0;
  std::optional<Micros> expires_at;
  bool manual = true;
};

// When snapshots of a branch are taken.
struct BranchSchedule {
  std::string branch_id;
  std::string items = "[]";  // JSON, as the API has it.
  Micros checked_at = 0;     // What was due until then has been taken.
};

struct DatabaseRecord {
  int64_t id = 0;
  std::string name;
  std::string owner;
  Micros created_at = 0;  // When we first saw it.
  Micros updated_at = 0;
};

// When a role was first seen, and when it was last seen to have changed.
struct RoleTimes {
  Micros created_at = 0;
  Micros updated_at = 0;
};

struct PendingSql {
  int64_t id = 0;
  std::string database;
  std::string statement;  // Applying it twice does no harm.
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

// A change of a branch's roles or databases.
enum class ChangeKind {
  create_role,
  reset_password,
  delete_role,
  create_database,
  update_database,
  delete_database,
};

// One that has been found possible. From when it is in the catalog until its operation is over its
// SQL may have run or not: after a crash it goes on.
struct PlannedChange {
  std::string operation_id;
  std::string branch_id;
  ChangeKind kind = ChangeKind::create_role;
  std::string name;      // Of the role or database.
  std::string new_name;  // What a database is called afterwards,
  std::string owner;     // and whose it is. Empty: as it is.
  std::string verifier;  // Of a password of ours; empty: none.
  bool can_login = true;
  std::optional<std::string> password;  // To be kept once it works.
};

// All that comes into being with a branch, in one transaction.
struct NewBranch {
  Branch branch;
  Endpoint endpoint;
  std::vector<Endpoint> readers;  // Read-only endpoints.
  BranchContents contents;
  std::optional<std::string> annotation;  // A JSON object of texts.
  std::optional<Snapshot> snapshot;       // It is one.
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

  // Projects and branches. already_exists if the project has a branch of that name.
  // The operation that makes it begins in the same transaction.
  void add_project(const Project& project, const NewBranch& branch, const Operation& operation);
  void add_branch(const NewBranch& branch, const Operation& operation);
  // It is `ready`, its project too if that is new, and the operation is finished.
  void finish_creation(const Branch& branch, const std::string& operation_id);
  // With its branches: they come and go together.
  void set_project_state(const std::string& id, const std::string& state);
  // `deleted`, with its branches as they are, from that time on; or `ready` again.
  void set_project_deleted(const std::string& id, std::optional<Micros> at);
  // Its name, settings, endpoint defaults and retention.
  void update_project(const Project& project);
  // Those that are there or being made, or can be recovered, of one organization (empty: of all),
  // oldest first.
  struct ProjectPage {
    std::string org_id;
    std::string search;  // In the name or id.
    bool recoverable = false;
    Micros after_created = -1;  // Behind this place.
    std::string after_id;
    int64_t limit = 10;
  };
  std::vector<Project> project_page(const ProjectPage& page);
  // Instead of the one that was.
  void set_default_branch(const Branch& branch);
  void set_branch_state(const std::string& id, const std::string& state);
  // Its name, protection and expiration. already_exists.
  void update_branch(const Branch& branch);
  // The restored branch gets the target's name, endpoints and standing, which is called `old_name`
  // then. In one transaction. already_exists.
  void swap_branches(const Branch& restored, const Branch& target, const std::string& old_name);
  Snapshot snapshot(const std::string& id);                        // not_found.
  std::vector<Snapshot> snapshots(const std::string& project_id);  // Oldest first.
  std::vector<Snapshot> expired_snapshots(Micros now);
  void rename_snapshot(const std::string& id, const std::string& name);
  std::vector<BranchSchedule> schedules();
  std::string schedule(const std::string& branch_id);  // JSON; "[]" without one.
  void set_schedule(const BranchSchedule& schedule);
  void set_schedule_checked(const std::string& branch_id, Micros at);
  // By branch. Of those without one there is none.
  std::map<std::string, Annotation> annotations(const std::string& project_id);
  // From now on it is `deleting`; the operation that does it begins in the same transaction.
  void begin_removal(const std::string& id, const Operation& operation);
  void remove_branch(const std::string& id);  // With its endpoints and roles.
  // The same while others stand on its timeline, which is loose then. Its children have no parent.
  void leave_timeline(const Branch& branch);
  // In one transaction: the branch has moved and the operation is finished, or nothing has changed.
  // Its new timeline was loose.
  void move_branch(const MovedBranch& moved, const Operation& operation);

  // Timelines in storage that no branch has: to be deleted as soon as no other stands on them.
  void add_loose_timeline(const LooseTimeline& loose);
  void remove_loose_timeline(TimelineId timeline);
  std::vector<LooseTimeline> loose_timelines();  // Newest first; without those that readers have.
  // A read-only endpoint's compute reads this timeline from its next start on. It is loose, too:
  // the one that it had is to be deleted.
  void set_reader_timeline(const std::string& endpoint_id, const LooseTimeline& loose);
  void release_reader_timeline(const std::string& endpoint_id);
  void remove_project(const std::string& id);

  Project project(const std::string& id);  // not_found; likewise below.
  std::vector<Project> projects();         // Oldest first; likewise below.
  Branch branch(const std::string& id);
  bool is_being_made(const std::string& branch_id);
  Branch default_branch(const std::string& project_id);
  std::vector<Branch> branches(const std::string& project_id);
  std::vector<Branch> all_branches();
  std::vector<Branch> children(const std::string& branch_id);
  std::vector<Branch> looks();

  // Endpoints. From memory, with what it belongs to; not_found.
  KnownEndpoint known(const std::string& endpoint_id);
  Endpoint endpoint(const std::string& id);
  // The read-write one, asked for or not.
  Endpoint endpoint_of_branch(const std::string& branch_id);
  std::vector<Endpoint> endpoints_of_branch(const std::string& branch_id);
  void add_endpoint(const Endpoint& endpoint);
  void remove_endpoint(const std::string& id);
  // The one takes the place of the other.
  void replace_endpoint(const std::string& id, const Endpoint& by);
  // What users may change of it, and whether it was asked for.
  void update_endpoint(const Endpoint& endpoint);
  std::vector<Endpoint> endpoints(const std::string& project_id);
  std::vector<Endpoint> all_endpoints();
  // In memory: its compute is about to run, so the copy of its branch's roles is not exact; it has
  // been suspended, with those roles (none: they could not be read, so the copy stays inexact).
  void note_starting(const Endpoint& endpoint);
  void note_suspended(const Endpoint& endpoint, const ComputeStopped& stopped);
  // The same for the database, with the operation that did it; these may come later.
  void compute_started(const Endpoint& endpoint, Micros at, const Operation& operation);
  void compute_suspended(const Endpoint& endpoint, Micros at, const ComputeStopped& stopped,
                         const Operation& operation);

  // Roles and what goes with them.
  BranchContents contents(const std::string& branch_id);
  BranchRoles roles(const std::string& branch_id);
  // Those that are exact, from memory; nullopt: they are not.
  std::optional<BranchRoles> exact_roles(const std::string& branch_id);
  // Tells where the log of a timeline ends. A copy of roles is exact only if it is of that end. Set
  // before others use this; without it, what note_starting() has not said may be taken for exact.
  void set_end_of_log(std::function<Lsn(TimelineId)> end_of_log);
  std::vector<std::pair<std::string, std::string>> passwords(const std::string& branch_id);
  std::map<std::string, Micros> passwords_given_at(const std::string& branch_id);
  std::optional<std::string> password(const std::string& branch_id, const std::string& role);
  void remove_password(const std::string& branch_id, const std::string& role);
  std::vector<DatabaseRecord> databases(const std::string& branch_id);
  std::map<std::string, RoleTimes> role_times(const std::string& branch_id);
  // What a running compute has: the copy stays inexact. Databases that it had keep their ids.
  void set_roles_databases(const std::string& branch_id, const std::vector<StoredRole>& roles,
                           const std::vector<StoredDatabase>& databases);
  void set_databases(const std::string& branch_id, const std::vector<StoredDatabase>& databases);
  // One that is being made, and cannot be asked for: it gets its id before it is there. If its
  // operation fails, it goes.
  DatabaseRecord expect_database(const PlannedChange& change);
  // Changes of roles and databases. The operation begins in the same transaction.
  void plan_change(const Operation& operation, const PlannedChange& change);
  std::vector<PlannedChange> planned_changes();
  // What came of it; the operation is finished. Its password is kept if the project wants that.
  void finish_change(const PlannedChange& change, const std::vector<StoredRole>& roles,
                     const std::vector<StoredDatabase>& databases);
  // It is given up; the operation has failed.
  void drop_change(const PlannedChange& change, const std::string& error);
  // Of projects that do not want them stored: told once, when they are made.
  void forget_unwanted_passwords();
  std::vector<PendingSql> pending_sql(const std::string& branch_id);
  void remove_pending_sql(const std::vector<PendingSql>& pending);

  // Operations.
  void put_operation(const Operation& operation);  // Inserts or replaces.
  // One that was over before anybody could ask for it.
  Operation record_finished(const Branch& branch, const std::string& endpoint_id,
                            const std::string& action);
  // No effect on one that is over, or not known.
  void finish_operation(const std::string& id, const std::string& status,
                        const std::string& error = "");
  void begin_operation(const Operation& operation);  // No effect on one that is known.
  Operation operation(const std::string& id);
  // Newest first, those before `cursor` (an operation's id) if that is not empty.
  std::vector<Operation> operations(const std::string& project_id, int64_t limit,
                                    const std::string& cursor);
  // At a start, when nothing of them runs any more: all have failed but those that delete a branch
  // and planned changes, which go on. The former are settled when that was tried: finished, if the
  // branch is gone.
  void fail_interrupted_operations();
  void settle_interrupted_removals();
  // Deletes those that were over before that time, a thousand at most.
  void prune_operations(Micros before);

  // The passwords' keys: see PasswordStore.
  std::vector<KeyUse> password_keys();
  void rotate_password_keys();
  size_t drop_older_password_keys();

 private:
  void migrate(const CatalogOptions& options) REQUIRES(mutex_);
  void insert_project(const Project& project) REQUIRES(mutex_);
  void insert_branch(const NewBranch& added) REQUIRES(mutex_);
  void upsert_operation(const Operation& operation) REQUIRES(mutex_);
  void insert_endpoint(const Endpoint& endpoint) REQUIRES(mutex_);
  void put_annotation(const std::string& branch_id, const std::string& value) REQUIRES(mutex_);
  void insert_contents(const std::string& branch_id, const BranchContents& contents)
      REQUIRES(mutex_);
  void insert_roles(const std::string& branch_id, const std::vector<StoredRole>& roles)
      REQUIRES(mutex_);
  void put_roles(const std::string& branch_id, const std::vector<StoredRole>& roles)
      REQUIRES(mutex_);
  void put_databases(const std::string& branch_id, const std::vector<StoredDatabase>& databases)
      REQUIRES(mutex_);
  void end_operation(const std::string& id, const std::string& status, const std::string& error)
      REQUIRES(mutex_);
  void remove_plan(const PlannedChange& change) REQUIRES(mutex_);

  // What has changed, from the database to memory. Never throws: what cannot be read is not known.
  void remember(const Database::Changes& changes) REQUIRES(mutex_);
  void remember_rows(const Database::Changes& changes) REQUIRES(mutex_);
  void forget_rows(const Database::Changes& changes) REQUIRES(mutex_);
  struct RowRange {
    int64_t first = std::numeric_limits<int64_t>::min();
    int64_t last = std::numeric_limits<int64_t>::max();
  };
  void remember_projects(RowRange range) REQUIRES(mutex_);
  void remember_branches(RowRange range) REQUIRES(mutex_);
  void remember_endpoints(RowRange range) REQUIRES(mutex_);
  void remember_pending_sql(RowRange range) REQUIRES(mutex_);
  std::vector<StoredRole> read_roles(const std::string& branch_id) REQUIRES(mutex_);

  CatalogMemory memory_;
  std::function<Lsn(TimelineId)> end_of_log_;
  Mutex mutex_;
  Database::Changes unread_ GUARDED_BY(mutex_);  // That memory lacks.
  Database db_ GUARDED_BY(mutex_);
  std::optional<PasswordStore> passwords_ GUARDED_BY(mutex_);  // There from migrate() on.
};

}  // namespace halogen::control
