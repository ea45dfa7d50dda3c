#include "control/catalog.h"

#include <chrono>

#include "base/error.h"

namespace halogen::control {
namespace {

// 2: passwords are encrypted. 3: roles have an OID (0 is not known) and VALID UNTIL.
constexpr int64_t kSchemaVersion = 7;

// Version 1. Later versions are added as further scripts, never by changing this one.
constexpr const char* kSchema = R"sql(
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE projects (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, tenant TEXT NOT NULL UNIQUE,
  pg_version INTEGER NOT NULL,
  system_identifier INTEGER NOT NULL, settings TEXT NOT NULL, state TEXT NOT NULL,
  default_idle_timeout INTEGER NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL);
CREATE TABLE branches (
  id TEXT PRIMARY KEY, project_id TEXT NOT NULL REFERENCES projects(id),
  timeline TEXT NOT NULL UNIQUE,
  parent_id TEXT REFERENCES branches(id), parent_lsn TEXT NOT NULL, name TEXT NOT NULL,
  is_default INTEGER NOT NULL, state TEXT NOT NULL, roles_exact INTEGER NOT NULL,
  created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, UNIQUE (project_id, name));
CREATE INDEX branches_parent ON branches(parent_id);
CREATE TABLE endpoints (
  id TEXT PRIMARY KEY, project_id TEXT NOT NULL REFERENCES projects(id),
  branch_id TEXT NOT NULL REFERENCES branches(id) ON DELETE CASCADE,
  idle_timeout INTEGER NOT NULL, settings TEXT NOT NULL, created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL, started_at INTEGER, suspended_at INTEGER);
CREATE INDEX endpoints_branch ON endpoints(branch_id);
CREATE TABLE roles (
  branch_id TEXT NOT NULL REFERENCES branches(id) ON DELETE CASCADE, name TEXT NOT NULL,
  verifier TEXT NOT NULL, can_login INTEGER NOT NULL, PRIMARY KEY (branch_id, name)) WITHOUT ROWID;
CREATE TABLE passwords (
  branch_id TEXT NOT NULL REFERENCES branches(id) ON DELETE CASCADE, role TEXT NOT NULL,
  password TEXT NOT NULL, PRIMARY KEY (branch_id, role)) WITHOUT ROWID;
CREATE TABLE databases (
  id INTEGER PRIMARY KEY, branch_id TEXT NOT NULL REFERENCES branches(id) ON DELETE CASCADE,
  name TEXT NOT NULL, owner TEXT NOT NULL, UNIQUE (branch_id, name));
CREATE TABLE pending_sql (
  id INTEGER PRIMARY KEY, branch_id TEXT NOT NULL REFERENCES branches(id) ON DELETE CASCADE,
  database TEXT NOT NULL, statement TEXT NOT NULL);
CREATE INDEX pending_sql_branch ON pending_sql(branch_id);
CREATE TABLE operations (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, project_id TEXT NOT NULL,
  branch_id TEXT NOT NULL, endpoint_id TEXT NOT NULL, action TEXT NOT NULL, status TEXT NOT NULL,
  error TEXT NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL);
CREATE INDEX operations_project ON operations(project_id, seq);
CREATE TABLE api_keys (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, hash TEXT NOT NULL UNIQUE,
  created_at INTEGER NOT NULL);
)sql";

constexpr const char* kSchema3 = R"sql(
ALTER TABLE roles ADD COLUMN oid INTEGER NOT NULL DEFAULT 0;
ALTER TABLE roles ADD COLUMN valid_until INTEGER;
UPDATE branches SET roles_exact = 0;
)sql";

constexpr const char* kSchema4 = R"sql(
ALTER TABLE endpoints ADD COLUMN vacuum_due INTEGER NOT NULL DEFAULT 0;
)sql";

// A branch may leave its timeline for another.
constexpr const char* kSchema5 = R"sql(
ALTER TABLE branches ADD COLUMN parent_time INTEGER;
ALTER TABLE branches ADD COLUMN last_reset_at INTEGER;
CREATE TABLE loose_timelines (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, timeline TEXT NOT NULL UNIQUE,
  project_id TEXT NOT NULL REFERENCES projects(id));
)sql";

constexpr const char* kSchema6 = R"sql(
ALTER TABLE branches ADD COLUMN is_look INTEGER NOT NULL DEFAULT 0;
ALTER TABLE passwords ADD COLUMN given_at INTEGER NOT NULL DEFAULT 0;
)sql";

constexpr const char* kSchema7 = R"sql(
ALTER TABLE projects ADD COLUMN history_retention INTEGER NOT NULL DEFAULT 604800;
)sql";

