// restores.h: a branch goes on from another moment, with its id, endpoints and clients.
//
// A restore makes a new timeline and moves the branch to it in one transaction of the catalog,
// while its compute is suspended and cannot start.
//
// Threads: any. A call blocks as Operations::run() does.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "control/branches.h"
#include "control/looks.h"

namespace halogen::control {

struct RestoreRequest {
  std::string source_id;  // The branch itself, its parent or any other of the project.
  WantedMoment moment;    // Of the source; not the head if that is the branch itself.
  std::string keep_as;    // A name for the state that is left; empty: that is deleted.
};

struct RestoredBranch {
  Branch branch;  // As it will be, `resetting`, if that takes long.
  std::vector<Operation> operations;
};

class Restores {
 public:
  Restores(const Branches::Options& options, Branches& branches, Looks& looks)
      : options_(options), branches_(branches), looks_(looks) {}

  // Its clients wait as in a restart. A crash leaves the old state or the new one. Its children
  // follow the state that is kept. conflict if it is protected, or if it has children, or the
  // source is the branch itself, and no name is given.
  RestoredBranch restore(const std::string& branch_id, const RestoreRequest& request);

 private:
  // All that is decided before it begins.
  struct Plan {
    Project project;
    Branch branch;  // As it is.
    Branch source;
    MovedBranch moved;
    std::string keep_as;
    std::string kept_id;  // The id that the state which is left gets as a branch.
    Operation operation;
  };

  void require_leave_to_move(const Branch& branch, const RestoreRequest& request);
  Plan plan(const std::string& branch_id, const RestoreRequest& request);
  // Returns the start of its compute, if that was running.
  std::optional<Operation> carry_out(Plan plan);
  // Suspends the branch's compute and has it go on on the new timeline. Returns whether it ran.
  bool move(Plan& plan);

  const Branches::Options options_;
  Branches& branches_;
  Looks& looks_;
};

}  // namespace halogen::control
