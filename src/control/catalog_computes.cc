// The catalog's other half: endpoints, roles, operations.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/ids.h"
#include "base/log.h"
#include "control/catalog.h"

namespace halogen::control {
namespace {

const log::Logger logger("control");

constexpr const char* kEndpointColumns =
    "id, project_id, branch_id, idle_timeout, settings, created_at, updated_at, started_at, "
    "suspended_at, vacuum_due, read_only, name, least_cu, most_cu, disabled, asked_for, timeline, "
    "next_job_at";
constexpr const char* kOperationColumns =
    "id, project_id, branch_id, endpoint_id, action, status, error, created_at, updated_at";

// In the order of ChangeKind.
constexpr std::array<const char*, 6> kChangeKinds = {"create_role",     "reset_password",
                                                     "delete_role",     "create_database",
                                                     "update_database", "delete_database"};

const char* name_of(ChangeKind kind) { return kChangeKinds.at(static_cast<size_t>(kind)); }

ChangeKind change_kind(const std::string& name) {
  auto found = std::ranges::find(kChangeKinds, name, [](const char* one) { return one; });
  if (found == kChangeKinds.end()) throw Error(Errc::corrupt, "no kind of change is \"{}\"", name);
  return static_cast<ChangeKind>(found - kChangeKinds.begin());
}

// Where the record after one that ends here begins.
constexpr Lsn aligned(Lsn lsn) { return Lsn((lsn.value + 7) & ~uint64_t{7}); }

Endpoint read_endpoint(const Statement& row) {
  Endpoint endpoint;
  endpoint.id = row.text(0);
  endpoint.project_id = row.text(1);
  endpoint.branch_id = row.text(2);
  endpoint.idle_timeout = row.integer(3);
  endpoint.settings = row.text(4);
  endpoint.created_at = row.integer(5);
  endpoint.updated_at = row.integer(6);
  endpoint.started_at = row.optional_integer(7);
  endpoint.suspended_at = row.optional_integer(8);
  endpoint.vacuum_due = row.integer(9) != 0;
  endpoint.read_only = row.integer(10) != 0;
  endpoint.name = row.text(11);
  endpoint.least_cu = row.real(12);
  endpoint.most_cu = row.real(13);
  endpoint.disabled = row.integer(14) != 0;
  endpoint.asked_for = row.integer(15) != 0;
  if (std::string timeline = row.text(16); !timeline.empty())
    endpoint.timeline = TimelineId::parse(timeline);
  endpoint.next_job_at = row.optional_integer(17);
  return endpoint;
}

std::vector<Endpoint> read_endpoints(Statement rows) {
  std::vector<Endpoint> endpoints;
  while (rows.step()) endpoints.push_back(read_endpoint(rows));
  return endpoints;
}

Operation read_operation(const Statement& row) {
  Operation operation;
  operation.id = row.text(0);
  operation.project_id = row.text(1);
  operation.branch_id = row.text(2);
  operation.endpoint_id = row.text(3);
  operation.action = row.text(4);
  operation.status = row.text(5);
  operation.error = row.text(6);
  operation.created_at = row.integer(7);
  operation.updated_at = row.integer(8);
  return operation;
}

}  // namespace

void Catalog::insert_endpoint(const Endpoint& endpoint) {
  db_.run(
      "INSERT INTO endpoints (id, project_id, branch_id, idle_timeout, settings, created_at, "
      "updated_at, read_only, name, least_cu, most_cu, disabled, asked_for) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      endpoint.id, endpoint.project_id, endpoint.branch_id, endpoint.idle_timeout,
      endpoint.settings, endpoint.created_at, endpoint.updated_at, int64_t{endpoint.read_only},
      endpoint.name, endpoint.least_cu, endpoint.most_cu, int64_t{endpoint.disabled},
      int64_t{endpoint.asked_for});
}

// Those that were there keep the time when they were first seen.
void Catalog::insert_roles(const std::string& branch_id, const std::vector<StoredRole>& roles) {
  for (const StoredRole& role : roles)
    db_.run(
        "INSERT INTO roles (branch_id, name, verifier, can_login, oid, valid_until, created_at, "
        "updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7) "
        "ON CONFLICT (branch_id, name) DO UPDATE SET updated_at = CASE WHEN verifier = "
        "excluded.verifier AND can_login = excluded.can_login THEN updated_at ELSE "
        "excluded.updated_at END, verifier = excluded.verifier, can_login = excluded.can_login, "
        "oid = excluded.oid, valid_until = excluded.valid_until",
        branch_id, role.name, role.verifier, int64_t{role.can_login}, int64_t{role.oid},
        role.valid_until, now_micros());
}

void Catalog::put_roles(const std::string& branch_id, const std::vector<StoredRole>& roles) {
  nlohmann::json names = nlohmann::json::array();
  for (const StoredRole& role : roles) names.push_back(role.name);
  db_.run("DELETE FROM roles WHERE branch_id = ? AND name NOT IN (SELECT value FROM json_each(?))",
          branch_id, names.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  insert_roles(branch_id, roles);
}

std::map<std::string, RoleTimes> Catalog::role_times(const std::string& branch_id) {
  MutexLock lock(mutex_);
  Statement rows =
      db_.query("SELECT name, created_at, updated_at FROM roles WHERE branch_id = ?", branch_id);
  std::map<std::string, RoleTimes> found;
  while (rows.step()) found[rows.text(0)] = {rows.integer(1), rows.integer(2)};
  return found;
}

Endpoint Catalog::endpoint(const std::string& id) {
  MutexLock lock(mutex_);
  Statement row =
      db_.query(fmt::format("SELECT {} FROM endpoints WHERE id = ?", kEndpointColumns), id);
  if (!row.step()) throw Error(Errc::not_found, "endpoint not found");
  return read_endpoint(row);
}

Endpoint Catalog::endpoint_of_branch(const std::string& branch_id) {
  MutexLock lock(mutex_);
  Statement row =
      db_.query(fmt::format("SELECT {} FROM endpoints WHERE branch_id = ? AND NOT read_only",
                            kEndpointColumns),
                branch_id);
  if (!row.step()) throw Error(Errc::not_found, "endpoint not found");
  return read_endpoint(row);
}

std::vector<Endpoint> Catalog::endpoints(const std::string& project_id) {
  MutexLock lock(mutex_);
  return read_endpoints(
      db_.query(fmt::format("SELECT {} FROM endpoints WHERE project_id = ? ORDER BY created_at, id",
                            kEndpointColumns),
                project_id));
}

std::vector<Endpoint> Catalog::all_endpoints() {
  MutexLock lock(mutex_);
  return read_endpoints(
      db_.query(fmt::format("SELECT {} FROM endpoints ORDER BY created_at, id", kEndpointColumns)));
}

std::vector<Endpoint> Catalog::endpoints_of_branch(const std::string& branch_id) {
  MutexLock lock(mutex_);
  return read_endpoints(
      db_.query(fmt::format("SELECT {} FROM endpoints WHERE branch_id = ? ORDER BY created_at, id",
                            kEndpointColumns),
                branch_id));
}

void Catalog::set_reader_timeline(const std::string& endpoint_id, const LooseTimeline& loose) {
  MutexLock lock(mutex_);
  Transaction transaction(db_);
  db_.run("INSERT INTO loose_timelines (timeline, project_id) VALUES (?, ?)", loose.timeline.str(),
          loose.project_id);
  db_.run("UPDATE endpoints SET timeline = ? WHERE id = ?", loose.timeline.str(), endpoint_id);
  transaction.commit();
}

void Catalog::release_reader_timeline(const std::string& endpoint_id) {
  MutexLock lock(mutex_);
  db_.run("UPDATE endpoints SET timeline = '' WHERE id = ?", endpoint_id);
}

void Catalog::add_endpoint(const Endpoint& endpoint) {
  MutexLock lock(mutex_);
  insert_endpoint(endpoint);
}

void Catalog::remove_endpoint(const std::string& id) {
  MutexLock lock(mutex_);
  db_.run("DELETE FROM endpoints WHERE id = ?", id);
}

void Catalog::replace_endpoint(const std::string& id, const Endpoint& by) {
  MutexLock lock(mutex_);
  Transaction transaction(db_);
  db_.run("DELETE FROM endpoints WHERE id = ?", id);
  insert_endpoint(by);
  transaction.commit();
}

void Catalog::update_endpoint(const Endpoint& endpoint) {
  MutexLock lock(mutex_);
  db_.run(
      "UPDATE endpoints SET idle_timeout = ?, settings = ?, name = ?, least_cu = ?, most_cu = ?, "
      "disabled = ?, asked_for = ?, created_at = ?, updated_at = ? WHERE id = ?",
      endpoint.idle_timeout, endpoint.settings, endpoint.name, endpoint.least_cu, endpoint.most_cu,
      int64_t{endpoint.disabled}, int64_t{endpoint.asked_for}, endpoint.created_at, now_micros(),
      endpoint.id);
  if (db_.changes() == 0) throw Error(Errc::not_found, "endpoint not found");
}

void Catalog::remember_endpoints(RowRange range) {
  bool found = false;
  Statement rows = db_.query(
      fmt::format("SELECT {}, rowid FROM endpoints WHERE rowid BETWEEN ? AND ?", kEndpointColumns),
      range.first, range.last);
  for (; rows.step(); found = true) memory_.set_endpoint(rows.integer(18), read_endpoint(rows));
  if (!found) memory_.set_endpoint(range.first, std::nullopt);
}

KnownEndpoint Catalog::known(const std::string& endpoint_id) {
  if (auto found = memory_.endpoint(endpoint_id)) return *std::move(found);
  MutexLock lock(mutex_);
  // Memory may just be made anew, or lack what could not be read.
  if (!unread_.rows.empty() || unread_.all) {
    remember_rows(unread_);
    unread_ = {};
  }
  if (auto found = memory_.endpoint(endpoint_id)) return *std::move(found);
  throw Error(Errc::not_found, "endpoint not found");
}

void Catalog::note_starting(const Endpoint& endpoint) {
  if (!endpoint.read_only) memory_.forget_roles(endpoint.branch_id);
}

void Catalog::note_suspended(const Endpoint& endpoint, const ComputeStopped& stopped) {
  if (endpoint.read_only || stopped.roles.empty()) return;
  if (auto known = memory_.endpoint(endpoint.id))
    memory_.set_roles(endpoint.branch_id,
                      {known->branch.timeline, {true, stopped.roles, stopped.end}});
}

void Catalog::compute_started(const Endpoint& endpoint, Micros at, const Operation& operation) {
  MutexLock lock(mutex_);
  Transaction transaction(db_);
  db_.run("UPDATE endpoints SET started_at = ?, vacuum_due = 0 WHERE id = ?", at, endpoint.id);
  if (!endpoint.read_only)
    db_.run("UPDATE branches SET roles_exact = 0 WHERE id = ?", endpoint.branch_id);
  upsert_operation(operation);
  transaction.commit();
}

void Catalog::compute_suspended(const Endpoint& endpoint, Micros at, const ComputeStopped& stopped,
                                const Operation& operation) {
  const std::vector<StoredRole>& roles = stopped.roles;
  MutexLock lock(mutex_);
  Transaction transaction(db_);
  db_.run("UPDATE endpoints SET suspended_at = ?, vacuum_due = ? WHERE id = ?", at,
          int64_t{stopped.vacuum_due}, endpoint.id);
  if (stopped.next_job)
    db_.run("UPDATE endpoints SET next_job_at = nullif(?, 0) WHERE id = ?", *stopped.next_job,
            endpoint.id);
  if (!roles.empty() && !endpoint.read_only) {
    put_roles(endpoint.branch_id, roles);
    db_.run("UPDATE branches SET roles_exact = 1, roles_as_of = ? WHERE id = ?", stopped.end.str(),
            endpoint.branch_id);
    put_databases(endpoint.branch_id, stopped.databases);
  }
  upsert_operation(operation);
  transaction.commit();
}

BranchContents Catalog::contents(const std::string& branch_id) {
  return {roles(branch_id), passwords(branch_id), passwords_given_at(branch_id),
          databases(branch_id), pending_sql(branch_id)};
}

std::vector<StoredRole> Catalog::read_roles(const std::string& branch_id) {
  Statement rows = db_.query(
      "SELECT name, verifier, can_login, oid, valid_until FROM roles WHERE branch_id = ? "
      "ORDER BY name",
      branch_id);
  std::vector<StoredRole> found;
  while (rows.step())
    found.push_back({rows.text(0), rows.text(1), rows.integer(2) != 0,
                     static_cast<uint32_t>(rows.integer(3)), rows.optional_integer(4)});
  return found;
}

BranchRoles Catalog::roles(const std::string& branch_id) {
  if (auto exact = exact_roles(branch_id)) return *std::move(exact);
  MutexLock lock(mutex_);
  Statement branch = db_.query("SELECT 1 FROM branches WHERE id = ?", branch_id);
  if (!branch.step()) throw Error(Errc::not_found, "branch not found");
  return {false, read_roles(branch_id), {}};
}

std::optional<BranchRoles> Catalog::exact_roles(const std::string& branch_id) {
  auto known = memory_.roles(branch_id);
  if (!known) return std::nullopt;
  if (!end_of_log_) return std::move(known->roles);
  try {
    const Lsn end = end_of_log_(known->timeline);
    if (aligned(end) == aligned(known->roles.as_of.value_or(Lsn()))) return std::move(known->roles);
  } catch (const Error& error) {
    logger.info("branch {}: whether its roles are known depends on its log: {}", branch_id,
                error.what());
  }
  return std::nullopt;
}

std::vector<std::pair<std::string, std::string>> Catalog::passwords(const std::string& branch_id) {
  MutexLock lock(mutex_);
  return passwords_->of_branch(branch_id);
}

std::map<std::string, Micros> Catalog::passwords_given_at(const std::string& branch_id) {
  MutexLock lock(mutex_);
  Statement rows = db_.query("SELECT role, given_at FROM passwords WHERE branch_id = ?", branch_id);
  std::map<std::string, Micros> found;
  while (rows.step()) found[rows.text(0)] = rows.integer(1);
  return found;
}

std::optional<std::string> Catalog::password(const std::string& branch_id,
                                             const std::string& role) {
  for (auto& [name, password] : passwords(branch_id))
    if (name == role) return password;
  return std::nullopt;
}

void Catalog::remove_password(const std::string& branch_id, const std::string& role) {
  MutexLock lock(mutex_);
  passwords_->remove(branch_id, role);
}

std::vector<DatabaseRecord> Catalog::databases(const std::string& branch_id) {
  MutexLock lock(mutex_);
  std::vector<DatabaseRecord> found;
  Statement rows = db_.query(
      "SELECT id, name, owner, created_at, updated_at FROM databases WHERE branch_id = ? "
      "ORDER BY id",
      branch_id);
  while (rows.step())
    found.push_back({rows.integer(0), rows.text(1), rows.text(2),
                     rows.integer(3) == 0 ? rows.integer(4) : rows.integer(3), rows.integer(4)});
  return found;
}

void Catalog::set_roles_databases(const std::string& branch_id,
                                  const std::vector<StoredRole>& roles,
                                  const std::vector<StoredDatabase>& databases) {
  MutexLock lock(mutex_);
  Transaction transaction(db_);
  put_roles(branch_id, roles);
  put_databases(branch_id, databases);
  transaction.commit();
}

void Catalog::set_databases(const std::string& branch_id,
                            const std::vector<StoredDatabase>& databases) {
  MutexLock lock(mutex_);
  Transaction transaction(db_);
  put_databases(branch_id, databases);
  transaction.commit();
}

// What is expected has not been seen: its `created_at` is 0.
void Catalog::put_databases(const std::string& branch_id,
                            const std::vector<StoredDatabase>& databases) {
  nlohmann::json names = nlohmann::json::array();
  for (const StoredDatabase& database : databases) {
    names.push_back(database.name);
    db_.run(
        "INSERT INTO databases (branch_id, name, owner, created_at, updated_at) "
        "VALUES (?1, ?2, ?3, ?4, ?4) ON CONFLICT (branch_id, name) DO UPDATE SET owner = "
        "excluded.owner, updated_at = excluded.updated_at, created_at = CASE created_at WHEN 0 "
        "THEN excluded.created_at ELSE created_at END WHERE owner <> excluded.owner OR created_at "
        "= 0",
        branch_id, database.name, database.owner, now_micros());
  }
  db_.run(
      "DELETE FROM databases WHERE branch_id = ? AND name NOT IN (SELECT value FROM json_each(?))",
      branch_id, names.dump());
}

DatabaseRecord Catalog::expect_database(const PlannedChange& change) {
  MutexLock lock(mutex_);
  Transaction transaction(db_);
  Statement row = db_.query(
      "INSERT INTO databases (branch_id, name, owner, created_at, updated_at) SELECT branch_id, ?, "
      "?, 0, ? FROM operations WHERE id = ? AND status <> 'failed' ON CONFLICT (branch_id, name) "
      "DO UPDATE SET name = name RETURNING id, name, owner, updated_at",
      change.name, change.owner, now_micros(), change.operation_id);
  DatabaseRecord expected{0, change.name, change.owner, now_micros(), now_micros()};
  while (row.step())
    expected = {row.integer(0), row.text(1), row.text(2), row.integer(3), row.integer(3)};
  transaction.commit();
  return expected;
}

void Catalog::plan_change(const Operation& operation, const PlannedChange& change) {
  MutexLock lock(mutex_);
  Transaction transaction(db_);
  upsert_operation(operation);
  db_.run("INSERT INTO planned_changes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", change.operation_id,
          change.branch_id, name_of(change.kind), change.name, change.new_name, change.owner,
          change.verifier, int64_t{change.can_login});
  if (change.password)
    passwords_->insert_planned(change.branch_id, change.operation_id, *change.password);
  transaction.commit();
}

std::vector<PlannedChange> Catalog::planned_changes() {
  MutexLock lock(mutex_);
  std::vector<PlannedChange> found;
  Statement rows = db_.query(
      "SELECT operation_id, branch_id, kind, name, new_name, owner, verifier, can_login FROM "
      "planned_changes");
  while (rows.step())
    found.push_back({rows.text(0), rows.text(1), change_kind(rows.text(2)), rows.text(3),
                     rows.text(4), rows.text(5), rows.text(6), rows.integer(7) != 0,
                     passwords_->planned(rows.text(1), rows.text(0))});
  return found;
}

void Catalog::remove_plan(const PlannedChange& change) {
  db_.run("DELETE FROM planned_changes WHERE operation_id = ?", change.operation_id);
  passwords_->remove_planned(change.branch_id, change.operation_id);
}

void Catalog::finish_change(const PlannedChange& change, const std::vector<StoredRole>& roles,
                            const std::vector<StoredDatabase>& databases) {
  MutexLock lock(mutex_);
  Transaction transaction(db_);
  remove_plan(change);
  if (change.password || change.kind == ChangeKind::delete_role)
    passwords_->remove(change.branch_id, change.name);
  if (change.password)
    passwords_->insert(change.branch_id, change.name, *change.password, now_micros());
  put_roles(change.branch_id, roles);
  put_databases(change.branch_id, databases);
  end_operation(change.operation_id, "finished", "");
  transaction.commit();
}

// A role that may have been made keeps its password: it is told only if it works.
void Catalog::drop_change(const PlannedChange& change, const std::string& error) {
  MutexLock lock(mutex_);
  Transaction transaction(db_);
  remove_plan(change);
  if (change.password && change.kind == ChangeKind::create_role) {
    passwords_->remove(change.branch_id, change.name);
    passwords_->insert(change.branch_id, change.name, *change.password, now_micros());
  }
  end_operation(change.operation_id, "failed", error);
  transaction.commit();
}

void Catalog::forget_unwanted_passwords() {
  MutexLock lock(mutex_);
  db_.run(
      "DELETE FROM passwords WHERE branch_id IN (SELECT b.id FROM branches b JOIN projects p ON "
      "p.id = b.project_id WHERE NOT p.store_passwords)");
}

std::vector<PendingSql> Catalog::pending_sql(const std::string& branch_id) {
  MutexLock lock(mutex_);
  std::vector<PendingSql> found;
  Statement rows = db_.query(
      "SELECT id, database, statement FROM pending_sql WHERE branch_id = ? ORDER BY id", branch_id);
  while (rows.step()) found.push_back({rows.integer(0), rows.text(1), rows.text(2)});
  return found;
}

void Catalog::remove_pending_sql(const std::vector<PendingSql>& pending) {
  MutexLock lock(mutex_);
  Transaction transaction(db_);
  for (const PendingSql& one : pending) db_.run("DELETE FROM pending_sql WHERE id = ?", one.id);
  transaction.commit();
}

void Catalog::upsert_operation(const Operation& operation) {
  db_.run(
      "INSERT INTO operations (id, project_id, branch_id, endpoint_id, action, status, error, "
      "created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
      "status = excluded.status, error = excluded.error, updated_at = excluded.updated_at",
      operation.id, operation.project_id, operation.branch_id, operation.endpoint_id,
      operation.action, operation.status, operation.error, operation.created_at,
      operation.updated_at);
}

void Catalog::put_operation(const Operation& operation) {
  MutexLock lock(mutex_);
  upsert_operation(operation);
}

Operation Catalog::record_finished(const Branch& branch, const std::string& endpoint_id,
                                   const std::string& action) {
  Operation operation{random_uuid(), branch.project_id, branch.id, endpoint_id, action, "finished"};
  operation.created_at = operation.updated_at = now_micros();
  put_operation(operation);
  return operation;
}

// What it was to make and has not made is not expected any more.
void Catalog::end_operation(const std::string& id, const std::string& status,
                            const std::string& error) {
  if (status == "failed")
    db_.run(
        "DELETE FROM databases WHERE created_at = 0 AND branch_id = (SELECT branch_id FROM "
        "operations WHERE id = ?)",
        id);
  db_.run(
      "UPDATE operations SET status = ?, error = ?, updated_at = ? WHERE id = ? AND status IN "
      "('scheduling', 'running')",
      status, error, now_micros(), id);
}

void Catalog::finish_operation(const std::string& id, const std::string& status,
                               const std::string& error) {
  MutexLock lock(mutex_);
  Transaction transaction(db_);
  end_operation(id, status, error);
  transaction.commit();
}

void Catalog::begin_operation(const Operation& operation) {
  MutexLock lock(mutex_);
  if (Statement known = db_.query("SELECT 1 FROM operations WHERE id = ?", operation.id);
      known.step())
    return;
  upsert_operation(operation);
}

Operation Catalog::operation(const std::string& id) {
  MutexLock lock(mutex_);
  Statement row =
      db_.query(fmt::format("SELECT {} FROM operations WHERE id = ?", kOperationColumns), id);
  if (!row.step()) throw Error(Errc::not_found, "operation not found");
  return read_operation(row);
}

std::vector<Operation> Catalog::operations(const std::string& project_id, int64_t limit,
                                           const std::string& cursor) {
  MutexLock lock(mutex_);
  Statement rows = db_.query(
      fmt::format("SELECT {} FROM operations WHERE project_id = ?1 AND (?2 = '' OR seq < (SELECT "
                  "seq FROM operations WHERE id = ?2)) ORDER BY seq DESC LIMIT ?3",
                  kOperationColumns),
      project_id, cursor, limit);
  std::vector<Operation> found;
  while (rows.step()) found.push_back(read_operation(rows));
  return found;
}

void Catalog::fail_interrupted_operations() {
  MutexLock lock(mutex_);
  Transaction transaction(db_);
  db_.run(
      "UPDATE operations SET status = 'failed', error = 'interrupted by a restart', updated_at = ? "
      "WHERE status IN ('scheduling', 'running') AND action <> 'delete_timeline' AND id NOT IN "
      "(SELECT operation_id FROM planned_changes)",
      now_micros());
  db_.run(
      "DELETE FROM databases WHERE created_at = 0 AND (branch_id, name) NOT IN (SELECT branch_id, "
      "name FROM planned_changes)");
  transaction.commit();
}

void Catalog::settle_interrupted_removals() {
  MutexLock lock(mutex_);
  db_.run(
      "UPDATE operations SET status = CASE WHEN branch_id IN (SELECT id FROM branches) THEN "
      "'failed' ELSE 'finished' END, error = CASE WHEN branch_id IN (SELECT id FROM branches) THEN "
      "'interrupted by a restart' ELSE '' END, updated_at = ? WHERE status IN ('scheduling', "
      "'running') AND action = 'delete_timeline'",
      now_micros());
}

void Catalog::prune_operations(Micros before) {
  MutexLock lock(mutex_);
  db_.run(
      "DELETE FROM operations WHERE seq IN (SELECT seq FROM (SELECT seq, created_at, status FROM "
      "operations ORDER BY seq LIMIT 1000) WHERE created_at < ? AND status NOT IN ('scheduling', "
      "'running'))",
      before);
}

std::vector<KeyUse> Catalog::password_keys() {
  MutexLock lock(mutex_);
  return passwords_->keys();
}

void Catalog::rotate_password_keys() {
  MutexLock lock(mutex_);
  passwords_->rotate();
}

size_t Catalog::drop_older_password_keys() {
  MutexLock lock(mutex_);
  return passwords_->drop_older_keys();
}

}  // namespace halogen::control