constexpr const char* kProjectColumns =
    "id, name, tenant, pg_version, system_identifier, settings, state, default_idle_timeout, "
    "created_at, updated_at, history_retention";
constexpr const char* kBranchColumns =
    "id, project_id, timeline, parent_id, parent_lsn, name, is_default, state, created_at, "
    "updated_at, parent_time, last_reset_at, is_look";

Project read_project(const Statement& row) {
  Project project;
  project.id = row.text(0);
  project.name = row.text(1);
  project.tenant = TenantId::parse(row.text(2));
  project.pg_version = static_cast<int>(row.integer(3));
  project.system_identifier = static_cast<uint64_t>(row.integer(4));
  project.settings = row.text(5);
  project.state = row.text(6);
  project.default_idle_timeout = row.integer(7);
  project.created_at = row.integer(8);
  project.updated_at = row.integer(9);
  project.history_retention = row.integer(10);
  return project;
}

Branch read_branch(const Statement& row) {
  Branch branch;
  branch.id = row.text(0);
  branch.project_id = row.text(1);
  branch.timeline = TimelineId::parse(row.text(2));
  branch.parent_id = row.optional_text(3);
  branch.parent_lsn = Lsn::parse(row.text(4)).value_or(Lsn());
  branch.name = row.text(5);
  branch.is_default = row.integer(6) != 0;
  branch.state = row.text(7);
  branch.created_at = row.integer(8);
  branch.updated_at = row.integer(9);
  branch.parent_time = row.optional_integer(10);
  branch.last_reset_at = row.optional_integer(11);
  branch.is_look = row.integer(12) != 0;
  return branch;
}

std::vector<Branch> read_branches(Statement rows) {
  std::vector<Branch> branches;
  while (rows.step()) branches.push_back(read_branch(rows));
  return branches;
}

}  // namespace

Micros now_micros() {
  auto since = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(since).count();
}

Catalog::Catalog(const std::filesystem::path& file, const CatalogOptions& options) : db_(file) {
  CatalogOptions complete = options;
  if (complete.key_file.empty()) complete.key_file = file.parent_path() / "catalog.keys";
  MutexLock lock(mutex_);
  migrate(complete);
  passwords_->rewrite_files();
}

void Catalog::migrate(const CatalogOptions& options) {
  int64_t version = 0;
  {
    Statement row = db_.query("PRAGMA user_version");
    if (row.step()) version = row.integer(0);
  }
  if (version > kSchemaVersion)
    throw Error(Errc::conflict,
                "the catalog was written by a newer Halogen (schema {}, this program knows {}): "
                "use the newer program, or another HALOGEN_HOME",
                version, kSchemaVersion);
  auto open_passwords = [&](bool clear_text) REQUIRES(mutex_) {
    passwords_.emplace(db_, options.key_file, clear_text, options.forget_unreadable_passwords);
  };
  if (version == kSchemaVersion) return open_passwords(false);
  Transaction transaction(db_);
  if (version < 1) db_.exec(kSchema);
  if (version < 3) db_.exec(kSchema3);
  if (version < 4) db_.exec(kSchema4);
  if (version < 5) db_.exec(kSchema5);
  if (version < 6) db_.exec(kSchema6);
  if (version < 7) db_.exec(kSchema7);
  open_passwords(version == 1);
  db_.exec(fmt::format("PRAGMA user_version = {}", kSchemaVersion));
  transaction.commit();
}

std::optional<std::string> Catalog::meta(const std::string& key) {
  MutexLock lock(mutex_);
  Statement row = db_.query("SELECT value FROM meta WHERE key = ?", key);
  if (!row.step()) return std::nullopt;
  return row.text(0);
}

void Catalog::set_meta(const std::string& key, const std::string& value) {
  MutexLock lock(mutex_);
  db_.run("INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
          key, value);
}

void Catalog::insert_project(const Project& project) {
  db_.run("INSERT INTO projects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", project.id, project.name,
          project.tenant.str(), int64_t{project.pg_version},
          static_cast<int64_t>(project.system_identifier), project.settings, project.state,
          project.default_idle_timeout, project.created_at, project.updated_at,
          project.history_retention);
}

