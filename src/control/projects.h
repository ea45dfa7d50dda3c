// projects.h: the lives of projects and branches: catalog, storage and computes together.
//
// Creating copies nothing and runs no initdb: a project is a branch of the template timeline, a
// branch is a timeline with an ancestor. The catalog row comes first (`init`), storage second, then
// `ready`; deletion is the reverse. finish_interrupted() cleans up what a crash left between.
//
// Threads: any. Calls block on storage, seconds at worst.
#pragma once
#include <optional>
#include <string>

#include "base/mutex.h"
#include "control/catalog.h"
#include "control/history.h"
#include "control/project_turns.h"
#include "control/suspend.h"
#include "control/timelines.h"
#include "protocol/pageserver_admin.h"
#include "protocol/safekeeper_admin.h"

namespace halogen::control {

struct ProjectRequest {
  std::string name;         // Empty: its id.
  std::string branch_name;  // Empty: main.
  int64_t pg_version = 15;
  int64_t idle_timeout = 0;
  std::string settings = "{}";
  int64_t history_retention = kDefaultHistoryRetention;  // Seconds.
};

struct ProjectChange {
  std::string name;             // Empty: as it is.
  std::string settings = "{}";  // JSON: the members that change.
  std::optional<int64_t> history_retention;
};

struct BranchRequest {
  std::string name;       // Empty: its id.
  std::string parent_id;  // Empty: the default branch.
  WantedMoment moment;    // Of the parent.
  int64_t idle_timeout = 0;
};

struct RestoreRequest {
  std::string source_id;  // The branch itself, its parent or any other of the project.
  WantedMoment moment;    // Of the source; not the head if that is the branch itself.
  std::string keep_as;    // A name for the state that is left; empty: that is deleted.
};

struct RestoredBranch {
  Branch branch;
  std::optional<Branch> kept;
  std::vector<Operation> operations;
};

struct CreatedBranch {
  Branch branch;
  Endpoint endpoint;
  Operation operation;
};

class Projects {
 public:
  struct Options {
    Catalog& catalog;
    EndpointManager& endpoints;
    ComputeHost& host;
    PageserverAdmin& pageserver;
    SafekeeperAdmin& safekeeper;
    std::string domain;  // Endpoint hosts are <endpoint>.<domain>.
    int pg_port = 5432;
  };
  explicit Projects(Options options);

  // At start: every branch's WAL is followed again, and its history bounded; half-made and
  // half-deleted ones go.
  void attach_all();
  void finish_interrupted();
  // At start, before the proxy listens: who may connect.
  void restore_allow_lists();

  // invalid_argument for what we cannot make; already_exists for a name that is taken.
  CreatedBranch create_project(const ProjectRequest& request);
  // Counts at once, for new connections.
  Project update_project(const std::string& project_id, const ProjectChange& change);
  CreatedBranch create_branch(const std::string& project_id, const BranchRequest& request);
  // The branch goes on from another moment, with its id, endpoints and clients, which wait as in a
  // restart. A crash leaves the old state or the new one. Its children follow the state that is
  // kept. conflict if it has some, or the source is the branch itself, and no name is given.
  RestoredBranch restore_branch(const std::string& branch_id, const RestoreRequest& request);
  void rename_branch(const std::string& branch_id, const std::string& name);  // already_exists.
  void set_default_branch(const std::string& branch_id);
  // An endpoint for reading what is at a moment of this one's branch: a branch that is not listed,
  // the same one for all that look at the same commit. As Endpoints::look_at().
  std::string look_at(const std::string& endpoint_id, const std::string& moment);
  // Deletes the looks that nobody uses any more.
  void close_idle_looks();
  // conflict if it has children or is the default branch.
  Operation delete_branch(const std::string& branch_id);
  void delete_project(const std::string& project_id);

  std::string host_name(const std::string& endpoint_id, bool pooled) const;
  // The role's password, if we gave it and it still is the one: SQL may have changed it, which a
  // running compute tells, or the copy of its roles. If neither can be asked, what we gave counts.
  std::optional<std::string> password(const Endpoint& endpoint, const std::string& role);
  // With the password if we know it. The port only if it is not Postgres' own. No database or role:
  // the branch's first.
  std::string connection_uri(const Endpoint& endpoint, const std::string& database,
                             const std::string& role, bool pooled);

 private:
  void bound_history(const Project& project);
  NewBranch first_branch(const Project& project, const ProjectRequest& request);
  void make(const Project& project, NewBranch& added, TimelineId ancestor);
  std::vector<Branch> listed_children(const std::string& branch_id);
  void close_looks(const std::string& branch_id);
  bool is_idle(const Branch& look);
  Branch ready_branch(const std::string& project_id, const std::string& branch_id);
  void require_leave_to_move(const Branch& branch, const RestoreRequest& request);
  // Suspends the branch's compute and has it go on on the new timeline. Returns whether it ran.
  bool move(const Branch& branch, MovedBranch& moved, const std::string& keep_as);
  void remove_branch(const Branch& branch);
  void finish_project(const std::string& project_id);
  std::string first_database(const std::string& branch_id);
  std::string first_role(const std::string& branch_id);

  const Options options_;
  History history_;
  Timelines timelines_;
  ProjectTurns turns_;
  Mutex mutex_;  // From looking at a project's settings to their change.
};

}  // namespace halogen::control
