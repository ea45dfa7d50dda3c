#include "control/projects.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/log.h"
#include "base/url.h"
#include "control/names.h"
#include "control/settings/project_settings.h"
#include "control/timestamp.h"
#include "postgres/scram.h"

namespace halogen::control {
namespace {

const log::Logger logger("control");

constexpr int64_t kLookIdleTimeout = 60;  // Seconds.
constexpr int kMostLooks = 8;             // Of a project at one time: each is a compute.

// As a connection's options name it.
WantedMoment parse_moment(std::string_view text) {
  WantedMoment moment;
  const size_t colon = std::min(text.find(':'), text.size());
  const std::string_view kind = text.substr(0, colon);
  const std::string_view value = text.substr(std::min(colon + 1, text.size()));
  if (kind == "neon_lsn") moment.lsn = Lsn::parse(value);
  if (kind == "neon_timestamp") moment.time = parse_timestamp(value);
  if (moment.head())
    throw Error(Errc::invalid_argument,
                "\"{}\" must be neon_lsn:<LSN>, as 0/1A2B3C4, or neon_timestamp:<time>, as "
                "2026-11-23T01:26:10Z",
                text);
  return moment;
}

void check_name(const std::string& what, const std::string& name) {
  if (name.size() > 256) throw Error(Errc::invalid_argument, "{} name is too long", what);
}

void check_idle_timeout(int64_t seconds) {
  if (seconds < -1 || seconds > 604800)
    throw Error(Errc::invalid_argument,
                "suspend_timeout_seconds must be between -1 (never) and 604800 (a week)");
}

void check_history_retention(int64_t seconds) {
  if (seconds < 0 || seconds > 2'592'000)
    throw Error(Errc::invalid_argument,
                "history_retention_seconds must be between 0 and 2592000 (30 days)");
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

// A branch's parent may be younger than the branch: see Projects::restore_branch.
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

NewBranch child_branch(const Branch& parent, Beginning beginning, const BranchRequest& request) {
  NewBranch added;
  Branch& branch = added.branch;
  branch.id = new_branch_id();
  branch.project_id = parent.project_id;
  branch.timeline = TimelineId::random();
  branch.parent_id = parent.id;
  branch.parent_lsn = beginning.lsn;
  branch.parent_time = beginning.time;
  branch.name = request.name.empty() ? branch.id : request.name;
  branch.created_at = branch.updated_at = now_micros();
  added.contents = std::move(beginning.contents);
  added.endpoint = new_endpoint(branch, request.idle_timeout);
  return added;
}

}  // namespace

Projects::Projects(Options options)
    : options_(std::move(options)),
      history_(options_.catalog, options_.endpoints, options_.host, options_.pageserver,
               options_.safekeeper),
      timelines_(options_.catalog, options_.pageserver, options_.safekeeper) {}

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
}

void Projects::finish_project(const std::string& project_id) {
  Catalog& catalog = options_.catalog;
  timelines_.sweep(project_id);
  for (const Branch& branch : children_first(catalog.branches(project_id))) {
    if (branch.state == "ready" && !branch.is_look) continue;
    try {
      remove_branch(branch);
      if (branch.state != "ready")
        logger.info("{}: removed, it was only half {}", branch.id,
                    branch.state == "init" ? "made" : "deleted");
    } catch (const Error& error) {
      logger.warn("{}: cannot be removed yet: {}", branch.id, error.what());
    }
  }
  timelines_.sweep(project_id);
  if (catalog.project(project_id).state == "ready" || !catalog.branches(project_id).empty()) return;
  try {
    catalog.remove_project(project_id);
  } catch (const Error& error) {
    logger.warn("project {}: cannot be removed yet: {}", project_id, error.what());
  }
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
  check_history_retention(request.history_retention);
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
  project.history_retention = request.history_retention;
  project.created_at = project.updated_at = now_micros();
  NewBranch added = first_branch(project, request);
  added.branch.parent_lsn = model.last_record_lsn;
  options_.catalog.add_project(project, added);
  try {
    timelines_.make(project, added.branch.timeline, model.timeline, added.branch.parent_lsn);
  } catch (const Error&) {
    delete_project(project.id);
    throw;
  }
  options_.catalog.set_project_state(project.id, "ready");
  bound_history(project);
  options_.endpoints.set_allowed_addresses(project.id, allow_list_of(settings));
  options_.endpoints.add(added.endpoint);
  added.branch.state = "ready";
  logger.info("project {} created with branch {} and endpoint {}", project.id, added.branch.id,
              added.endpoint.id);
  return {added.branch, added.endpoint,
          options_.catalog.record_finished(added.branch, "", "create_timeline")};
}

Project Projects::update_project(const std::string& project_id, const ProjectChange& change) {
  check_name("project", change.name);
  nlohmann::json changes = nlohmann::json::parse(change.settings);
  MutexLock lock(mutex_);  // One change after another, in the catalog and to who may connect.
  Project project = options_.catalog.project(project_id);
  nlohmann::json settings = merged_settings(project.settings, changes);
  if (!change.name.empty()) project.name = change.name;
  project.settings = settings.dump();
  if (change.history_retention) project.history_retention = *change.history_retention;
  check_history_retention(project.history_retention);
  options_.catalog.update_project(project);
  bound_history(project);
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
  added.contents.roles = {true, {{kOwnerRole, verifier, true}}};
  added.contents.passwords = {{kOwnerRole, password}};
  added.contents.databases = {{0, kFirstDatabase, kOwnerRole}};
  added.contents.pending = {
      {0, "postgres", fmt::format("ALTER ROLE {} PASSWORD '{}'", kOwnerRole, verifier)}};
  return added;
}

Branch Projects::ready_branch(const std::string& project_id, const std::string& branch_id) {
  Branch branch = branch_id.empty() ? options_.catalog.default_branch(project_id)
                                    : options_.catalog.branch(branch_id);
  if (branch.project_id != project_id) throw Error(Errc::not_found, "branch not found");
  if (branch.state != "ready") throw Error(Errc::conflict, "branch not ready yet");
  return branch;
}

CreatedBranch Projects::create_branch(const std::string& project_id, const BranchRequest& request) {
  check_name("branch", request.name);
  check_idle_timeout(request.idle_timeout);
  Catalog& catalog = options_.catalog;
  ProjectTurns::Hold turn(turns_, project_id, ProjectTurns::Kind::shared);
  const Project project = catalog.project(project_id);
  const Branch parent = ready_branch(project_id, request.parent_id);
  NewBranch added = child_branch(parent, history_.find(project, parent, request.moment), request);
  make(project, added, parent.timeline);
  logger.info("branch {} created from {} at {}", added.branch.id, parent.id,
              added.branch.parent_lsn.str());
  return {added.branch, added.endpoint, catalog.record_finished(added.branch, "", "create_branch")};
}

void Projects::make(const Project& project, NewBranch& added, TimelineId ancestor) {
  Catalog& catalog = options_.catalog;
  catalog.add_branch(added);
  try {
    timelines_.make(project, added.branch.timeline, ancestor, added.branch.parent_lsn);
  } catch (const Error&) {
    catalog.set_branch_state(added.branch.id, "deleting");
    remove_branch(added.branch);
    throw;
  }
  catalog.set_branch_state(added.branch.id, "ready");
  options_.endpoints.add(added.endpoint);
  added.branch.state = "ready";
}

std::string Projects::look_at(const std::string& endpoint_id, const std::string& moment) {
  Catalog& catalog = options_.catalog;
  const Endpoint endpoint = catalog.endpoint(endpoint_id);
  const WantedMoment wanted = parse_moment(moment);
  ProjectTurns::Hold turn(turns_, endpoint.project_id, ProjectTurns::Kind::alone);
  const Project project = catalog.project(endpoint.project_id);
  const Branch source = ready_branch(project.id, endpoint.branch_id);
  const Moment found = history_.resolve(project, source, wanted);
  int open = 0;
  for (const Branch& look : catalog.looks()) {
    if (look.project_id != project.id) continue;
    ++open;
    if (look.parent_id == source.id && look.parent_lsn == found.lsn && look.state == "ready")
      return catalog.endpoint_of_branch(look.id).id;
  }
  if (open >= kMostLooks)
    throw Error(Errc::conflict,
                "{} moments of this project are being looked at: wait until one is "
                "left",
                open);
  NewBranch added =
      child_branch(source, {found.lsn, found.commit_time, {}}, {.idle_timeout = kLookIdleTimeout});
  added.branch.is_look = true;
  make(project, added, source.timeline);
  logger.info("{}: looks at {} of {}", added.endpoint.id, found.lsn.str(), source.id);
  return added.endpoint.id;
}

bool Projects::is_idle(const Branch& look) {
  const Endpoint endpoint = options_.catalog.endpoint_of_branch(look.id);
  const Micros since = endpoint.suspended_at.value_or(look.created_at);
  return options_.endpoints.state(endpoint.id) == ComputeState::idle &&
         now_micros() - since > (endpoint.suspended_at ? 0 : kLookIdleTimeout * 1'000'000);
}

void Projects::close_idle_looks() {
  for (const Branch& look : options_.catalog.looks()) {
    try {
      ProjectTurns::Hold turn(turns_, look.project_id, ProjectTurns::Kind::alone);
      if (!is_idle(look)) continue;
      remove_branch(look);
      timelines_.sweep(look.project_id);
      logger.info("{}: closed, nobody looks at it", look.id);
    } catch (const Error& error) {
      if (error.code() != Errc::not_found)
        logger.warn("{}: cannot be closed yet: {}", look.id, error.what());
    }
  }
}

void Projects::close_looks(const std::string& branch_id) {
  for (const Branch& child : options_.catalog.children(branch_id))
    if (child.is_look) remove_branch(child);
}

std::vector<Branch> Projects::listed_children(const std::string& branch_id) {
  std::vector<Branch> children = options_.catalog.children(branch_id);
  std::erase_if(children, [](const Branch& child) { return child.is_look; });
  return children;
}

RestoredBranch Projects::restore_branch(const std::string& branch_id,
                                        const RestoreRequest& request) {
  check_name("branch", request.keep_as);
  Catalog& catalog = options_.catalog;
  const std::string project_id = catalog.branch(branch_id).project_id;
  ProjectTurns::Hold turn(turns_, project_id, ProjectTurns::Kind::alone);
  const Project project = catalog.project(project_id);
  const Branch branch = ready_branch(project_id, branch_id);
  const Branch source = ready_branch(project_id, request.source_id);
  require_leave_to_move(branch, request);
  close_looks(branch_id);
  Beginning beginning = history_.find(project, source, request.moment);
  MovedBranch moved{branch, std::move(beginning.contents), std::nullopt};
  moved.branch.timeline = TimelineId::random();
  moved.branch.parent_id = source.id;
  moved.branch.parent_lsn = beginning.lsn;
  moved.branch.parent_time = beginning.time;
  bool was_running = false;
  catalog.add_loose_timeline({moved.branch.timeline, project_id});
  try {
    timelines_.make(project, moved.branch.timeline, source.timeline, beginning.lsn);
    was_running = move(branch, moved, request.keep_as);
  } catch (const Error&) {
    timelines_.sweep(project_id);
    throw;
  }
  logger.info("branch {} goes on from {} at {}", branch.id, source.id, beginning.lsn.str());
  RestoredBranch restored{catalog.branch(branch_id), std::nullopt, {}};
  restored.operations.push_back(catalog.record_finished(branch, "", "create_timeline"));
  if (moved.kept) {
    options_.endpoints.add(moved.kept->endpoint);
    restored.kept = moved.kept->branch;
  }
  if (was_running)
    restored.operations.push_back(
        options_.endpoints.begin_start(catalog.endpoint_of_branch(branch_id).id));
  timelines_.sweep(project_id);
  return restored;
}

void Projects::require_leave_to_move(const Branch& branch, const RestoreRequest& request) {
  Catalog& catalog = options_.catalog;
  const bool itself = request.source_id == branch.id;
  if (itself && request.moment.head())
    throw Error(Errc::invalid_argument,
                "source_lsn or source_timestamp is required to restore a branch from itself");
  if (request.keep_as.empty()) {
    if (itself)
      throw Error(Errc::conflict,
                  "preserve_under_name is required to restore a branch from itself");
    if (!listed_children(branch.id).empty())
      throw Error(Errc::conflict, "Branch has children, preserve_under_name is required");
  }
  for (const Branch& other : catalog.branches(branch.project_id))
    if (other.name == request.keep_as)
      throw Error(Errc::already_exists, "branch already exists; branch_name:\"{}\"", other.name);
}

bool Projects::move(const Branch& branch, MovedBranch& moved, const std::string& keep_as) {
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
      kept.branch.created_at = kept.branch.updated_at = moved.branch.updated_at;
      kept.contents = catalog.contents(branch.id);  // As the suspend has left them.
      kept.endpoint = new_endpoint(kept.branch, endpoint.idle_timeout);
      kept.endpoint.settings = endpoint.settings;
      if (moved.branch.parent_id == branch.id) moved.branch.parent_id = kept.branch.id;
    }
    catalog.move_branch(moved);
  });
}

