#include "control/catalog.h"

#include <chrono>

#include "base/error.h"
#include "base/ids.h"
#include "base/log.h"
#include "control/names.h"

namespace halogen::control {
namespace {

const log::Logger logger("control");

// 2: passwords are encrypted. 3: roles have an OID (0 is not known) and VALID UNTIL.
constexpr int64_t kSchemaVersion = 11;

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

// Users, organizations and what belongs to them; what the API tells of each object.
constexpr const char* kSchema8 = R"sql(
CREATE TABLE users (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL, created_at INTEGER NOT NULL);
CREATE TABLE organizations (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL);
ALTER TABLE api_keys ADD COLUMN kind TEXT NOT NULL DEFAULT 'personal';
ALTER TABLE api_keys ADD COLUMN user_id TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN org_id TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN project_id TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN last_used_at INTEGER;
ALTER TABLE api_keys ADD COLUMN last_used_from TEXT NOT NULL DEFAULT '';
ALTER TABLE projects ADD COLUMN org_id TEXT NOT NULL DEFAULT '';
ALTER TABLE projects ADD COLUMN endpoint_defaults TEXT NOT NULL DEFAULT '{}';
ALTER TABLE projects ADD COLUMN store_passwords INTEGER NOT NULL DEFAULT 1;
ALTER TABLE projects ADD COLUMN deleted_at INTEGER;
CREATE INDEX projects_created ON projects(created_at, id);
ALTER TABLE branches ADD COLUMN is_protected INTEGER NOT NULL DEFAULT 0;
ALTER TABLE branches ADD COLUMN expires_at INTEGER;
ALTER TABLE branches ADD COLUMN expires_set_at INTEGER;
ALTER TABLE branches ADD COLUMN init_source TEXT NOT NULL DEFAULT '';
ALTER TABLE branches ADD COLUMN restored_from TEXT NOT NULL DEFAULT '';
ALTER TABLE branches ADD COLUMN restored_as TEXT NOT NULL DEFAULT '';
ALTER TABLE branches ADD COLUMN restore_status TEXT NOT NULL DEFAULT '';
CREATE TABLE snapshots (
  id TEXT PRIMARY KEY REFERENCES branches(id) ON DELETE CASCADE, project_id TEXT NOT NULL,
  name TEXT NOT NULL, source_branch_id TEXT NOT NULL, lsn TEXT NOT NULL, time INTEGER,
  created_at INTEGER NOT NULL, expires_at INTEGER, manual INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX snapshots_project ON snapshots(project_id);
CREATE TABLE backup_schedules (
  branch_id TEXT PRIMARY KEY REFERENCES branches(id) ON DELETE CASCADE, items TEXT NOT NULL,
  checked_at INTEGER NOT NULL) WITHOUT ROWID;
ALTER TABLE branches ADD COLUMN state_changed_at INTEGER NOT NULL DEFAULT 0;
UPDATE branches SET state_changed_at = created_at;
CREATE TABLE annotations (
  branch_id TEXT PRIMARY KEY REFERENCES branches(id) ON DELETE CASCADE, value TEXT NOT NULL,
  created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL) WITHOUT ROWID;
ALTER TABLE endpoints ADD COLUMN read_only INTEGER NOT NULL DEFAULT 0;
ALTER TABLE endpoints ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE endpoints ADD COLUMN least_cu REAL NOT NULL DEFAULT 0.25;
ALTER TABLE endpoints ADD COLUMN most_cu REAL NOT NULL DEFAULT 0.25;
ALTER TABLE endpoints ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE endpoints ADD COLUMN asked_for INTEGER NOT NULL DEFAULT 1;
ALTER TABLE endpoints ADD COLUMN timeline TEXT NOT NULL DEFAULT '';
CREATE INDEX endpoints_project ON endpoints(project_id);
ALTER TABLE roles ADD COLUMN created_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE roles ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;
UPDATE roles SET created_at = (SELECT created_at FROM branches WHERE id = branch_id),
  updated_at = (SELECT created_at FROM branches WHERE id = branch_id);
ALTER TABLE databases ADD COLUMN created_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE databases ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;
UPDATE databases SET created_at = (SELECT created_at FROM branches WHERE id = branch_id),
  updated_at = (SELECT created_at FROM branches WHERE id = branch_id);
)sql";

// Changes of roles and databases that go on after a crash.
constexpr const char* kSchema9 = R"sql(
CREATE TABLE planned_changes (
  operation_id TEXT PRIMARY KEY,
  branch_id TEXT NOT NULL REFERENCES branches(id) ON DELETE CASCADE, kind TEXT NOT NULL,
  name TEXT NOT NULL, new_name TEXT NOT NULL, owner TEXT NOT NULL, verifier TEXT NOT NULL,
  can_login INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX planned_changes_branch ON planned_changes(branch_id);
)sql";

// Whoever there was is an administrator.
constexpr const char* kSchema10 = R"sql(
CREATE TABLE members (
  id TEXT PRIMARY KEY, org_id TEXT NOT NULL REFERENCES organizations(id),
  user_id TEXT NOT NULL REFERENCES users(id), role TEXT NOT NULL, joined_at INTEGER NOT NULL,
  UNIQUE (org_id, user_id)) WITHOUT ROWID;
CREATE INDEX members_user ON members(user_id);
INSERT INTO members SELECT u.id, o.id, u.id, 'admin', o.created_at FROM users u, organizations o;
CREATE TABLE invitations (
  id TEXT PRIMARY KEY, org_id TEXT NOT NULL REFERENCES organizations(id), email TEXT NOT NULL,
  role TEXT NOT NULL, invited_by TEXT NOT NULL, invited_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL, hash TEXT NOT NULL UNIQUE, UNIQUE (org_id, email)) WITHOUT ROWID;
)sql";

// Which end of the branch's log its roles are of, if they are exact.
constexpr const char* kSchema11 = R"sql(
ALTER TABLE branches ADD COLUMN roles_as_of TEXT NOT NULL DEFAULT '';
ALTER TABLE endpoints ADD COLUMN next_job_at INTEGER;
UPDATE branches SET roles_exact = 0;
)sql";

