#include "control/projects.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/log.h"
#include "control/names.h"
#include "control/settings/project_settings.h"
#include "control/sql_names.h"
#include "postgres/scram.h"

namespace halogen::control {
namespace {

const log::Logger logger("control");

constexpr int64_t kMostRetention = 30 * 86'400;  // Seconds.

// A branch's parent may be younger than the branch: see Restores.
std::vector<Branch> children_first(std::vector<Branch> branches) {
  std::vector<Branch> sorted;
  while (!branches.empty()) {
    auto leaf = std::ranges::find_if(branches, [&](const Branch& branch) {
      return std::ranges::find(branches, std::optional(branch.id), &Branch::parent_id) ==
             branches.end();
    });
    CHECK(leaf != branches.end(), "branch {} is its own ancestor", branches.front().id);
    sorted.push_back(std::move(*leaf));
    branches.erase(leaf);
  }
  return sorted;
}

// Whether new endpoints can be like that is seen when there is one.
void take_endpoint_defaults(Project& project, const nlohmann::json& changes) {
  nlohmann::json merged = nlohmann::json::parse(project.endpoint_defaults);
  merged.update(changes);
  project.default_idle_timeout = merged.value("suspend_timeout_seconds", int64_t{0});
  project.endpoint_defaults = merged.dump();
  new_endpoint(project, {}, {});
}

// Once, however often it is run.
std::string rename_if_there(const std::string& look, const std::string& rename) {
  return "DO " +
         quoted_literal(fmt::format("BEGIN IF EXISTS ({}) THEN {}; END IF; END", look, rename));
}

std::string rename_role(const std::string& from, const std::string& to) {
  return rename_if_there(
      fmt::format("SELECT FROM pg_roles WHERE rolname = {}", quoted_literal(from)),
      fmt::format("ALTER ROLE {} RENAME TO {}", quoted_name(from), quoted_name(to)));
}

// A worker of a preloaded library may be in it: there is nobody else yet.
std::string rename_database(const std::string& from, const std::string& to) {
  return rename_if_there(
      fmt::format("SELECT FROM pg_database WHERE datname = {}", quoted_literal(from)),
      fmt::format("PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}; "
                  "ALTER DATABASE {} RENAME TO {}",
                  quoted_literal(from), quoted_name(from), quoted_name(to)));
}

void check_retention(int64_t seconds) {
  if (seconds < 0 || seconds > kMostRetention)
    throw Error(Errc::invalid_argument, "history_retention_seconds must be from 0 to {}",
                kMostRetention);
}

}  // namespace

Projects::Projects(Options options)
    : options_(std::move(options)),
      history_(options_.catalog, options_.endpoints, options_.host, options_.pageserver,
               options_.safekeeper),
      timelines_(options_.catalog, options_.pageserver, options_.safekeeper),
      operations_({.catalog = options_.catalog, .patience = options_.patience}),
      branches_({options_.catalog, options_.endpoints, history_, timelines_, turns_, operations_},
                options_.host, options_.pageserver),
      looks_({options_.catalog, options_.endpoints, history_, timelines_, turns_, operations_},
             branches_),
      restores_({options_.catalog, options_.endpoints, history_, timelines_, turns_, operations_},
                branches_, looks_),
      snapshots_({options_.catalog, options_.endpoints, history_, timelines_, turns_, operations_},
                 branches_),
      connection_strings_({options_.catalog, history_, options_.domain, options_.pg_port}) {}

void Projects::attach_all() {
  for (const Project& project : options_.catalog.projects()) bound_history(project);
  for (const Branch& branch : options_.catalog.all_branches())
    if (branch.state == "ready") timelines_.attach(branch);
}

void Projects::bound_history(const Project& project) {
  options_.pageserver.set_history_retention(project.tenant,
                                            std::chrono::seconds(project.history_retention));
}

void Projects::finish_interrupted() {
  for (const Project& project : options_.catalog.projects()) finish_project(project.id);
  options_.catalog.settle_interrupted_removals();
  options_.catalog.forget_unwanted_passwords();
}

void Projects::finish_project(const std::string& project_id) {
  Catalog& catalog = options_.catalog;
  timelines_.sweep(project_id);
  for (const Branch& branch : children_first(catalog.branches(project_id))) {
    if (branch.state == "ready" && !branch.is_look) continue;
    try {
      branches_.destroy(branch);
      if (branch.state != "ready")
        logger.info("{}: removed, it was only half {}", branch.id,
                    branch.state == "init" ? "made" : "deleted");
    } catch (const Error& error) {
      logger.warn("{}: cannot be removed yet: {}", branch.id, error.what());
    }
  }
  timelines_.sweep(project_id);
  const std::string state = catalog.project(project_id).state;
  if (state == "ready" || state == "deleted" || !catalog.branches(project_id).empty()) return;
  try {
    catalog.remove_project(project_id);
  } catch (const Error& error) {
    logger.warn("project {}: cannot be removed yet: {}", project_id, error.what());
  }
}

void Projects::restore_access() {
  for (const Project& project : options_.catalog.projects()) {
    try {
      apply_access(project);
    } catch (const Error& error) {  // Kept from before such lists were checked, and had an effect.
      logger.warn("project {}: {}", project.id, error.what());
    }
  }
  for (const Branch& branch : options_.catalog.all_branches())
    if (branch.is_protected) options_.endpoints.set_protected(branch.id, true);
}

void Projects::apply_access(const Project& project) {
  const nlohmann::json settings = nlohmann::json::parse(project.settings);
  options_.endpoints.refuse_project(project.id, project.deleted_at ? "the project is deleted" : "");
  options_.endpoints.set_allowed_addresses(project.id, allow_list_of(settings),
                                           only_protected_branches(settings));
  if (options_.quotas != nullptr) options_.quotas->set(project.id, quota_of(settings));
}

CreatedBranch Projects::create(const ProjectRequest& request) {
  check_object_name("project", request.name);
  check_object_name("branch", request.branch_name);
  check_retention(request.history_retention);
  check_first_role(request.role);
  check_first_database(request.database);
  if (request.pg_version != 15)
    throw Error(Errc::invalid_argument, "pg_version {} is not supported yet: use 15",
                request.pg_version);
  Project project;
  project.pg_version = static_cast<int>(request.pg_version);
  TimelineInfo model = options_.pageserver.template_timeline(project.pg_version);
  project.id = new_project_id();
  project.name = request.name.empty() ? project.id : request.name;
  project.org_id = request.org_id;
  project.tenant = TenantId::random();
  project.system_identifier = new_system_identifier();
  project.settings = merged_settings("{}", nlohmann::json::parse(request.settings)).dump();
  project.history_retention = request.history_retention;
  project.store_passwords = request.store_passwords;
  take_endpoint_defaults(project, nlohmann::json::parse(request.endpoint_defaults));
  project.created_at = project.updated_at = now_micros();
  NewBranch added = first_branch(project, request);
  added.branch.parent_lsn = model.last_record_lsn;
  auto turn = turn_in(turns_, project.id, ProjectTurns::Kind::alone);
  const Operation begun = new_operation(added.branch, "", "create_timeline");
  options_.catalog.add_project(project, added, begun);
  apply_access(project);
  options_.endpoints.add(added.endpoint);
  const Operation operation =
      operations_.run(begun, [this, turn, project, added, model = model.timeline, id = begun.id] {
        make(project, added, model, id);
      });
  return {options_.catalog.branch(added.branch.id), added.endpoint, operation, {}};
}

// The endpoint's clients wait until there is storage for it.
void Projects::make(const Project& project, const NewBranch& added, TimelineId model,
                    const std::string& operation_id) {
  try {
    options_.endpoints.make_ready(added.endpoint.id, [&] {
      timelines_.make(project, added.branch.timeline, model, added.branch.parent_lsn);
      bound_history(project);
      options_.catalog.finish_creation(added.branch, operation_id);
    });
  } catch (const Error& error) {
    options_.catalog.finish_operation(operation_id, "failed", error.what());
    destroy_alone(project.id);
    throw;
  }
  logger.info("project {} created with branch {} and endpoint {}", project.id, added.branch.id,
              added.endpoint.id);
}

Project Projects::update(const std::string& project_id, const ProjectChange& change) {
  check_object_name("project", change.name);
  if (change.history_retention) check_retention(*change.history_retention);
  nlohmann::json changes = nlohmann::json::parse(change.settings);
  MutexLock lock(mutex_);  // One change after another, in the catalog and to who may connect.
  Project project = present(project_id);
  project.settings = merged_settings(project.settings, changes).dump();
  if (!change.name.empty()) project.name = change.name;
  take_endpoint_defaults(project, nlohmann::json::parse(change.endpoint_defaults));
  project.history_retention = change.history_retention.value_or(project.history_retention);
  options_.catalog.update_project(project);
  bound_history(project);
  apply_access(project);
  return options_.catalog.project(project_id);
}

NewBranch Projects::first_branch(const Project& project, const ProjectRequest& request) {
  NewBranch added;
  Branch& branch = added.branch;
  branch.id = new_branch_id();
  branch.project_id = project.id;
  branch.timeline = TimelineId::random();
  branch.name = request.branch_name.empty() ? "main" : request.branch_name;
  branch.is_default = true;
  branch.created_at = branch.updated_at = project.created_at;
  added.annotation = request.annotation;
  added.endpoint = new_endpoint(project, branch, {});
  // The template's owner role has no password. Ours counts at once, in the proxy, as names do;
  // Postgres hears of them at the first start.
  std::string password = new_password();
  std::string verifier = scram::make_verifier(password).str();
  added.contents.roles = {true, {{request.role, verifier, true}}};
  added.contents.passwords = {{request.role, password}};
  added.contents.databases = {{0, request.database, request.role}};
  if (request.role != kOwnerRole)
    added.contents.pending.push_back({0, "postgres", rename_role(kOwnerRole, request.role)});
  added.contents.pending.push_back(
      {0, "postgres",
       fmt::format("ALTER ROLE {} PASSWORD '{}'", quoted_name(request.role), verifier)});
  if (request.database != kFirstDatabase)
    added.contents.pending.push_back(
        {0, "postgres", rename_database(kFirstDatabase, request.database)});
  return added;
}

Project Projects::present(const std::string& project_id) {
  Project project = options_.catalog.project(project_id);
  if (project.deleted_at) throw Error(Errc::not_found, "project not found");
  return project;
}

Micros Projects::recoverable_until(const Project& project) const {
  return project.deleted_at.value_or(0) +
         std::chrono::microseconds(options_.recovery_window).count();
}

void Projects::require_leave_to_remove(const std::string& project_id) {
  for (const Branch& branch : options_.catalog.branches(project_id))
    if (branch.is_protected)
      throw Error(Errc::conflict, "cannot delete a project with a protected branch: {}", branch.id);
}

void Projects::discard(const std::string& project_id) {
  require_leave_to_remove(project_id);
  destroy(project_id);
}

Project Projects::remove(const std::string& project_id) {
  Catalog& catalog = options_.catalog;
  if (catalog.project(project_id).state == "init")  // Waits for it.
    turn_in(turns_, project_id, ProjectTurns::Kind::alone);
  MutexLock lock(mutex_);
  Project project = present(project_id);
  require_leave_to_remove(project_id);
  if (options_.recovery_window.count() == 0) {
    destroy(project_id);
    return project;
  }
  catalog.set_project_deleted(project_id, now_micros());
  project = catalog.project(project_id);
  apply_access(project);
  for (const Endpoint& endpoint : catalog.endpoints(project_id))
    if (options_.endpoints.state(endpoint.id) != ComputeState::idle)
      options_.endpoints.begin_suspend(endpoint.id);
  logger.info("project {} deleted; it can be recovered", project_id);
  return project;
}

Project Projects::recover(const std::string& project_id) {
  MutexLock lock(mutex_);
  Project project = options_.catalog.project(project_id);
  if (!project.deleted_at) throw Error(Errc::conflict, "the project is not deleted");
  options_.catalog.set_project_deleted(project_id, std::nullopt);
  project = options_.catalog.project(project_id);
  apply_access(project);
  logger.info("project {} recovered", project_id);
  return project;
}

void Projects::remove_expired() {
  for (const Project& project : options_.catalog.projects()) {
    if (!project.deleted_at || recoverable_until(project) > now_micros()) continue;
    try {
      destroy(project.id);
    } catch (const Error& error) {
      logger.warn("project {}: cannot be removed yet: {}", project.id, error.what());
    }
  }
}

void Projects::destroy(const std::string& project_id) {
  ProjectTurns::Hold turn(turns_, project_id, ProjectTurns::Kind::alone);
  destroy_alone(project_id);
}

void Projects::destroy_alone(const std::string& project_id) {
  Catalog& catalog = options_.catalog;
  catalog.set_project_state(project_id, "deleting");
  timelines_.sweep(project_id);
  for (const Branch& branch : children_first(catalog.branches(project_id)))
    branches_.destroy(branch);
  timelines_.sweep(project_id);
  catalog.remove_project(project_id);
  options_.endpoints.set_allowed_addresses(project_id, {}, false);
  options_.endpoints.refuse_project(project_id, "");
  if (options_.quotas != nullptr) options_.quotas->set(project_id, {});
  logger.info("project {} is gone", project_id);
}

}  // namespace halogen::control