void Catalog::insert_branch(const NewBranch& added) {
  const Branch& branch = added.branch;
  Statement taken = db_.query("SELECT 1 FROM branches WHERE project_id = ? AND name = ?",
                              branch.project_id, branch.name);
  if (taken.step())
    throw Error(Errc::already_exists, "branch already exists; branch_name:\"{}\"", branch.name);
  db_.run(
      "INSERT INTO branches (id, project_id, timeline, parent_id, parent_lsn, name, is_default, "
      "state, roles_exact, created_at, updated_at, parent_time, last_reset_at, is_look) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      branch.id, branch.project_id, branch.timeline.str(), branch.parent_id,
      branch.parent_lsn.str(), branch.name, int64_t{branch.is_default}, branch.state,
      int64_t{added.contents.roles.exact}, branch.created_at, branch.updated_at, branch.parent_time,
      branch.last_reset_at, int64_t{branch.is_look});
  insert_contents(branch.id, added.contents);
  const Endpoint& endpoint = added.endpoint;
  db_.run(
      "INSERT INTO endpoints (id, project_id, branch_id, idle_timeout, settings, created_at, "
      "updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
      endpoint.id, endpoint.project_id, endpoint.branch_id, endpoint.idle_timeout,
      endpoint.settings, endpoint.created_at, endpoint.updated_at);
}

void Catalog::insert_contents(const std::string& branch_id, const BranchContents& contents) {
  insert_roles(branch_id, contents.roles.roles);
  for (const auto& [role, password] : contents.passwords) {
    auto given_at = contents.passwords_given_at.find(role);
    const bool is_new = given_at == contents.passwords_given_at.end();
    passwords_->insert(branch_id, role, password, is_new ? now_micros() : given_at->second);
  }
  for (const DatabaseRecord& database : contents.databases)
    db_.run("INSERT INTO databases (branch_id, name, owner) VALUES (?, ?, ?)", branch_id,
            database.name, database.owner);
  for (const PendingSql& pending : contents.pending)
    db_.run("INSERT INTO pending_sql (branch_id, database, statement) VALUES (?, ?, ?)", branch_id,
            pending.database, pending.statement);
}

void Catalog::add_project(const Project& project, const NewBranch& branch) {
  MutexLock lock(mutex_);
  Transaction transaction(db_);
  insert_project(project);
  insert_branch(branch);
  transaction.commit();
}

void Catalog::add_branch(const NewBranch& branch) {
  MutexLock lock(mutex_);
  Transaction transaction(db_);
  insert_branch(branch);
  transaction.commit();
}

void Catalog::set_project_state(const std::string& id, const std::string& state) {
  MutexLock lock(mutex_);
  Transaction transaction(db_);
  db_.run("UPDATE projects SET state = ?, updated_at = ? WHERE id = ?", state, now_micros(), id);
  db_.run("UPDATE branches SET state = ?, updated_at = ? WHERE project_id = ?", state, now_micros(),
          id);
  transaction.commit();
}

void Catalog::update_project(const Project& project) {
  MutexLock lock(mutex_);
  db_.run(
      "UPDATE projects SET name = ?, settings = ?, history_retention = ?, updated_at = ? "
      "WHERE id = ?",
      project.name, project.settings, project.history_retention, now_micros(), project.id);
}

void Catalog::set_branch_state(const std::string& id, const std::string& state) {
  MutexLock lock(mutex_);
  db_.run("UPDATE branches SET state = ?, updated_at = ? WHERE id = ?", state, now_micros(), id);
}

void Catalog::rename_branch(const std::string& id, const std::string& name) {
  MutexLock lock(mutex_);
  Statement taken = db_.query(
      "SELECT 1 FROM branches WHERE name = ?2 AND id <> ?1 AND project_id = (SELECT project_id "
      "FROM branches WHERE id = ?1)",
      id, name);
  if (taken.step())
    throw Error(Errc::already_exists, "branch already exists; branch_name:\"{}\"", name);
  db_.run("UPDATE branches SET name = ?, updated_at = ? WHERE id = ?", name, now_micros(), id);
}

void Catalog::set_default_branch(const Branch& branch) {
  MutexLock lock(mutex_);
  db_.run(
      "UPDATE branches SET is_default = (id = ?1), updated_at = ?2 "
      "WHERE project_id = ?3 AND is_default <> (id = ?1)",
      branch.id, now_micros(), branch.project_id);
}

void Catalog::remove_branch(const std::string& id) {
  MutexLock lock(mutex_);
  db_.run("DELETE FROM branches WHERE id = ?", id);
}