constexpr const char* kProjectColumns =
    "id, name, tenant, pg_version, system_identifier, settings, state, default_idle_timeout, "
    "created_at, updated_at, history_retention, org_id, endpoint_defaults, store_passwords, "
    "deleted_at";
constexpr const char* kBranchColumns =
    "id, project_id, timeline, parent_id, parent_lsn, name, is_default, state, created_at, "
    "updated_at, parent_time, last_reset_at, is_look, is_protected, expires_at, expires_set_at, "
    "init_source, state_changed_at, restored_from, restored_as, restore_status";

// There is one of each from the beginning, and what was there before is theirs.
void add_first_accounts(Database& db) {
  const Micros now = now_micros();
  const std::string user = random_uuid();
  const std::string org = new_organization_id();
  db.run("INSERT INTO users VALUES (?, 'operator', 'operator@localhost', ?)", user, now);
  db.run("INSERT INTO organizations VALUES (?, 'default', ?, ?)", org, now, now);
  db.run("UPDATE api_keys SET user_id = ?", user);
  db.run("UPDATE projects SET org_id = ?", org);
}

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
  project.org_id = row.text(11);
  project.endpoint_defaults = row.text(12);
  project.history_retention = row.integer(10);
  project.store_passwords = row.integer(13) != 0;
  project.deleted_at = row.optional_integer(14);
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
  branch.is_protected = row.integer(13) != 0;
  branch.expires_at = row.optional_integer(14);
  branch.expires_set_at = row.optional_integer(15);
  branch.init_source = row.text(16);
  branch.state_changed_at = row.integer(17);
  branch.restored = {row.text(18), row.text(19), row.text(20)};
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
  remember_rows({.rows = {}, .all = true});
  db_.watch({"projects", "branches", "endpoints", "pending_sql"},
            [this](const Database::Changes& changes) REQUIRES(mutex_) { remember(changes); });
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
  if (version < 8) db_.exec(kSchema8);
  if (version < 8) add_first_accounts(db_);
  if (version < 9) db_.exec(kSchema9);
  if (version < 10) db_.exec(kSchema10);
  if (version < 11) db_.exec(kSchema11);
  open_passwords(version == 1);
  db_.exec(fmt::format("PRAGMA user_version = {}", kSchemaVersion));
  transaction.commit();
}

void Catalog::remember(const Database::Changes& changes) {
  unread_.all |= changes.all;
  for (const auto& [table, rows] : changes.rows)
    unread_.rows[table].insert(rows.begin(), rows.end());
  try {
    remember_rows(unread_);
    unread_ = {};
  } catch (const Error& error) {
    logger.error("cannot read what has just been written: {}", error.what());
    forget_rows(unread_);
  }
}

