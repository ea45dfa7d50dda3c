// snapshots.h: snapshots of branches, and what is restored from them.
//
// A snapshot is a branch at a moment that nobody sees, whose id is the snapshot's: it keeps the
// history that it stands on, also when its source is deleted. A restore branches from it;
// finalizing that has the new branch take the place of another, with that one's name and endpoints.
//
// Threads: any. Calls block on storage and on suspends of computes.
#pragma once
#include <optional>
#include <string>

#include "base/mutex.h"
#include "control/branches.h"
#include "control/snapshot_schedule.h"

namespace halogen::control {

struct SnapshotRequest {
  std::string name;     // Empty: its id.
  WantedMoment moment;  // Of the branch.
  std::optional<Micros> expires_at;
  bool manual = true;
};

struct CreatedSnapshot {
  Snapshot snapshot;
  Operation operation;
};

struct SnapshotRestore {
  std::string name;       // Of the new branch; empty: its id.
  std::string target_id;  // Whose place it is to take; empty: the snapshot's source.
  bool finalize = false;
};

class Snapshots {
 public:
  Snapshots(const Branches::Options& options, Branches& branches)
      : options_(options), branches_(branches) {}

  CreatedSnapshot create(const std::string& branch_id, const SnapshotRequest& request);
  Operation remove(const Snapshot& snapshot);
  // The branch as it is then, and what was done.
  std::pair<Branch, std::vector<Operation>> restore(const Snapshot& snapshot,
                                                    const SnapshotRestore& request);
  // The restored branch gets name, endpoints and standing of the one it was restored for, which is
  // called `old_name` from then on (empty: a name with the time).
  std::vector<Operation> finalize(const std::string& branch_id, const std::string& old_name);

  // Deletes those whose time has come, and takes those that schedules ask for.
  void keep_schedules();

 private:
  void take_scheduled(const BranchSchedule& schedule, Micros now);
  void swap(const Branch& restored, const Branch& target, const std::string& old_name);

  const Branches::Options options_;
  Branches& branches_;
  Mutex swapping_;  // One at a time: each keeps a job of the endpoints waiting for another.
};

}  // namespace halogen::control
