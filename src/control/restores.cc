#include "control/restores.h"

#include <memory>

#include "base/error.h"
#include "base/log.h"
#include "control/names.h"

namespace halogen::control {
namespace {

const log::Logger logger("control");

}  // namespace

RestoredBranch Restores::restore(const std::string& branch_id, const RestoreRequest& request) {
  check_object_name("branch", request.keep_as);
  Catalog& catalog = options_.catalog;
  auto turn =
      turn_in(options_.turns, catalog.branch(branch_id).project_id, ProjectTurns::Kind::alone);
  const Plan planned = plan(branch_id, request);
  catalog.put_operation(planned.operation);
  catalog.add_loose_timeline({planned.moved.branch.timeline, planned.project.id});
  auto start = std::make_shared<std::optional<Operation>>();
  const Operation operation = options_.operations.run(
      planned.operation, [this, turn, planned, start] { *start = carry_out(planned); });
  if (!operation.over()) {
    Branch later = planned.moved.branch;
    later.state = "resetting";
    if (later.parent_id == branch_id) later.parent_id = planned.kept_id;
    return {later, {operation}};
  }
  RestoredBranch restored{catalog.branch(branch_id), {operation}};
  if (*start) restored.operations.push_back(**start);
  return restored;
}

Restores::Plan Restores::plan(const std::string& branch_id, const RestoreRequest& request) {
  Catalog& catalog = options_.catalog;
  const Project project = catalog.project(catalog.branch(branch_id).project_id);
  const Branch branch = branches_.ready_branch(project.id, branch_id);
  const Branch source = branches_.ready_branch(project.id, request.source_id);
  require_leave_to_move(branch, request);
  looks_.close(branch_id);
  Beginning beginning = options_.history.find(project, source, request.moment);
  MovedBranch moved{branch, std::move(beginning.contents), std::nullopt};
  moved.branch.timeline = TimelineId::random();
  moved.branch.parent_id = source.id;
  moved.branch.parent_lsn = beginning.lsn;
  moved.branch.parent_time = beginning.time;
  return {project,
          branch,
          source,
          moved,
          request.keep_as,
          new_branch_id(),
          new_operation(branch, "", "create_timeline")};
}

std::optional<Operation> Restores::carry_out(Plan plan) {
  const MovedBranch& moved = plan.moved;
  bool was_running = false;
  try {
    options_.timelines.make(plan.project, moved.branch.timeline, plan.source.timeline,
                            moved.branch.parent_lsn);
    was_running = move(plan);
  } catch (const Error&) {
    options_.timelines.sweep(plan.project.id);
    throw;
  }
  logger.info("branch {} goes on from {} at {}", plan.branch.id, plan.source.id,
              moved.branch.parent_lsn.str());
  if (moved.kept) options_.endpoints.add(moved.kept->endpoint);
  std::optional<Operation> start;
  if (was_running)
    start = options_.endpoints.begin_start(options_.catalog.endpoint_of_branch(plan.branch.id).id);
  options_.timelines.sweep(plan.project.id);
  return start;
}

void Restores::require_leave_to_move(const Branch& branch, const RestoreRequest& request) {
  Catalog& catalog = options_.catalog;
  const bool itself = request.source_id == branch.id;
  if (branch.is_protected) throw Error(Errc::conflict, "cannot restore a protected branch");
  if (itself && request.moment.head())
    throw Error(Errc::invalid_argument,
                "source_lsn or source_timestamp is required to restore a branch from itself");
  if (request.keep_as.empty()) {
    if (itself)
      throw Error(Errc::conflict,
                  "preserve_under_name is required to restore a branch from itself");
    if (!branches_.listed_children(branch.id).empty())
      throw Error(Errc::conflict, "Branch has children, preserve_under_name is required");
  }
  for (const Branch& other : catalog.branches(branch.project_id))
    if (other.name == request.keep_as)
      throw Error(Errc::already_exists, "branch already exists; branch_name:\"{}\"", other.name);
}

bool Restores::move(Plan& plan) {
  Catalog& catalog = options_.catalog;
  const Branch& branch = plan.branch;
  MovedBranch& moved = plan.moved;
  const Endpoint endpoint = catalog.endpoint_of_branch(branch.id);
  return options_.endpoints.while_suspended(endpoint.id, [&] {
    moved.branch.updated_at = now_micros();
    moved.branch.last_reset_at = moved.branch.updated_at;
    if (!plan.keep_as.empty()) {
      NewBranch& kept = moved.kept.emplace();
      kept.branch = branch;
      kept.branch.id = plan.kept_id;
      kept.branch.name = plan.keep_as;
      kept.branch.is_default = false;
      kept.branch.expires_at = kept.branch.expires_set_at = std::nullopt;
      kept.branch.created_at = kept.branch.updated_at = moved.branch.updated_at;
      kept.contents = catalog.contents(branch.id);  // As the suspend has left them.
      kept.endpoint = endpoint;
      kept.endpoint.id = new_endpoint_id();
      kept.endpoint.branch_id = kept.branch.id;
      kept.endpoint.asked_for = false;
      kept.endpoint.created_at = kept.endpoint.updated_at = kept.branch.created_at;
      if (moved.branch.parent_id == branch.id) moved.branch.parent_id = kept.branch.id;
    }
    catalog.move_branch(moved, plan.operation);
  });
}

}  // namespace halogen::control
