// projects.h: the lives of projects, and of all that is in them after a start.
//
// A project is a branch of the template timeline: creating one copies nothing and runs no initdb. A
// deleted project can be recovered for a while; then storage lets go of it. finish_interrupted()
// cleans up what a crash left half made or half deleted.
//
// Threads: any. Calls block on storage, seconds at worst.
#pragma once
#include <optional>
#include <string>

#include "base/mutex.h"
#include "control/branches.h"
#include "control/catalog.h"
#include "control/connection_strings.h"
#include "control/history.h"
#include "control/looks.h"
#include "control/project_turns.h"
#include "control/quotas.h"
#include "control/restores.h"
#include "control/snapshots.h"
#include "control/suspend.h"
#include "control/timelines.h"
#include "protocol/pageserver_admin.h"
#include "protocol/safekeeper_admin.h"

namespace halogen::control {

struct ProjectRequest {
  std::string name;                       // Empty: its id.
  std::string branch_name;                // Empty: main.
  std::string role = kOwnerRole;          // What its first role
  std::string database = kFirstDatabase;  // and its first database are called.
  std::string org_id;
  int64_t pg_version = 15;
  std::string settings = "{}";
  std::string endpoint_defaults = "{}";  // JSON, as the API has them: what new endpoints are like.
  int64_t history_retention = kDefaultHistoryRetention;
  bool store_passwords = true;
  std::optional<std::string> annotation;  // Of its branch.
};

struct ProjectChange {
  std::string name;             // Empty: as it is.
  std::string settings = "{}";  // JSON: the members that change; likewise below.
  std::string endpoint_defaults = "{}";
  std::optional<int64_t> history_retention;
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
    std::chrono::seconds recovery_window{7 * 86'400};  // 0: what is deleted is gone at once.
    Quotas* quotas = nullptr;                          // Nobody: there are no limits, as in tests.
    std::chrono::milliseconds patience{2000};          // Of who waits for an operation.
  };
  explicit Projects(Options options);

  // At start: every branch's WAL is followed again, and its history bounded; half-made and
  // half-deleted ones go.
  void attach_all();
  void finish_interrupted();
  // Ends what runs in the background; what comes later is refused.
  void stop() { operations_.stop(); }
  // At start, before the proxy listens: who may connect to what.
  void restore_access();

  // invalid_argument for what we cannot make. Who connects before the operation is over waits.
  CreatedBranch create(const ProjectRequest& request);
  // Counts at once, for new connections.
  Project update(const std::string& project_id, const ProjectChange& change);
  // Nobody connects from now on; its computes are suspended. conflict with a protected branch,
  // ProjectBusy while it is being made.
  Project remove(const std::string& project_id);
  // The same without a way back.
  void discard(const std::string& project_id);
  // As it was before, with its computes suspended. conflict if it is not deleted.
  Project recover(const std::string& project_id);
  // Those whose time to be recovered is over go for good.
  void remove_expired();
  Micros recoverable_until(const Project& project) const;
  // The project, unless it is deleted: not_found then.
  Project present(const std::string& project_id);

  Branches& branches() { return branches_; }
  Looks& looks() { return looks_; }
  Restores& restores() { return restores_; }
  Snapshots& snapshots() { return snapshots_; }
  ConnectionStrings& connection_strings() { return connection_strings_; }
  ProjectTurns& turns() { return turns_; }
  Operations& operations() { return operations_; }

 private:
  NewBranch first_branch(const Project& project, const ProjectRequest& request);
  void make(const Project& project, const NewBranch& added, TimelineId model,
            const std::string& operation_id);
  void require_leave_to_remove(const std::string& project_id);
  void destroy(const std::string& project_id);
  // Requires: nobody else changes its tree of branches.
  void destroy_alone(const std::string& project_id);
  void finish_project(const std::string& project_id);
  void apply_access(const Project& project);
  void bound_history(const Project& project);

  const Options options_;
  History history_;
  Timelines timelines_;
  ProjectTurns turns_;
  Operations operations_;
  Branches branches_;
  Looks looks_;
  Restores restores_;
  Snapshots snapshots_;
  ConnectionStrings connection_strings_;
  Mutex mutex_;  // From looking at a project's settings to their change.
};

}  // namespace halogen::control