void Projects::rename_branch(const std::string& branch_id, const std::string& name) {
  check_name("branch", name);
  Catalog& catalog = options_.catalog;
  ProjectTurns::Hold turn(turns_, catalog.branch(branch_id).project_id, ProjectTurns::Kind::alone);
  catalog.rename_branch(branch_id, name);
}

void Projects::set_default_branch(const std::string& branch_id) {
  Catalog& catalog = options_.catalog;
  const std::string project_id = catalog.branch(branch_id).project_id;
  ProjectTurns::Hold turn(turns_, project_id, ProjectTurns::Kind::alone);
  catalog.set_default_branch(ready_branch(project_id, branch_id));
}

Operation Projects::delete_branch(const std::string& branch_id) {
  Catalog& catalog = options_.catalog;
  ProjectTurns::Hold turn(turns_, catalog.branch(branch_id).project_id, ProjectTurns::Kind::alone);
  Branch branch = catalog.branch(branch_id);
  if (branch.is_default)
    throw Error(Errc::conflict, "cannot delete the default branch of a project");
  std::vector<Branch> children = listed_children(branch_id);
  if (!children.empty())
    throw Error(Errc::conflict, "cannot delete branch that has children: {}", children[0].id);
  close_looks(branch_id);
  catalog.set_branch_state(branch_id, "deleting");
  remove_branch(branch);
  logger.info("branch {} deleted", branch_id);
  return catalog.record_finished(branch, "", "delete_timeline");
}