void Catalog::remember_rows(const Database::Changes& changes) {
  if (changes.all) {
    memory_.clear();
    for (auto remember : {&Catalog::remember_projects, &Catalog::remember_branches,
                          &Catalog::remember_endpoints, &Catalog::remember_pending_sql})
      (this->*remember)(RowRange{});
    return;
  }
  for (const auto& [table, rows] : changes.rows)
    for (int64_t row : rows) {
      if (table == "projects") remember_projects({row, row});
      if (table == "branches") remember_branches({row, row});
      if (table == "endpoints") remember_endpoints({row, row});
      if (table == "pending_sql") remember_pending_sql({row, row});
    }
}

// SQL that is to be applied stays known: whoever does that reads it.
void Catalog::forget_rows(const Database::Changes& changes) {
  if (changes.all) memory_.clear();
  for (const auto& [table, rows] : changes.rows)
    for (int64_t row : rows) {
      if (table == "projects") memory_.set_project(row, std::nullopt);
      if (table == "branches") memory_.set_branch(row, std::nullopt);
      if (table == "endpoints") memory_.set_endpoint(row, std::nullopt);
    }
}

void Catalog::remember_projects(RowRange range) {
  bool found = false;
  Statement rows = db_.query(
      fmt::format("SELECT {}, rowid FROM projects WHERE rowid BETWEEN ? AND ?", kProjectColumns),
      range.first, range.last);
  for (; rows.step(); found = true) memory_.set_project(rows.integer(15), read_project(rows));
  if (!found) memory_.set_project(range.first, std::nullopt);
}

void Catalog::remember_branches(RowRange range) {
  bool found = false;
  Statement rows = db_.query(
      fmt::format("SELECT {}, rowid, roles_exact, roles_as_of FROM branches WHERE rowid BETWEEN ? "
                  "AND ?",
                  kBranchColumns),
      range.first, range.last);
  for (; rows.step(); found = true) {
    const Branch branch = read_branch(rows);
    BranchRoles roles{rows.integer(22) != 0, {}, Lsn::parse(rows.text(23))};
    if (roles.exact) roles.roles = read_roles(branch.id);
    memory_.set_branch(rows.integer(21), branch);
    memory_.set_roles(branch.id, {branch.timeline, std::move(roles)});
  }
  if (!found) memory_.set_branch(range.first, std::nullopt);
}

void Catalog::remember_pending_sql(RowRange range) {
  bool found = false;
  Statement rows = db_.query("SELECT id, branch_id FROM pending_sql WHERE id BETWEEN ? AND ?",
                             range.first, range.last);
  for (; rows.step(); found = true) memory_.set_pending_sql(rows.integer(0), rows.text(1));
  if (!found) memory_.set_pending_sql(range.first, std::nullopt);
}

void Catalog::set_end_of_log(std::function<Lsn(TimelineId)> end_of_log) {
  end_of_log_ = std::move(end_of_log);
}

std::optional<std::string> Catalog::meta(const std::string& key) {
  MutexLock lock(mutex_);
  Statement row = db_.query("SELECT value FROM meta WHERE key = ?", key);
  if (!row.step()) return std::nullopt;
  return row.text(0);
}

void Catalog::insert_project(const Project& project) {
  db_.run(fmt::format("INSERT INTO projects ({}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
                      "?)",
                      kProjectColumns),
          project.id, project.name, project.tenant.str(), int64_t{project.pg_version},
          static_cast<int64_t>(project.system_identifier), project.settings, project.state,
          project.default_idle_timeout, project.created_at, project.updated_at,
          project.history_retention, project.org_id, project.endpoint_defaults,
          int64_t{project.store_passwords}, project.deleted_at);
}

