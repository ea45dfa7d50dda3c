#include "control/usage_store.h"

#include <ctime>

namespace halogen::control {
namespace {

constexpr int64_t kHour = 3600;
constexpr int64_t kDay = 24 * kHour;

constexpr const char* kSchema = R"sql(
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS usage (
  branch_id TEXT NOT NULL, project_id TEXT NOT NULL,
  granularity INTEGER NOT NULL, begin INTEGER NOT NULL,
  active_ms INTEGER NOT NULL, compute_ms INTEGER NOT NULL, written_bytes INTEGER NOT NULL,
  transfer_bytes INTEGER NOT NULL, storage_byte_hours INTEGER NOT NULL,
  PRIMARY KEY (branch_id, granularity, begin)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS usage_of_projects ON usage (project_id, granularity, begin);
CREATE TABLE IF NOT EXISTS stored (
  branch_id TEXT PRIMARY KEY, project_id TEXT NOT NULL, bytes INTEGER NOT NULL,
  since INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS stored_of_projects ON stored (project_id);
CREATE TABLE IF NOT EXISTS wal_ends (
  branch_id TEXT PRIMARY KEY, timeline TEXT NOT NULL, lsn INTEGER NOT NULL) WITHOUT ROWID;
)sql";

constexpr const char* kSums =
    "SELECT branch_id, sum(active_ms), sum(compute_ms), sum(written_bytes), sum(transfer_bytes), "
    "sum(storage_byte_hours) FROM usage WHERE granularity = 2 AND begin = ? AND ";

// In steps, so that nothing overflows: bytes times seconds would after 2^63.
int64_t byte_hours(int64_t bytes, int64_t seconds) {
  return bytes / kHour * seconds + bytes % kHour * seconds / kHour;
}

Usage read_usage(const Statement& row, int first) {
  return {row.integer(first), row.integer(first + 1), row.integer(first + 2),
          row.integer(first + 3), row.integer(first + 4)};
}

}  // namespace

Usage& Usage::operator+=(const Usage& other) {
  active_ms += other.active_ms;
  compute_ms += other.compute_ms;
  written_bytes += other.written_bytes;
  transfer_bytes += other.transfer_bytes;
  storage_byte_hours += other.storage_byte_hours;
  return *this;
}

int64_t period_of(Granularity granularity, int64_t at) {
  if (granularity == Granularity::hourly) return at - at % kHour;
  if (granularity == Granularity::daily) return at - at % kDay;
  std::time_t seconds = at;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  std::tm month{};
  month.tm_year = utc.tm_year;
  month.tm_mon = utc.tm_mon;
  month.tm_mday = 1;
  return ::timegm(&month);
}

UsageStore::UsageStore(const std::filesystem::path& file) : db_(file) { db_.exec(kSchema); }

void UsageStore::Batch::record(const std::string& branch, const std::string& project,
                               const Usage& usage, int64_t now) {
  if (usage == Usage()) return;
  for (Granularity granularity : {Granularity::hourly, Granularity::daily, Granularity::monthly})
    db_.run(
        "INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (branch_id, granularity, begin) DO UPDATE SET "
        "active_ms = active_ms + excluded.active_ms, "
        "compute_ms = compute_ms + excluded.compute_ms, "
        "written_bytes = written_bytes + excluded.written_bytes, "
        "transfer_bytes = transfer_bytes + excluded.transfer_bytes, "
        "storage_byte_hours = storage_byte_hours + excluded.storage_byte_hours",
        branch, project, static_cast<int64_t>(granularity), period_of(granularity, now),
        usage.active_ms, usage.compute_ms, usage.written_bytes, usage.transfer_bytes,
        usage.storage_byte_hours);
}

void UsageStore::write(const std::function<void(Batch&)>& work) {
  MutexLock lock(mutex_);
  db_.exec("BEGIN IMMEDIATE");
  try {
    Batch batch(db_);
    work(batch);
    db_.exec("COMMIT");
  } catch (...) {
    db_.exec("ROLLBACK");
    throw;
  }
}

void UsageStore::Batch::add(const std::string& branch, const std::string& project,
                            const Usage& usage, int64_t now) {
  record(branch, project, usage, now);
}

void UsageStore::Batch::wal_end(const std::string& branch, const std::string& project,
                                TimelineId timeline, Lsn begin, Lsn end, int64_t now) {
  Lsn counted = begin;
  {
    Statement before = db_.query("SELECT timeline, lsn FROM wal_ends WHERE branch_id = ?", branch);
    if (before.step() && before.text(0) == timeline.str())
      counted = Lsn(static_cast<uint64_t>(before.integer(1)));
  }
  if (end <= counted) return;
  db_.run("INSERT OR REPLACE INTO wal_ends VALUES (?, ?, ?)", branch, timeline.str(),
          static_cast<int64_t>(end.value));
  record(branch, project, {.written_bytes = static_cast<int64_t>(end - counted)}, now);
}

void UsageStore::Batch::storage(const std::string& branch, const std::string& project,
                                int64_t bytes, int64_t now) {
  std::optional<std::pair<int64_t, int64_t>> before;
  {
    Statement row = db_.query("SELECT bytes, since FROM stored WHERE branch_id = ?", branch);
    if (row.step()) before = {row.integer(0), row.integer(1)};
  }
  if (before && now <= before->second) return;
  // The same in the same hour: what is stored counts by itself.
  if (before && before->first == bytes &&
      period_of(Granularity::hourly, before->second) == period_of(Granularity::hourly, now))
    return;
  // By hours, so that each period gets its part.
  if (before)
    for (int64_t at = before->second; at < now;) {
      const int64_t next = std::min(now, period_of(Granularity::hourly, at) + kHour);
      record(branch, project, {.storage_byte_hours = byte_hours(before->first, next - at)}, at);
      at = next;
    }
  db_.run("INSERT OR REPLACE INTO stored VALUES (?, ?, ?, ?)", branch, project, bytes, now);
}

void UsageStore::Batch::forget_others(const std::set<std::string>& there, int64_t now) {
  std::vector<std::pair<std::string, std::string>> gone;
  for (Statement row = db_.query("SELECT branch_id, project_id FROM stored"); row.step();)
    if (!there.contains(row.text(0))) gone.emplace_back(row.text(0), row.text(1));
  for (const auto& [branch, project] : gone) {
    storage(branch, project, 0, now);
    db_.run("DELETE FROM stored WHERE branch_id = ?", branch);
    db_.run("DELETE FROM wal_ends WHERE branch_id = ?", branch);
  }
}

void UsageStore::Batch::prune(int64_t now) {
  for (const auto& [granularity, days] : {std::pair<int64_t, int64_t>{0, 8}, {1, 62}, {2, 400}})
    db_.run("DELETE FROM usage WHERE granularity = ? AND begin < ?", granularity,
            now - days * kDay);
}

std::map<std::string, Usage> UsageStore::this_month(std::string_view where, const std::string& id,
                                                    int64_t now) {
  std::map<std::string, Usage> found;
  const int64_t month = period_of(Granularity::monthly, now);
  const std::string sums = std::string(kSums) + std::string(where) + " = ? GROUP BY branch_id";
  for (Statement row = db_.query(sums, month, id); row.step();)
    found[row.text(0)] += read_usage(row, 1);
  const std::string stored =
      "SELECT branch_id, bytes, since FROM stored WHERE " + std::string(where) + " = ?";
  for (Statement row = db_.query(stored, id); row.step();) {
    const int64_t since = std::max(row.integer(2), month);
    if (since < now)
      found[row.text(0)].storage_byte_hours += byte_hours(row.integer(1), now - since);
  }
  return found;
}

Usage UsageStore::of_branch(const std::string& branch, int64_t now) {
  MutexLock lock(mutex_);
  return this_month("branch_id", branch, now)[branch];
}

std::map<std::string, Usage> UsageStore::of_branches(const std::string& project, int64_t now) {
  MutexLock lock(mutex_);
  return this_month("project_id", project, now);
}

Usage UsageStore::of_project(const std::string& project, int64_t now) {
  Usage sum;
  for (const auto& [branch, usage] : of_branches(project, now)) sum += usage;
  return sum;
}

std::vector<UsagePeriod> UsageStore::history(const std::string& project, const std::string& branch,
                                             Granularity granularity, int64_t from, int64_t to) {
  MutexLock lock(mutex_);
  std::vector<UsagePeriod> found;
  Statement row = db_.query(
      "SELECT begin, sum(active_ms), sum(compute_ms), sum(written_bytes), sum(transfer_bytes), "
      "sum(storage_byte_hours) FROM usage WHERE project_id = ? AND granularity = ? AND "
      "begin >= ? AND begin < ? AND ? IN ('', branch_id) GROUP BY begin ORDER BY begin",
      project, static_cast<int64_t>(granularity), from, to, branch);
  while (row.step()) found.push_back({row.integer(0), read_usage(row, 1)});
  return found;
}

}  // namespace halogen::control
