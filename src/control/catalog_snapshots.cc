// The catalog's snapshots and their schedules.
#include "base/error.h"
#include "control/catalog.h"

namespace halogen::control {
namespace {

constexpr const char* kSnapshotColumns =
    "id, project_id, name, source_branch_id, lsn, time, created_at, expires_at, manual";

std::vector<Snapshot> read_snapshots(Statement rows) {
  std::vector<Snapshot> found;
  while (rows.step()) {
    Snapshot& snapshot = found.emplace_back();
    snapshot.id = rows.text(0);
    snapshot.project_id = rows.text(1);
    snapshot.name = rows.text(2);
    snapshot.source_branch_id = rows.text(3);
    snapshot.lsn = Lsn::parse(rows.text(4)).value_or(Lsn());
    snapshot.time = rows.optional_integer(5);
    snapshot.created_at = rows.integer(6);
    snapshot.expires_at = rows.optional_integer(7);
    snapshot.manual = rows.integer(8) != 0;
  }
  return found;
}

// Of those that are whole.
constexpr const char* kReady = "(SELECT state FROM branches b WHERE b.id = snapshots.id) = 'ready'";

}  // namespace

Snapshot Catalog::snapshot(const std::string& id) {
  MutexLock lock(mutex_);
  std::vector<Snapshot> found = read_snapshots(db_.query(
      fmt::format("SELECT {} FROM snapshots WHERE id = ? AND {}", kSnapshotColumns, kReady), id));
  if (found.empty()) throw Error(Errc::not_found, "snapshot not found");
  return found.front();
}

std::vector<Snapshot> Catalog::snapshots(const std::string& project_id) {
  MutexLock lock(mutex_);
  return read_snapshots(
      db_.query(fmt::format("SELECT {} FROM snapshots WHERE project_id = ? AND {} ORDER BY "
                            "created_at, id",
                            kSnapshotColumns, kReady),
                project_id));
}

std::vector<Snapshot> Catalog::expired_snapshots(Micros now) {
  MutexLock lock(mutex_);
  return read_snapshots(
      db_.query(fmt::format("SELECT {} FROM snapshots WHERE expires_at <= ? AND {}",
                            kSnapshotColumns, kReady),
                now));
}

void Catalog::rename_snapshot(const std::string& id, const std::string& name) {
  MutexLock lock(mutex_);
  db_.run("UPDATE snapshots SET name = ? WHERE id = ?", name, id);
}

std::vector<BranchSchedule> Catalog::schedules() {
  MutexLock lock(mutex_);
  Statement rows = db_.query(
      "SELECT branch_id, items, checked_at FROM backup_schedules JOIN branches ON id = branch_id "
      "WHERE state = 'ready' AND items <> '[]'");
  std::vector<BranchSchedule> found;
  while (rows.step()) found.push_back({rows.text(0), rows.text(1), rows.integer(2)});
  return found;
}

std::string Catalog::schedule(const std::string& branch_id) {
  MutexLock lock(mutex_);
  Statement row = db_.query("SELECT items FROM backup_schedules WHERE branch_id = ?", branch_id);
  return row.step() ? row.text(0) : "[]";
}

void Catalog::set_schedule(const BranchSchedule& schedule) {
  MutexLock lock(mutex_);
  db_.run(
      "INSERT INTO backup_schedules VALUES (?, ?, ?) ON CONFLICT (branch_id) DO UPDATE SET items = "
      "excluded.items, checked_at = excluded.checked_at",
      schedule.branch_id, schedule.items, schedule.checked_at);
}

void Catalog::set_schedule_checked(const std::string& branch_id, Micros at) {
  MutexLock lock(mutex_);
  db_.run("UPDATE backup_schedules SET checked_at = ? WHERE branch_id = ?", at, branch_id);
}

void Catalog::swap_branches(const Branch& restored, const Branch& target,
                            const std::string& old_name) {
  const Micros now = now_micros();
  MutexLock lock(mutex_);
  Transaction transaction(db_);
  Statement taken =
      db_.query("SELECT 1 FROM branches WHERE project_id = ? AND name = ? AND id <> ?",
                target.project_id, old_name, restored.id);
  if (taken.step())
    throw Error(Errc::already_exists, "branch already exists; branch_name:\"{}\"", old_name);
  db_.run(
      "UPDATE endpoints SET branch_id = CASE WHEN branch_id = ?1 THEN ?2 ELSE ?1 END "
      "WHERE branch_id IN (?1, ?2)",
      restored.id, target.id);
  // By way of a name that nothing has.
  db_.run("UPDATE branches SET name = id || ' ' WHERE id = ?", restored.id);
  db_.run("UPDATE branches SET name = ?, is_default = 0, updated_at = ? WHERE id = ?", old_name,
          now, target.id);
  db_.run(
      "UPDATE branches SET name = ?, is_default = ?, restore_status = 'finalized', updated_at = ? "
      "WHERE id = ?",
      target.name, int64_t{target.is_default}, now, restored.id);
  transaction.commit();
}

}  // namespace halogen::control
