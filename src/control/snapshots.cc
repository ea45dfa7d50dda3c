#include "control/snapshots.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/log.h"
#include "control/names.h"
#include "control/timestamp.h"

namespace halogen::control {
namespace {

const log::Logger logger("control");

}  // namespace

CreatedSnapshot Snapshots::create(const std::string& branch_id, const SnapshotRequest& request) {
  check_object_name("snapshot", request.name);
  Catalog& catalog = options_.catalog;
  const std::string project_id = catalog.branch(branch_id).project_id;
  auto turn = turn_in(options_.turns, project_id, ProjectTurns::Kind::shared);
  const Project project = catalog.project(project_id);
  const Branch source = branches_.ready_branch(project_id, branch_id);
  if (request.expires_at && *request.expires_at <= now_micros())
    throw Error(Errc::invalid_argument, "expires_at: {} is not in the future",
                timestamp(*request.expires_at));
  NewBranch added =
      child_branch(source, options_.history.find(project, source, request.moment), "");
  Snapshot& snapshot = added.snapshot.emplace();
  snapshot.id = new_snapshot_id();
  snapshot.project_id = project_id;
  snapshot.name = request.name.empty() ? snapshot.id : request.name;
  snapshot.source_branch_id = branch_id;
  snapshot.lsn = added.branch.parent_lsn;
  snapshot.time = added.branch.parent_time;
  snapshot.created_at = added.branch.created_at;
  snapshot.expires_at = request.expires_at;
  snapshot.manual = request.manual;
  added.branch.id = added.branch.name = added.endpoint.branch_id = snapshot.id;
  const Operation begun = new_operation(source, "", "create_branch");
  branches_.begin(added, begun);
  const Operation operation =
      options_.operations.run(begun, [this, turn, project, added, source, id = begun.id] {
        branches_.make(project, added, source.timeline, id);
      });
  logger.info("snapshot {} of {} at {}", snapshot.id, branch_id, snapshot.lsn.str());
  return {snapshot, operation};
}

Operation Snapshots::remove(const Snapshot& snapshot) {
  Catalog& catalog = options_.catalog;
  auto turn = turn_in(options_.turns, snapshot.project_id, ProjectTurns::Kind::alone);
  const Branch branch = catalog.branch(snapshot.id);
  const Operation begun = new_operation(branch, "", "delete_timeline");
  catalog.begin_removal(branch.id, begun);
  return options_.operations.run(begun, [this, turn, branch] {
    branches_.destroy(branch);
    options_.timelines.sweep(branch.project_id);
    logger.info("snapshot {} deleted", branch.id);
  });
}

std::pair<Branch, std::vector<Operation>> Snapshots::restore(const Snapshot& snapshot,
                                                             const SnapshotRestore& request) {
  Catalog& catalog = options_.catalog;
  const std::string target_id =
      request.target_id.empty() ? snapshot.source_branch_id : request.target_id;
  if (catalog.branch(target_id).project_id != snapshot.project_id)
    throw Error(Errc::not_found, "branch not found");
  BranchRequest wanted;
  wanted.name = request.name;
  wanted.parent_id = snapshot.id;
  wanted.restored = {.from = snapshot.id, .as = target_id, .status = "restored"};
  CreatedBranch made = branches_.create(snapshot.project_id, wanted);
  std::vector<Operation> operations = {made.operation};
  if (request.finalize) {
    // Clients wait for the last one; the branch must be whole before it takes another's place.
    if (!made.operation.over())
      throw Error(Errc::unavailable, "the restored branch is not ready yet: finalize {} later",
                  made.branch.id);
    for (Operation& operation : finalize(made.branch.id, ""))
      operations.push_back(std::move(operation));
  }
  return {catalog.branch(made.branch.id), operations};
}

std::vector<Operation> Snapshots::finalize(const std::string& branch_id,
                                           const std::string& old_name) {
  check_object_name("branch", old_name);
  Catalog& catalog = options_.catalog;
  const std::string project_id = catalog.branch(branch_id).project_id;
  auto turn = turn_in(options_.turns, project_id, ProjectTurns::Kind::alone);
  const Branch restored = branches_.ready_branch(project_id, branch_id);
  if (restored.restored.status != "restored")
    throw Error(Errc::conflict,
                "the branch is none that was restored from a snapshot and not finalized");
  const Branch target = branches_.ready_branch(project_id, restored.restored.as);
  if (target.is_protected) throw Error(Errc::conflict, "cannot replace a protected branch");
  const std::string name = old_name.empty()
                               ? fmt::format("{} (old {})", target.name, timestamp(now_micros()))
                               : old_name;
  const bool was_running =
      options_.endpoints.state(catalog.endpoint_of_branch(target.id).id) != ComputeState::idle;
  swap(restored, target, name);
  logger.info("branch {} has taken the place of {}", restored.id, target.id);
  std::vector<Operation> operations = {catalog.record_finished(restored, "", "swap_binding_id")};
  const Endpoint endpoint = catalog.endpoint_of_branch(restored.id);
  if (was_running && endpoint.asked_for)
    operations.push_back(options_.endpoints.begin_start(endpoint.id));
  return operations;
}

// Both computes are suspended, and cannot start, while their endpoints change places.
void Snapshots::swap(const Branch& restored, const Branch& target, const std::string& old_name) {
  Catalog& catalog = options_.catalog;
  const std::string ours = catalog.endpoint_of_branch(restored.id).id;
  const std::string theirs = catalog.endpoint_of_branch(target.id).id;
  MutexLock lock(swapping_);
  options_.endpoints.while_suspended(ours, [&] {
    options_.endpoints.while_suspended(theirs, [&] {
      catalog.swap_branches(restored, target, old_name);
      for (const std::string& id : {restored.id, target.id})
        for (const Endpoint& endpoint : catalog.endpoints_of_branch(id))
          options_.endpoints.set_branch(endpoint);
    });
  });
}

void Snapshots::keep_schedules() {
  const Micros now = now_micros();
  for (const Snapshot& snapshot : options_.catalog.expired_snapshots(now)) {
    try {
      remove(snapshot);
    } catch (const Error& error) {
      if (error.code() != Errc::not_found)
        logger.warn("snapshot {}: its time has come, but: {}", snapshot.id, error.what());
    }
  }
  for (const BranchSchedule& schedule : options_.catalog.schedules()) take_scheduled(schedule, now);
}

// What was due while the platform was down is taken once.
void Snapshots::take_scheduled(const BranchSchedule& schedule, Micros now) {
  for (const ScheduleItem& item : parse_schedule(nlohmann::json::parse(schedule.items))) {
    const Micros due = last_due(item, now);
    if (due <= schedule.checked_at) continue;
    try {
      SnapshotRequest request;
      request.name = fmt::format("scheduled {}", timestamp(due));
      request.manual = false;
      if (item.retention_seconds) request.expires_at = now + *item.retention_seconds * 1'000'000;
      create(schedule.branch_id, request);
    } catch (const Error& error) {
      logger.warn("{}: a scheduled snapshot was not taken: {}", schedule.branch_id, error.what());
    }
  }
  options_.catalog.set_schedule_checked(schedule.branch_id, now);
}

}  // namespace halogen::control