void Catalog::insert_branch(const NewBranch& added) {
  const Branch& branch = added.branch;
  Statement taken = db_.query("SELECT 1 FROM branches WHERE project_id = ? AND name = ?",
                              branch.project_id, branch.name);
  if (taken.step())
    throw Error(Errc::already_exists, "branch already exists; branch_name:\"{}\"", branch.name);
  db_.run(
      "INSERT INTO branches (id, project_id, timeline, parent_id, parent_lsn, name, is_default, "
      "state, roles_exact, created_at, updated_at, parent_time, last_reset_at, is_look, "
      "is_protected, expires_at, expires_set_at, init_source, state_changed_at, restored_from, "
      "restored_as, restore_status, roles_as_of) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      branch.id, branch.project_id, branch.timeline.str(), branch.parent_id,
      branch.parent_lsn.str(), branch.name, int64_t{branch.is_default}, branch.state,
      int64_t{added.contents.roles.exact}, branch.created_at, branch.updated_at, branch.parent_time,
      branch.last_reset_at, int64_t{branch.is_look}, int64_t{branch.is_protected},
      branch.expires_at, branch.expires_set_at, branch.init_source, branch.created_at,
      branch.restored.from, branch.restored.as, branch.restored.status,
      added.contents.roles.as_of.value_or(branch.parent_lsn).str());
  insert_contents(branch.id, added.contents);
  insert_endpoint(added.endpoint);
  for (const Endpoint& reader : added.readers) insert_endpoint(reader);
  if (added.annotation) put_annotation(branch.id, *added.annotation);
  if (!added.snapshot) return;
  const Snapshot& snapshot = *added.snapshot;
  db_.run("INSERT INTO snapshots VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", snapshot.id,
          snapshot.project_id, snapshot.name, snapshot.source_branch_id, snapshot.lsn.str(),
          snapshot.time, snapshot.created_at, snapshot.expires_at, int64_t{snapshot.manual});
}

void Catalog::insert_contents(const std::string& branch_id, const BranchContents& contents) {
  insert_roles(branch_id, contents.roles.roles);
  for (const auto& [role, password] : contents.passwords) {
    auto given_at = contents.passwords_given_at.find(role);
    const bool is_new = given_at == contents.passwords_given_at.end();
    passwords_->insert(branch_id, role, password, is_new ? now_micros() : given_at->second);
  }
  for (const DatabaseRecord& database : contents.databases)
    db_.run(
        "INSERT INTO databases (branch_id, name, owner, created_at, updated_at) "
        "VALUES (?1, ?2, ?3, ?4, ?4)",
        branch_id, database.name, database.owner, now_micros());
  for (const PendingSql& pending : contents.pending)
    db_.run("INSERT INTO pending_sql (branch_id, database, statement) VALUES (?, ?, ?)", branch_id,
            pending.database, pending.statement);
}

void Catalog::add_project(const Project& project, const NewBranch& branch,
                          const Operation& operation) {
  MutexLock lock(mutex_);
  Transaction transaction(db_);
  insert_project(project);
  insert_branch(branch);
  upsert_operation(operation);
  transaction.commit();
}

void Catalog::add_branch(const NewBranch& branch, const Operation& operation) {
  MutexLock lock(mutex_);
  Transaction transaction(db_);
  insert_branch(branch);
  upsert_operation(operation);
  transaction.commit();
}

void Catalog::finish_creation(const Branch& branch, const std::string& operation_id) {
  const Micros now = now_micros();
  MutexLock lock(mutex_);
  Transaction transaction(db_);
  db_.run("UPDATE projects SET state = 'ready', updated_at = ? WHERE id = ? AND state = 'init'",
          now, branch.project_id);
  db_.run(
      "UPDATE branches SET state = 'ready', updated_at = ?1, state_changed_at = ?1 WHERE id = ?2",
      now, branch.id);
  end_operation(operation_id, "finished", "");
  transaction.commit();
}

void Catalog::begin_removal(const std::string& id, const Operation& operation) {
  MutexLock lock(mutex_);
  Transaction transaction(db_);
  db_.run(
      "UPDATE branches SET state = 'deleting', updated_at = ?1, state_changed_at = ?1 WHERE id = "
      "?2",
      now_micros(), id);
  upsert_operation(operation);
  transaction.commit();
}

void Catalog::set_project_state(const std::string& id, const std::string& state) {
  MutexLock lock(mutex_);
  Transaction transaction(db_);
  db_.run("UPDATE projects SET state = ?, updated_at = ? WHERE id = ?", state, now_micros(), id);
  db_.run(
      "UPDATE branches SET state = ?1, updated_at = ?2, state_changed_at = ?2 WHERE project_id = "
      "?3",
      state, now_micros(), id);
  transaction.commit();
}

void Catalog::set_project_deleted(const std::string& id, std::optional<Micros> at) {
  MutexLock lock(mutex_);
  db_.run("UPDATE projects SET state = ?, deleted_at = ?, updated_at = ? WHERE id = ?",
          at ? "deleted" : "ready", at, now_micros(), id);
}