void Projects::remove_branch(const Branch& branch) {
  for (const Endpoint& endpoint : options_.catalog.endpoints(branch.project_id))
    if (endpoint.branch_id == branch.id) options_.endpoints.retire(endpoint.id);
  timelines_.remove(branch.timeline);
  options_.catalog.remove_branch(branch.id);
}

void Projects::delete_project(const std::string& project_id) {
  Catalog& catalog = options_.catalog;
  catalog.project(project_id);
  ProjectTurns::Hold turn(turns_, project_id, ProjectTurns::Kind::alone);
  catalog.set_project_state(project_id, "deleting");
  timelines_.sweep(project_id);
  for (const Branch& branch : children_first(catalog.branches(project_id))) remove_branch(branch);
  timelines_.sweep(project_id);
  catalog.remove_project(project_id);
  options_.endpoints.set_allowed_addresses(project_id, {});
  logger.info("project {} deleted", project_id);
}

std::string Projects::host_name(const std::string& endpoint_id, bool pooled) const {
  return fmt::format("{}{}.{}", endpoint_id, pooled ? "-pooler" : "", options_.domain);
}

std::optional<std::string> Projects::password(const Endpoint& endpoint, const std::string& role) {
  std::optional<std::string> given = options_.catalog.password(endpoint.branch_id, role);
  if (!given) return std::nullopt;
  const std::optional<std::vector<StoredRole>> roles = history_.roles_now(endpoint);
  if (roles && role_with_password(*roles, role, *given) == nullptr) return std::nullopt;
  return given;
}

