#include "control/restores.h"

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
  const std::string project_id = catalog.branch(branch_id).project_id;
  auto turn = turn_in(options_.turns, project_id, ProjectTurns::Kind::alone);
  const Project project = catalog.project(project_id);
  const Branch branch = branches_.ready_branch(project_id, branch_id);
  const Branch source = branches_.ready_branch(project_id, request.source_id);
  require_leave_to_move(branch, request);
  looks_.close(branch_id);
  Beginning beginning = options_.history.find(project, source, request.moment);
  MovedBranch moved{branch, std::move(beginning.contents), std::nullopt};
  moved.branch.timeline = TimelineId::random();
  moved.branch.parent_id = source.id;
  moved.branch.parent_lsn = beginning.lsn;
  moved.branch.parent_time = beginning.time;
  bool was_running = false;
  const Operation operation = new_operation(branch, "", "create_timeline");
  catalog.put_operation(operation);
  catalog.add_loose_timeline({moved.branch.timeline, project_id});
  try {
    options_.timelines.make(project, moved.branch.timeline, source.timeline, beginning.lsn);
    was_running = move(branch, moved, request.keep_as, operation);
  } catch (const Error& error) {
    options_.timelines.sweep(project_id);
    catalog.finish_operation(operation.id, "failed", error.what());
    throw;
  }
  logger.info("branch {} goes on from {} at {}", branch.id, source.id, beginning.lsn.str());
  RestoredBranch restored{catalog.branch(branch_id), std::nullopt, {}};
  restored.operations.push_back(catalog.operation(operation.id));
  if (moved.kept) {
    options_.endpoints.add(moved.kept->endpoint);
    restored.kept = moved.kept->branch;
  }
  if (was_running)
    restored.operations.push_back(
        options_.endpoints.begin_start(catalog.endpoint_of_branch(branch_id).id));
  options_.timelines.sweep(project_id);
  return restored;
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

bool Restores::move(const Branch& branch, MovedBranch& moved, const std::string& keep_as,
                    const Operation& operation) {
  Catalog& catalog = options_.catalog;
  const Endpoint endpoint = catalog.endpoint_of_branch(branch.id);
  return options_.endpoints.while_suspended(endpoint.id, [&] {
    moved.branch.updated_at = now_micros();
    moved.branch.last_reset_at = moved.branch.updated_at;
    if (!keep_as.empty()) {
      NewBranch& kept = moved.kept.emplace();
      kept.branch = branch;
      kept.branch.id = new_branch_id();
      kept.branch.name = keep_as;
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
    catalog.move_branch(moved, operation);
  });
}

}  // namespace halogen::control