void Catalog::update_project(const Project& project) {
  MutexLock lock(mutex_);
  db_.run(
      "UPDATE projects SET name = ?, settings = ?, endpoint_defaults = ?, default_idle_timeout = "
      "?, history_retention = ?, updated_at = ? WHERE id = ?",
      project.name, project.settings, project.endpoint_defaults, project.default_idle_timeout,
      project.history_retention, now_micros(), project.id);
}

std::vector<Project> Catalog::project_page(const ProjectPage& page) {
  MutexLock lock(mutex_);
  Statement rows =
      db_.query(fmt::format("SELECT {} FROM projects WHERE (created_at, id) > (?1, ?2) AND "
                            "(state = ?3 OR (state = 'init' AND ?3 = 'ready')) AND (?4 = '' OR "
                            "org_id = ?4) AND (?5 = '' OR instr(lower(name), lower(?5)) OR "
                            "instr(id, lower(?5))) ORDER BY created_at, id LIMIT ?6",
                            kProjectColumns),
                page.after_created, page.after_id, page.recoverable ? "deleted" : "ready",
                page.org_id, page.search, page.limit);
  std::vector<Project> projects;
  while (rows.step()) projects.push_back(read_project(rows));
  return projects;
}

void Catalog::set_branch_state(const std::string& id, const std::string& state) {
  MutexLock lock(mutex_);
  db_.run("UPDATE branches SET state = ?1, updated_at = ?2, state_changed_at = ?2 WHERE id = ?3",
          state, now_micros(), id);
}

void Catalog::update_branch(const Branch& branch) {
  MutexLock lock(mutex_);
  Statement taken =
      db_.query("SELECT 1 FROM branches WHERE name = ? AND id <> ? AND project_id = ?", branch.name,
                branch.id, branch.project_id);
  if (taken.step())
    throw Error(Errc::already_exists, "branch already exists; branch_name:\"{}\"", branch.name);
  db_.run(
      "UPDATE branches SET name = ?, is_protected = ?, expires_at = ?, expires_set_at = ?, "
      "updated_at = ? WHERE id = ?",
      branch.name, int64_t{branch.is_protected}, branch.expires_at, branch.expires_set_at,
      now_micros(), branch.id);
}

std::map<std::string, Annotation> Catalog::annotations(const std::string& project_id) {
  MutexLock lock(mutex_);
  Statement rows = db_.query(
      "SELECT branch_id, value, a.created_at, a.updated_at FROM annotations a JOIN branches b ON "
      "b.id = branch_id WHERE project_id = ?",
      project_id);
  std::map<std::string, Annotation> found;
  while (rows.step()) found[rows.text(0)] = {rows.text(1), rows.integer(2), rows.integer(3)};
  return found;
}

void Catalog::put_annotation(const std::string& branch_id, const std::string& value) {
  db_.run(
      "INSERT INTO annotations VALUES (?1, ?2, ?3, ?3) ON CONFLICT (branch_id) DO UPDATE SET "
      "value = excluded.value, updated_at = excluded.updated_at",
      branch_id, value, now_micros());
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

void Catalog::leave_timeline(const Branch& branch) {
  MutexLock lock(mutex_);
  Transaction transaction(db_);
  db_.run("UPDATE branches SET parent_id = NULL WHERE parent_id = ?", branch.id);
  db_.run("INSERT INTO loose_timelines (timeline, project_id) VALUES (?, ?)", branch.timeline.str(),
          branch.project_id);
  db_.run("DELETE FROM branches WHERE id = ?", branch.id);
  transaction.commit();
}

void Catalog::move_branch(const MovedBranch& moved, const Operation& operation) {
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
  const BranchRoles& roles = moved.contents.roles;
  db_.run(
      "UPDATE branches SET timeline = ?, roles_exact = ?, roles_as_of = ?, updated_at = ? WHERE id "
      "= ?",
      branch.timeline.str(), int64_t{roles.exact}, roles.as_of.value_or(branch.parent_lsn).str(),
      branch.updated_at, branch.id);
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
  Operation finished = operation;
  finished.status = "finished";
  finished.updated_at = now_micros();
  upsert_operation(finished);
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
  Statement rows = db_.query(
      "SELECT timeline, project_id FROM loose_timelines WHERE timeline NOT IN (SELECT timeline "
      "FROM "
      "endpoints) ORDER BY seq DESC");
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

bool Catalog::is_being_made(const std::string& branch_id) {
  MutexLock lock(mutex_);
  return db_.query("SELECT 1 FROM branches WHERE id = ? AND state = 'init'", branch_id).step();
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