std::string Projects::first_database(const std::string& branch_id) {
  std::vector<DatabaseRecord> all = options_.catalog.databases(branch_id);
  bool usual = std::ranges::find(all, kFirstDatabase, &DatabaseRecord::name) != all.end();
  return usual || all.empty() ? kFirstDatabase : all.front().name;
}

// Those that we gave a password are for users.
std::string Projects::first_role(const std::string& branch_id) {
  auto all = options_.catalog.passwords(branch_id);
  bool usual = std::ranges::any_of(all, [](auto& one) { return one.first == kOwnerRole; });
  return usual || all.empty() ? kOwnerRole : all.front().first;
}

std::string Projects::connection_uri(const Endpoint& endpoint, const std::string& wanted_database,
                                     const std::string& wanted_role, bool pooled) {
  const std::string& branch = endpoint.branch_id;
  const std::string database = wanted_database.empty() ? first_database(branch) : wanted_database;
  const std::string role = wanted_role.empty() ? first_role(branch) : wanted_role;
  std::optional<std::string> known = password(endpoint, role);
  std::string port = options_.pg_port == 5432 ? "" : fmt::format(":{}", options_.pg_port);
  return fmt::format("postgresql://{}{}@{}{}/{}?sslmode=require&channel_binding=require",
                     url_encoded(role), known ? ":" + url_encoded(*known) : "",
                     host_name(endpoint.id, pooled), port, url_encoded(database));
}

}  // namespace halogen::control