void Catalog::move_branch(const MovedBranch& moved) {
  const Branch& branch = moved.branch;
  MutexLock lock(mutex_);
  Transaction transaction(db_);
  std::string left;
  {
    Statement before = db_.query("SELECT timeline FROM branches WHERE id = ?", branch.id);
    if (!before.step()) throw Error(Errc::not_found, "branch not found");
    left = before.text(0);
  }
  db_.run("DELETE FROM loose_timelines WHERE timeline = ?", branch.timeline.str());
  for (const char* table : {"roles", "passwords", "databases", "pending_sql"})
    db_.run(fmt::format("DELETE FROM {} WHERE branch_id = ?", table), branch.id);
  db_.run("UPDATE branches SET timeline = ?, roles_exact = ?, updated_at = ? WHERE id = ?",
          branch.timeline.str(), int64_t{moved.contents.roles.exact}, branch.updated_at, branch.id);
  insert_contents(branch.id, moved.contents);
  if (moved.kept) {
    insert_branch(*moved.kept);
    db_.run("UPDATE branches SET parent_id = ? WHERE parent_id = ?", moved.kept->branch.id,
            branch.id);
  } else {
    db_.run("INSERT INTO loose_timelines (timeline, project_id) VALUES (?, ?)", left,
            branch.project_id);
  }
  db_.run(
      "UPDATE branches SET parent_id = ?, parent_lsn = ?, parent_time = ?, last_reset_at = ? "
      "WHERE id = ?",
      branch.parent_id, branch.parent_lsn.str(), branch.parent_time, branch.last_reset_at,
      branch.id);
  transaction.commit();
}

void Catalog::add_loose_timeline(const LooseTimeline& loose) {
  MutexLock lock(mutex_);
  db_.run("INSERT INTO loose_timelines (timeline, project_id) VALUES (?, ?)", loose.timeline.str(),
          loose.project_id);
}

void Catalog::remove_loose_timeline(TimelineId timeline) {
  MutexLock lock(mutex_);
  db_.run("DELETE FROM loose_timelines WHERE timeline = ?", timeline.str());
}

std::vector<LooseTimeline> Catalog::loose_timelines() {
  MutexLock lock(mutex_);
  Statement rows = db_.query("SELECT timeline, project_id FROM loose_timelines ORDER BY seq DESC");
  std::vector<LooseTimeline> found;
  while (rows.step()) found.push_back({TimelineId::parse(rows.text(0)), rows.text(1)});
  return found;
}

void Catalog::remove_project(const std::string& id) {
  MutexLock lock(mutex_);
  db_.run("DELETE FROM projects WHERE id = ?", id);
}

Project Catalog::project(const std::string& id) {
  MutexLock lock(mutex_);
  Statement row =
      db_.query(fmt::format("SELECT {} FROM projects WHERE id = ?", kProjectColumns), id);
  if (!row.step()) throw Error(Errc::not_found, "project not found");
  return read_project(row);
}

std::vector<Project> Catalog::projects() {
  MutexLock lock(mutex_);
  Statement rows =
      db_.query(fmt::format("SELECT {} FROM projects ORDER BY created_at, id", kProjectColumns));
  std::vector<Project> projects;
  while (rows.step()) projects.push_back(read_project(rows));
  return projects;
}

Branch Catalog::branch(const std::string& id) {
  MutexLock lock(mutex_);
  Statement row =
      db_.query(fmt::format("SELECT {} FROM branches WHERE id = ?", kBranchColumns), id);
  if (!row.step()) throw Error(Errc::not_found, "branch not found");
  return read_branch(row);
}

Branch Catalog::default_branch(const std::string& project_id) {
  MutexLock lock(mutex_);
  Statement row = db_.query(
      fmt::format("SELECT {} FROM branches WHERE project_id = ? AND is_default", kBranchColumns),
      project_id);
  if (!row.step()) throw Error(Errc::not_found, "branch not found");
  return read_branch(row);
}

std::vector<Branch> Catalog::branches(const std::string& project_id) {
  MutexLock lock(mutex_);
  return read_branches(
      db_.query(fmt::format("SELECT {} FROM branches WHERE project_id = ? ORDER BY created_at, id",
                            kBranchColumns),
                project_id));
}

std::vector<Branch> Catalog::all_branches() {
  MutexLock lock(mutex_);
  return read_branches(
      db_.query(fmt::format("SELECT {} FROM branches ORDER BY created_at, id", kBranchColumns)));
}

std::vector<Branch> Catalog::looks() {
  MutexLock lock(mutex_);
  return read_branches(
      db_.query(fmt::format("SELECT {} FROM branches WHERE is_look", kBranchColumns)));
}

std::vector<Branch> Catalog::children(const std::string& branch_id) {
  MutexLock lock(mutex_);
  return read_branches(db_.query(
      fmt::format("SELECT {} FROM branches WHERE parent_id = ?", kBranchColumns), branch_id));
}

}  // namespace halogen::control
