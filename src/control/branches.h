// branches.h: the lives of branches: catalog, storage and computes together.
//
// Creating copies nothing: a branch is a timeline with an ancestor. The catalog row comes first
// (`init`), storage second, then `ready`; deletion is the reverse.
//
// Threads: any. Calls block on storage, seconds at worst.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/catalog.h"
#include "control/history.h"
#include "control/operations.h"
#include "control/project_turns.h"
#include "control/suspend.h"
#include "control/timelines.h"

namespace halogen::control {

// What an endpoint is to be like; what is not given is as its project's new endpoints are.
struct EndpointRequest {
  std::string name;
  bool read_only = false;
  std::optional<int64_t> idle_timeout;
  std::optional<double> least_cu;
  std::optional<double> most_cu;
  std::optional<std::string> settings;  // As Endpoint::settings.
  bool disabled = false;
};

struct BranchRequest {
  std::string name;                         // Empty: its id.
  std::string parent_id;                    // Empty: the default branch.
  WantedMoment moment;                      // Of the parent.
  std::optional<EndpointRequest> endpoint;  // Read-write. None: nobody can connect to it yet.
  std::vector<EndpointRequest> readers;     // Read-only.
  bool is_protected = false;
  std::optional<Micros> expires_at;
  std::optional<std::string> annotation;  // A JSON object of texts.
  Restored restored;
  bool schema_only = false;  // A root with the parent's schema and roles, without its rows.
};

// What changes of a branch.
struct BranchChange {
  std::string name;  // Empty: as it is.
  std::optional<bool> is_protected;
  std::optional<std::optional<Micros>> expires_at;  // No time: it does not expire any more.
};

struct CreatedBranch {
  Branch branch;
  Endpoint endpoint;
  Operation operation;
  std::vector<Endpoint> readers;
};

// Where a change of a project's tree waits for its turn: for a while, with ProjectBusy at its end.
std::shared_ptr<ProjectTurns::Hold> turn_in(ProjectTurns& turns, const std::string& project_id,
                                            ProjectTurns::Kind kind);

class Branches {
 public:
  struct Options {
    Catalog& catalog;
    EndpointManager& endpoints;
    History& history;
    Timelines& timelines;
    ProjectTurns& turns;
    Operations& operations;
  };
  Branches(const Options& options, ComputeHost& host, PageserverAdmin& pageserver)
      : options_(options), host_(host), pageserver_(pageserver) {}

  // invalid_argument for what we cannot make; already_exists for a name that is taken.
  CreatedBranch create(const std::string& project_id, const BranchRequest& request);
  Branch update(const std::string& branch_id, const BranchChange& change);
  void set_default(const std::string& branch_id);
  // conflict if it has children, or is the default branch or protected. It is gone when the
  // operation is over.
  Operation remove(const std::string& branch_id);
  // Deletes those whose time has come. One that cannot be is tried again at the next call.
  void remove_expired();

  // The timeline that a read-only endpoint's compute is to read: one of its own, at the branch's
  // head.
  TimelineId reader_timeline(const Endpoint& endpoint);
  // already_exists if it is to be read-write and the branch has one.
  Endpoint create_endpoint(const std::string& branch_id, const EndpointRequest& request);
  // Its connections end. It is gone when the operation is over. conflict if the branch is
  // protected.
  Operation remove_endpoint(const std::string& endpoint_id);

  // For those who work on a project's tree, and have a turn in it.
  Branch ready_branch(const std::string& project_id, const std::string& branch_id);
  std::vector<Branch> listed_children(const std::string& branch_id);
  // Puts it into the catalog. Whatever connects to it from now on waits for make().
  void begin(const NewBranch& added, const Operation& operation);
  // Requires: begin(). It is ready with the operation's end. What fails is taken back. `fill` works
  // on it before that.
  void make(const Project& project, const NewBranch& added, TimelineId ancestor,
            const std::string& operation_id, const std::function<void()>& fill = nullptr);
  // From a state of `deleting` in the catalog; every step can be done again.
  void destroy(const Branch& branch);

 private:
  void destroy_endpoint(const Endpoint& endpoint);
  // A branch of the template, for the schema of `parent`; not yet in the catalog.
  NewBranch schema_branch(const Project& project, const Branch& parent,
                          const BranchRequest& request);
  void fill_with_schema(const NewBranch& added, const Branch& parent);

  const Options options_;
  ComputeHost& host_;
  PageserverAdmin& pageserver_;
};

// A branch that begins there, with an endpoint that nobody has asked for; not yet in the catalog.
NewBranch child_branch(const Branch& parent, Beginning beginning, const std::string& name);
// Throws invalid_argument.
Endpoint new_endpoint(const Project& project, const Branch& branch, const EndpointRequest& request);
void check_object_name(const std::string& what, const std::string& name);
void check_idle_timeout(int64_t seconds);
void check_compute_units(double least, double most);

}  // namespace halogen::control
