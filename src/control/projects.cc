#include "control/projects.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ranges>

#include "base/error.h"
#include "base/log.h"
#include "control/names.h"
#include "control/settings/project_settings.h"
#include "postgres/scram.h"

namespace halogen::control {
namespace {

const log::Logger logger("control");

constexpr auto kStorageDeadline = std::chrono::seconds(60);
// WAL that is on the safekeeper is usually in the pageserver within milliseconds.
constexpr auto kIngestPatience = std::chrono::milliseconds(500);

void check_name(const std::string& what, const std::string& name) {
  if (name.size() > 256) throw Error(Errc::invalid_argument, "{} name is too long", what);
}

void check_idle_timeout(int64_t seconds) {
  if (seconds < -1 || seconds > 604800)
    throw Error(Errc::invalid_argument,
                "suspend_timeout_seconds must be between -1 (never) and 604800 (a week)");
}

Endpoint new_endpoint(const Branch& branch, int64_t idle_timeout) {
  Endpoint endpoint;
  endpoint.id = new_endpoint_id();
  endpoint.project_id = branch.project_id;
  endpoint.branch_id = branch.id;
  endpoint.idle_timeout = idle_timeout;
  endpoint.created_at = endpoint.updated_at = branch.created_at;
  return endpoint;
}

}  // namespace

void Projects::attach_all() {
  for (const Branch& branch : options_.catalog.all_branches())
    if (branch.state == "ready") attach(branch);
}

// One branch that storage cannot open keeps no other from being served.
void Projects::attach(const Branch& branch) {
  SafekeeperAdmin& safekeeper = options_.safekeeper;
  try {
    options_.pageserver.attach_wal(branch.timeline, safekeeper.wal_host(), safekeeper.wal_port());
  } catch (const Error& error) {
    logger.error("{}: storage does not serve it: {}", branch.id, error.what());
  }
}

void Projects::finish_interrupted() {
  // Children were made after their parents, so they go first.
  std::vector<Branch> branches = options_.catalog.all_branches();
  for (const Branch& branch : std::views::reverse(branches)) {
    if (branch.state == "ready") continue;
    try {
      remove_branch(branch);
      logger.info("{}: removed, it was only half {}", branch.id,
                  branch.state == "init" ? "made" : "deleted");
    } catch (const Error& error) {
      logger.warn("{}: cannot be removed yet: {}", branch.id, error.what());
    }
  }
  for (const Project& project : options_.catalog.projects())
    if (project.state != "ready" && options_.catalog.branches(project.id).empty())
      options_.catalog.remove_project(project.id);
}

void Projects::restore_allow_lists() {
  for (const Project& project : options_.catalog.projects()) {
    try {
      options_.endpoints.set_allowed_addresses(
          project.id, allow_list_of(nlohmann::json::parse(project.settings)));
    } catch (const Error& error) {  // Kept from before such lists were checked, and had an effect.
      logger.warn("project {}: {}", project.id, error.what());
    }
  }
}

CreatedBranch Projects::create_project(const ProjectRequest& request) {
  check_name("project", request.name);
  check_idle_timeout(request.idle_timeout);
  if (request.pg_version != 15)
    throw Error(Errc::invalid_argument, "pg_version {} is not supported yet: use 15",
                request.pg_version);
  nlohmann::json settings = merged_settings("{}", nlohmann::json::parse(request.settings));
  Project project;
  project.pg_version = static_cast<int>(request.pg_version);
  TimelineInfo model = options_.pageserver.template_timeline(project.pg_version);
  project.id = new_project_id();
  project.name = request.name.empty() ? project.id : request.name;
  project.tenant = TenantId::random();
  project.system_identifier = new_system_identifier();
  project.settings = settings.dump();
  project.default_idle_timeout = request.idle_timeout;
  project.created_at = project.updated_at = now_micros();
  NewBranch added = first_branch(project, request);
  added.branch.parent_lsn = model.last_record_lsn;
  options_.catalog.add_project(project, added);
  try {
    make_storage(project, added.branch, model.timeline);
  } catch (const Error&) {
    delete_project(project.id);
    throw;
  }
  options_.catalog.set_project_state(project.id, "ready");
  options_.endpoints.set_allowed_addresses(project.id, allow_list_of(settings));
  options_.endpoints.add(added.endpoint);
  added.branch.state = "ready";
  logger.info("project {} created with branch {} and endpoint {}", project.id, added.branch.id,
              added.endpoint.id);
  return {added.branch, added.endpoint, record(added.branch, "create_timeline")};
}

Project Projects::update_project(const std::string& project_id, const ProjectChange& change) {
  check_name("project", change.name);
  nlohmann::json changes = nlohmann::json::parse(change.settings);
  MutexLock lock(mutex_);  // One change after another, in the catalog and to who may connect.
  Project project = options_.catalog.project(project_id);
  nlohmann::json settings = merged_settings(project.settings, changes);
  std::string name = change.name.empty() ? project.name : change.name;
  options_.catalog.update_project(project_id, name, settings.dump());
  options_.endpoints.set_allowed_addresses(project_id, allow_list_of(settings));
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
  added.endpoint = new_endpoint(branch, request.idle_timeout);
  // The template's owner role has no password. Ours counts at once, in the proxy; Postgres hears of
  // it at the first start.
  std::string password = new_password();
  std::string verifier = scram::make_verifier(password).str();
  added.roles = {true, {{kOwnerRole, verifier, true}}};
  added.passwords = {{kOwnerRole, password}};
  added.databases = {{0, kFirstDatabase, kOwnerRole}};
  added.pending = {
      {0, "postgres", fmt::format("ALTER ROLE {} PASSWORD '{}'", kOwnerRole, verifier)}};
  return added;
}

void Projects::make_storage(const Project& project, const Branch& branch, TimelineId ancestor) {
  SafekeeperAdmin& safekeeper = options_.safekeeper;
  options_.pageserver.create_timeline(project.tenant, branch.timeline, ancestor, branch.parent_lsn,
                                      Deadline::after(kStorageDeadline));
  safekeeper.create_timeline(branch.timeline, branch.parent_lsn, project.system_identifier);
  options_.pageserver.attach_wal(branch.timeline, safekeeper.wal_host(), safekeeper.wal_port());
}

CreatedBranch Projects::create_branch(const std::string& project_id, const BranchRequest& request) {
  check_name("branch", request.name);
  check_idle_timeout(request.idle_timeout);
  Catalog& catalog = options_.catalog;
  Project project = catalog.project(project_id);
  Branch parent = request.parent_id.empty() ? catalog.default_branch(project_id)
                                            : catalog.branch(request.parent_id);
  if (parent.project_id != project_id) throw Error(Errc::not_found, "branch not found");
  if (parent.state != "ready") throw Error(Errc::conflict, "branch not ready yet");
  NewBranch added = child_branch(parent, request);
  {
    MutexLock lock(mutex_);
    if (catalog.branch(parent.id).state != "ready")
      throw Error(Errc::not_found, "branch not found");
    catalog.add_branch(added);
  }
  try {
    make_storage(project, added.branch, parent.timeline);
  } catch (const Error&) {
    catalog.set_branch_state(added.branch.id, "deleting");
    remove_branch(added.branch);
    throw;
  }
  catalog.set_branch_state(added.branch.id, "ready");
  options_.endpoints.add(added.endpoint);
  added.branch.state = "ready";
  logger.info("branch {} created from {} at {}", added.branch.id, parent.id,
              added.branch.parent_lsn.str());
  return {added.branch, added.endpoint, record(added.branch, "create_branch")};
}

NewBranch Projects::child_branch(const Branch& parent, const BranchRequest& request) {
  Catalog& catalog = options_.catalog;
  NewBranch added;
  Branch& branch = added.branch;
  branch.id = new_branch_id();
  branch.project_id = parent.project_id;
  branch.timeline = TimelineId::random();
  branch.parent_id = parent.id;
  branch.name = request.name.empty() ? branch.id : request.name;
  branch.created_at = branch.updated_at = now_micros();
  // The parent's roles are the child's only if no compute has run between the two looks.
  Endpoint endpoint = catalog.endpoint_of_branch(parent.id);
  BranchRoles roles = catalog.roles(parent.id);
  branch.parent_lsn = head(parent);
  added.roles = catalog.roles(parent.id);
  added.roles.exact = added.roles.exact && roles.exact &&
                      catalog.endpoint(endpoint.id).suspended_at == endpoint.suspended_at;
  added.passwords = catalog.passwords(parent.id);
  added.databases = catalog.databases(parent.id);
  added.pending = catalog.pending_sql(parent.id);
  added.endpoint = new_endpoint(branch, request.idle_timeout);
  return added;
}

// An LSN at a record's end at or after every commit acknowledged before the call.
Lsn Projects::head(const Branch& branch) {
  PageserverAdmin& pageserver = options_.pageserver;
  Lsn flush = options_.safekeeper.status(branch.timeline).flush;
  try {
    pageserver.wait_for_lsn(branch.timeline, flush, Deadline::after(kIngestPatience));
  } catch (const Error& error) {
    if (error.code() != Errc::timed_out) throw;
    // What is flushed may end within a record, and the rest of it be long in coming.
    Lsn whole = last_complete_record(branch);
    pageserver.wait_for_lsn(branch.timeline, whole, Deadline::after(kStorageDeadline));
  }
  return pageserver.timeline(branch.timeline).last_record_lsn;
}

Lsn Projects::last_complete_record(const Branch& branch) {
  SafekeeperAdmin& safekeeper = options_.safekeeper;
  std::string endpoint = options_.catalog.endpoint_of_branch(branch.id).id;
  Lsn whole = safekeeper.status(branch.timeline).flush;
  options_.endpoints.exclusively(endpoint, [&](bool running) {
    if (running) {
      // Its commit flushes all WAL before it.
      options_.host.execute(endpoint, "postgres",
                            "SELECT pg_logical_emit_message(true, 'halogen', 'branch')");
    } else {
      // A new term cuts off what the last compute did not finish writing.
      WalStatus status = safekeeper.status(branch.timeline);
      whole = safekeeper.begin_term(branch.timeline, status.term + 1).end;
    }
  });
  return whole;
}

Operation Projects::delete_branch(const std::string& branch_id) {
  Catalog& catalog = options_.catalog;
  Branch branch = catalog.branch(branch_id);
  {
    MutexLock lock(mutex_);
    if (branch.is_default)
      throw Error(Errc::conflict, "cannot delete the default branch of a project");
    std::vector<Branch> children = catalog.children(branch_id);
    if (!children.empty())
      throw Error(Errc::conflict, "cannot delete branch that has children: {}", children[0].id);
    catalog.set_branch_state(branch_id, "deleting");
  }
  remove_branch(branch);
  logger.info("branch {} deleted", branch_id);
  return record(branch, "delete_timeline");
}

void Projects::remove_branch(const Branch& branch) {
  for (const Endpoint& endpoint : options_.catalog.endpoints(branch.project_id))
    if (endpoint.branch_id == branch.id) options_.endpoints.retire(endpoint.id);
  options_.pageserver.delete_timeline(branch.timeline);
  options_.safekeeper.delete_timeline(branch.timeline);
  options_.catalog.remove_branch(branch.id);
}

void Projects::delete_project(const std::string& project_id) {
  Catalog& catalog = options_.catalog;
  catalog.project(project_id);
  {
    MutexLock lock(mutex_);
    catalog.set_project_state(project_id, "deleting");
  }
  std::vector<Branch> branches = catalog.branches(project_id);
  for (const Branch& branch : std::views::reverse(branches)) remove_branch(branch);
  catalog.remove_project(project_id);
  options_.endpoints.set_allowed_addresses(project_id, {});
  logger.info("project {} deleted", project_id);
}

Operation Projects::record(const Branch& branch, const std::string& action) {
  Operation operation;
  operation.id = new_uuid();
  operation.project_id = branch.project_id;
  operation.branch_id = branch.id;
  operation.action = action;
  operation.status = "finished";
  operation.created_at = operation.updated_at = now_micros();
  options_.catalog.put_operation(operation);
  return operation;
}

std::string Projects::host_name(const std::string& endpoint_id, bool pooled) const {
  return fmt::format("{}{}.{}", endpoint_id, pooled ? "-pooler" : "", options_.domain);
}

std::optional<std::string> Projects::password(const Endpoint& endpoint, const std::string& role) {
  std::optional<std::string> given = options_.catalog.password(endpoint.branch_id, role);
  if (!given) return std::nullopt;
  std::vector<StoredRole> roles;
  try {
    options_.endpoints.exclusively(endpoint.id, [&](bool running) {
      if (running)
        roles = options_.host.roles(endpoint.id).roles;
      else if (BranchRoles kept = options_.catalog.roles(endpoint.branch_id); kept.exact)
        roles = std::move(kept.roles);
    });
  } catch (const Error& error) {
    logger.info("{}: cannot see whether a password has changed: {}", endpoint.id, error.what());
  }
  if (roles.empty()) return given;
  auto found = std::ranges::find(roles, role, &StoredRole::name);
  if (found == roles.end()) return std::nullopt;
  std::optional<scram::Verifier> verifier = scram::parse_verifier(found->verifier);
  if (!verifier || !scram::check_password(*verifier, *given)) return std::nullopt;
  return given;
}

std::string Projects::connection_uri(const Endpoint& endpoint, const std::string& database,
                                     const std::string& role, bool pooled) {
  std::optional<std::string> known = password(endpoint, role);
  std::string port = options_.pg_port == 5432 ? "" : fmt::format(":{}", options_.pg_port);
  return fmt::format("postgresql://{}{}@{}{}/{}?sslmode=require", role, known ? ":" + *known : "",
                     host_name(endpoint.id, pooled), port, database);
}

}  // namespace halogen::control
