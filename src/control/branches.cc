#include "control/branches.h"

#include "control/schema_copy.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/log.h"
#include "control/names.h"
#include "control/settings/endpoint_settings.h"
#include "control/timestamp.h"

namespace halogen::control {
namespace {

const log::Logger logger("control");

constexpr double kMostComputeUnits = 64;

void check_expiration(const std::optional<Micros>& at, const Branch& branch) {
  if (!at) return;
  if (*at <= now_micros())
    throw Error(Errc::invalid_argument, "expires_at: {} is not in the future", timestamp(*at));
  if (branch.is_default)
    throw Error(Errc::conflict, "expires_at: the default branch of a project cannot expire");
  if (branch.is_protected)
    throw Error(Errc::conflict, "expires_at: a protected branch cannot expire");
}

}  // namespace

std::shared_ptr<ProjectTurns::Hold> turn_in(ProjectTurns& turns, const std::string& project_id,
                                            ProjectTurns::Kind kind) {
  return std::make_shared<ProjectTurns::Hold>(turns, project_id, kind,
                                              Deadline::after(ProjectTurns::kPatience));
}

void check_object_name(const std::string& what, const std::string& name) {
  if (name.size() > 256) throw Error(Errc::invalid_argument, "{} name is too long", what);
}

void check_idle_timeout(int64_t seconds) {
  if (seconds < -1 || seconds > 604800)
    throw Error(Errc::invalid_argument,
                "suspend_timeout_seconds must be between -1 (never) and 604800 (a week)");
}

void check_compute_units(double least, double most) {
  if (!(least >= kLeastComputeUnits))
    throw Error(Errc::invalid_argument, "autoscaling_limit_min_cu must be at least {}",
                kLeastComputeUnits);
  if (!(most <= kMostComputeUnits))
    throw Error(Errc::invalid_argument, "autoscaling_limit_max_cu must be at most {}",
                kMostComputeUnits);
  if (least > most)
    throw Error(Errc::invalid_argument,
                "autoscaling_limit_min_cu ({}) must not be above autoscaling_limit_max_cu ({})",
                least, most);
}

Endpoint new_endpoint(const Project& project, const Branch& branch,
                      const EndpointRequest& request) {
  const nlohmann::json defaults = nlohmann::json::parse(project.endpoint_defaults);
  Endpoint endpoint;
  endpoint.id = new_endpoint_id();
  endpoint.project_id = branch.project_id;
  endpoint.branch_id = branch.id;
  endpoint.name = request.name;
  endpoint.read_only = request.read_only;
  endpoint.disabled = request.disabled;
  endpoint.idle_timeout = request.idle_timeout.value_or(project.default_idle_timeout);
  const double default_least = defaults.value("autoscaling_limit_min_cu", kLeastComputeUnits);
  const double default_most = defaults.value("autoscaling_limit_max_cu", default_least);
  // What is asked for moves the other limit, if that is only the project's usual one.
  endpoint.least_cu =
      request.least_cu.value_or(std::min(default_least, request.most_cu.value_or(default_least)));
  endpoint.most_cu = request.most_cu.value_or(std::max(default_most, endpoint.least_cu));
  endpoint.settings = request.settings.value_or(
      joined_settings(defaults.value("pg_settings", nlohmann::json::object()),
                      nlohmann::json::object(), false)
          .dump());
  endpoint.created_at = endpoint.updated_at = now_micros();
  check_object_name("endpoint", endpoint.name);
  check_idle_timeout(endpoint.idle_timeout);
  check_compute_units(endpoint.least_cu, endpoint.most_cu);
  return endpoint;
}

NewBranch child_branch(const Branch& parent, Beginning beginning, const std::string& name) {
  NewBranch added;
  Branch& branch = added.branch;
  branch.id = new_branch_id();
  branch.project_id = parent.project_id;
  branch.timeline = TimelineId::random();
  branch.parent_id = parent.id;
  branch.parent_lsn = beginning.lsn;
  branch.parent_time = beginning.time;
  branch.name = name.empty() ? branch.id : name;
  branch.created_at = branch.updated_at = now_micros();
  added.contents = std::move(beginning.contents);
  added.endpoint.id = new_endpoint_id();
  added.endpoint.project_id = branch.project_id;
  added.endpoint.branch_id = branch.id;
  added.endpoint.asked_for = false;
  added.endpoint.created_at = added.endpoint.updated_at = branch.created_at;
  return added;
}

Branch Branches::ready_branch(const std::string& project_id, const std::string& branch_id) {
  Branch branch = branch_id.empty() ? options_.catalog.default_branch(project_id)
                                    : options_.catalog.branch(branch_id);
  if (branch.project_id != project_id) throw Error(Errc::not_found, "branch not found");
  if (branch.state != "ready") throw Error(Errc::conflict, "branch not ready yet");
  return branch;
}

std::vector<Branch> Branches::listed_children(const std::string& branch_id) {
  std::vector<Branch> children = options_.catalog.children(branch_id);
  std::erase_if(children, [](const Branch& child) { return !child.is_listed(); });
  return children;
}

CreatedBranch Branches::create(const std::string& project_id, const BranchRequest& request) {
  check_object_name("branch", request.name);
  Catalog& catalog = options_.catalog;
  auto turn = turn_in(options_.turns, project_id, ProjectTurns::Kind::shared);
  const Project project = catalog.project(project_id);
  const Branch parent = ready_branch(project_id, request.parent_id);
  NewBranch added =
      request.schema_only
          ? schema_branch(project, parent, request)
          : child_branch(parent, options_.history.find(project, parent, request.moment),
                         request.name);
  const TimelineId ancestor = request.schema_only
                                  ? pageserver_.template_timeline(project.pg_version).timeline
                                  : parent.timeline;
  added.branch.is_protected = request.is_protected;
  check_expiration(request.expires_at, added.branch);
  added.branch.expires_at = request.expires_at;
  if (request.expires_at) added.branch.expires_set_at = added.branch.created_at;
  added.annotation = request.annotation;
  added.branch.restored = request.restored;
  if (request.endpoint) added.endpoint = new_endpoint(project, added.branch, *request.endpoint);
  for (const EndpointRequest& reader : request.readers)
    added.readers.push_back(new_endpoint(project, added.branch, reader));
  const Operation begun = new_operation(added.branch, "", "create_branch");
  begin(added, begun);
  const bool schema_only = request.schema_only;
  const Operation operation = options_.operations.run(begun, [=, this] {
    std::function<void()> fill;
    if (schema_only) fill = [&] { fill_with_schema(added, parent); };
    make(project, added, ancestor, begun.id, fill);
    logger.info("branch {} created from {} at {}", added.branch.id, parent.id,
                added.branch.parent_lsn.str());
  });
  return {catalog.branch(added.branch.id), added.endpoint, operation, added.readers};
}

NewBranch Branches::schema_branch(const Project& project, const Branch& parent,
                                  const BranchRequest& request) {
  if (!request.moment.head())
    throw Error(Errc::invalid_argument, "init_source schema-only has the schema as it is now");
  NewBranch added =
      child_branch(parent, options_.history.find(project, parent, request.moment), request.name);
  added.branch.parent_id.reset();
  added.branch.parent_time.reset();
  added.branch.parent_lsn = pageserver_.template_timeline(project.pg_version).last_record_lsn;
  added.branch.init_source = "schema-only";
  added.contents.pending.clear();
  return added;
}

void Branches::fill_with_schema(const NewBranch& added, const Branch& parent) {
  const std::string& endpoint = added.endpoint.id;
  copy_schema(options_.endpoints, host_, options_.catalog.endpoint_of_branch(parent.id).id,
              endpoint);
  options_.endpoints.while_running(endpoint, [&] {
    options_.catalog.set_roles_databases(added.branch.id, host_.roles(endpoint).roles,
                                         host_.databases(endpoint));
  });
}

void Branches::begin(const NewBranch& added, const Operation& operation) {
  options_.catalog.add_branch(added, operation);
  options_.endpoints.add(added.endpoint);
  for (const Endpoint& reader : added.readers) options_.endpoints.add(reader);
  if (added.branch.is_protected) options_.endpoints.set_protected(added.branch.id, true);
}

void Branches::make(const Project& project, const NewBranch& added, TimelineId ancestor,
                    const std::string& operation_id, const std::function<void()>& fill) {
  Catalog& catalog = options_.catalog;
  try {
    options_.endpoints.make_ready(added.endpoint.id, [&] {
      options_.timelines.make(project, added.branch.timeline, ancestor, added.branch.parent_lsn);
      if (!fill) catalog.finish_creation(added.branch, operation_id);
    });
    if (!fill) return;
    fill();
    catalog.finish_creation(added.branch, operation_id);
  } catch (const Error&) {
    catalog.set_branch_state(added.branch.id, "deleting");
    destroy(added.branch);
    throw;
  }
}

Branch Branches::update(const std::string& branch_id, const BranchChange& change) {
  check_object_name("branch", change.name);
  Catalog& catalog = options_.catalog;
  auto turn =
      turn_in(options_.turns, catalog.branch(branch_id).project_id, ProjectTurns::Kind::alone);
  Branch branch = catalog.branch(branch_id);
  if (!change.name.empty()) branch.name = change.name;
  branch.is_protected = change.is_protected.value_or(branch.is_protected);
  if (branch.is_protected && branch.expires_at && !change.expires_at)
    throw Error(Errc::conflict, "protected: a branch that expires cannot be protected");
  if (change.expires_at) {
    check_expiration(*change.expires_at, branch);
    branch.expires_at = *change.expires_at;
    branch.expires_set_at = branch.expires_at ? std::optional(now_micros()) : std::nullopt;
  }
  catalog.update_branch(branch);
  options_.endpoints.set_protected(branch_id, branch.is_protected);
  return catalog.branch(branch_id);
}

void Branches::set_default(const std::string& branch_id) {
  Catalog& catalog = options_.catalog;
  const std::string project_id = catalog.branch(branch_id).project_id;
  auto turn = turn_in(options_.turns, project_id, ProjectTurns::Kind::alone);
  const Branch branch = ready_branch(project_id, branch_id);
  if (branch.expires_at)
    throw Error(Errc::conflict, "a branch that expires cannot be the default branch");
  catalog.set_default_branch(branch);
}

Operation Branches::remove(const std::string& branch_id) {
  Catalog& catalog = options_.catalog;
  auto turn =
      turn_in(options_.turns, catalog.branch(branch_id).project_id, ProjectTurns::Kind::alone);
  Branch branch = catalog.branch(branch_id);
  if (branch.is_default)
    throw Error(Errc::conflict, "cannot delete the default branch of a project");
  if (branch.is_protected) throw Error(Errc::conflict, "cannot delete a protected branch");
  std::vector<Branch> children = listed_children(branch_id);
  if (!children.empty())
    throw Error(Errc::conflict, "cannot delete branch that has children: {}", children[0].id);
  const Operation begun = new_operation(branch, "", "delete_timeline");
  catalog.begin_removal(branch_id, begun);
  return options_.operations.run(begun, [this, turn, branch] {
    // What is left of children are looks at its past, and snapshots, which stay.
    for (const Branch& child : options_.catalog.children(branch.id))
      if (child.is_look) destroy(child);
    destroy(branch);
    logger.info("branch {} deleted", branch.id);
  });
}

void Branches::remove_expired() {
  for (const Branch& branch : options_.catalog.all_branches()) {
    if (!branch.expires_at || *branch.expires_at > now_micros() || branch.state != "ready")
      continue;
    try {
      remove(branch.id);
      logger.info("branch {}: its time had come", branch.id);
    } catch (const Error& error) {
      if (error.code() != Errc::not_found)
        logger.warn("branch {}: its time has come, but: {}", branch.id, error.what());
    }
  }
}

void Branches::destroy(const Branch& branch) {
  for (const Endpoint& endpoint : options_.catalog.endpoints_of_branch(branch.id)) {
    options_.endpoints.retire(endpoint.id);
    if (endpoint.read_only) options_.catalog.release_reader_timeline(endpoint.id);
    if (endpoint.read_only) options_.timelines.sweep(branch.project_id);
  }
  try {
    options_.timelines.remove(branch.timeline);
  } catch (const Error& error) {
    if (error.code() != Errc::conflict) throw;
    logger.info("{}: its timeline stays while others stand on it", branch.id);
    return options_.catalog.leave_timeline(branch);
  }
  options_.catalog.remove_branch(branch.id);
}

TimelineId Branches::reader_timeline(const Endpoint& endpoint) {
  const Project project = options_.catalog.project(endpoint.project_id);
  const Branch branch = options_.catalog.branch(endpoint.branch_id);
  if (branch.state == "init")  // Its making has its endpoint to itself.
    options_.endpoints.exclusively(options_.catalog.endpoint_of_branch(branch.id).id, [](bool) {});
  const Beginning head = options_.history.find(project, branch, {});
  const TimelineId timeline = TimelineId::random();
  options_.catalog.set_reader_timeline(endpoint.id, {timeline, project.id});
  options_.timelines.make(project, timeline, branch.timeline, head.lsn);
  logger.info("{}: reads {} at {}", endpoint.id, branch.id, head.lsn.str());
  return timeline;
}

Endpoint Branches::create_endpoint(const std::string& branch_id, const EndpointRequest& request) {
  Catalog& catalog = options_.catalog;
  const Branch branch = catalog.branch(branch_id);
  auto turn = turn_in(options_.turns, branch.project_id, ProjectTurns::Kind::alone);
  ready_branch(branch.project_id, branch_id);
  Endpoint endpoint = new_endpoint(catalog.project(branch.project_id), branch, request);
  if (request.read_only) {
    catalog.add_endpoint(endpoint);
    options_.endpoints.add(endpoint);
    if (branch.is_protected) options_.endpoints.set_protected(branch.id, true);
    return endpoint;
  }
  const Endpoint hidden = catalog.endpoint_of_branch(branch_id);
  if (hidden.asked_for) throw Error(Errc::already_exists, "read_write endpoint already exists");
  endpoint.id = hidden.id;
  catalog.update_endpoint(endpoint);
  options_.endpoints.update(endpoint);
  return catalog.endpoint(endpoint.id);
}

Operation Branches::remove_endpoint(const std::string& endpoint_id) {
  Catalog& catalog = options_.catalog;
  const Branch branch = catalog.branch(catalog.endpoint(endpoint_id).branch_id);
  auto turn = turn_in(options_.turns, branch.project_id, ProjectTurns::Kind::alone);
  const Endpoint endpoint = catalog.endpoint(endpoint_id);
  if (branch.is_protected)
    throw Error(Errc::conflict, "cannot delete an endpoint of a protected branch");
  const Operation begun = new_operation(branch, endpoint_id, "suspend_compute");
  catalog.put_operation(begun);
  return options_.operations.run(begun, [this, turn, endpoint] { destroy_endpoint(endpoint); });
}

// A branch gets another read-write one, of which nobody knows: the host name of this one must not
// come back to life.
void Branches::destroy_endpoint(const Endpoint& endpoint) {
  Catalog& catalog = options_.catalog;
  options_.endpoints.retire(endpoint.id);
  if (endpoint.read_only) {
    catalog.remove_endpoint(endpoint.id);
    return options_.timelines.sweep(endpoint.project_id);
  }
  Endpoint hidden;
  hidden.id = new_endpoint_id();
  hidden.project_id = endpoint.project_id;
  hidden.branch_id = endpoint.branch_id;
  hidden.asked_for = false;
  hidden.created_at = hidden.updated_at = now_micros();
  catalog.replace_endpoint(endpoint.id, hidden);
  options_.endpoints.add(hidden);
}

}  // namespace halogen::control
