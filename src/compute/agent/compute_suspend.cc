// The suspend half of Compute: everything that must happen so that nothing is missed after it.
#include <fmt/chrono.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "compute/agent/compute.h"
#include "compute/agent/cron_jobs.h"
#include "compute/agent/data_directory.h"
#include "compute/agent/process.h"
#include "compute/agent/sql.h"
#include "compute/agent/step_times.h"
#include "compute/agent/untrusted_folder.h"

namespace halogen::compute {
namespace {

const log::Logger logger("compute");

// WAL does not carry these, yet a compute on a new data directory is the better for them.
std::vector<std::string> files_beside_wal(const UntrustedFolder& data) {
  std::vector<std::string> paths = {"pg_stat/pgstat.stat", "postgresql.auto.conf",
                                    "global/pg_internal.init"};
  for (const std::string& name : data.names("base"))
    paths.push_back("base/" + name + "/pg_internal.init");
  return paths;
}

constexpr size_t kLongestFile = 64 << 20;

// Empty if there is none.
std::string read_if_there(const UntrustedFolder& data, const std::string& path) {
  try {
    return data.read(path, kLongestFile);
  } catch (const Error& error) {
    if (error.code() != Errc::not_found) throw;
    return "";
  }
}

constexpr std::chrono::seconds kKeepFilesDeadline{3};
// For autovacuum to begin: some of its rounds (autovacuum_naptime). What it cannot clean, as a
// transaction or a slot holds it, is due for ever.
constexpr std::chrono::minutes kMostVacuumWait{5};
// For pg_cron to begin a job that is due. A compute is woken for one so long before it is due, at
// most, as it is not suspended (EndpointManager::Options::job_lead).
constexpr std::chrono::seconds kJobStarts{5};
constexpr std::chrono::seconds kJobIsNear{20};

}  // namespace

ComputeStopped Compute::suspend(bool force, Deadline deadline) {
  Turns::Hold turn(turns_, deadline);
  ComputeStopped stopped;
  if (!running()) {
    report_crash();
    abandon();
    MutexLock lock(mutex_);
    stopped.end = last_end_;
    return stopped;
  }
  StepTimes times;
  prepare_suspend(force, &stopped, times, deadline);
  vacuum_awaited_since_.reset();
  times.mark("prepare");
  try {
    stopped.end = stop_and_confirm(deadline);
  } catch (const Error& error) {
    abandon();
    throw Error(error.code(),
                "{}: not stopped cleanly, its data directory is dropped (nothing acknowledged is "
                "lost): {}",
                id_, error.what());
  }
  times.mark("stop");
  keep_files(stopped.end, deadline);
  times.mark("files");
  finish_suspend(stopped.end);
  logger.info("{}: suspended at {}: {}", id_, stopped.end.str(), times.str());
  return stopped;
}

void Compute::prepare_suspend(bool force, ComputeStopped* stopped, StepTimes& times,
                              Deadline deadline) {
  try {
    SqlConnection connection(address(), "postgres", deadline);
    if (!force) refuse_if_busy(connection, deadline);
    const std::string due = autovacuum_.due(address(), connection, deadline);
    if (!force) refuse_if_due(due);
    stopped->vacuum_due = force && !due.empty();
    times.mark("vacuum");
    stopped->next_job = find_next_job(connection, force, deadline);
    stopped->roles = read_roles(connection, deadline).roles;
    stopped->databases = read_databases(connection, deadline);
    connection.query("SELECT halogen.prepare_suspend()", deadline);
  } catch (const Error& error) {
    if (!force || error.code() == Errc::conflict) throw;
    // Without it sequences skip ahead by at most 32, as after a crash.
    logger.warn("{}: stopping without its preparation: {}", id_, error.what());
  }
}

// Connections that nobody uses do not count, as the proxy keeps some. A vacuum that has been cut
// off begins anew, so under a short timeout a large table would never be vacuumed to its end; it
// counts for an hour, and for as long as it takes if it is what keeps transaction ids from running
// out. Jobs of pg_cron count for an hour, too.
void Compute::refuse_if_busy(SqlConnection& connection, Deadline deadline) {
  auto rows = connection.query(
      "SELECT count(*) FILTER (WHERE backend_type = 'client backend' AND state <> 'idle'), "
      "min(query) FILTER (WHERE backend_type = 'autovacuum worker' AND query <> '' "
      "AND (query LIKE '%(to prevent wraparound)' OR now() - backend_start < interval '1 hour')), "
      "count(*) FILTER (WHERE backend_type = 'pg_cron' "
      "AND now() - backend_start < interval '1 hour') "
      "FROM pg_catalog.pg_stat_activity WHERE pid <> pg_backend_pid()",
      deadline);
  bool clients = rows.at(0).at(0) != "0";
  const bool jobs = rows[0][2] != "0";
  if (!clients && !jobs && rows[0][1].empty()) return;
  vacuum_awaited_since_.reset();
  if (clients) throw Error(Errc::conflict, "{} clients are at work", rows[0][0]);
  if (jobs) throw Error(Errc::conflict, "jobs of pg_cron are running: {}", rows[0][2]);
  throw Error(Errc::conflict, "{} is running", rows[0][1]);
}

// Under a timeout shorter than autovacuum's rounds none would ever begin.
void Compute::refuse_if_due(const std::string& due) {
  if (due.empty()) return vacuum_awaited_since_.reset();
  if (!vacuum_awaited_since_) vacuum_awaited_since_ = steady_clock::now();
  if (steady_clock::now() - *vacuum_awaited_since_ < kMostVacuumWait)
    throw Error(Errc::conflict, "autovacuum is due: {}", due);
  logger.info("{}: suspended although autovacuum is due: {}", id_, due);
}

// One that is due soon would wake it again, and one that is due now has perhaps not begun.
std::optional<int64_t> Compute::find_next_job(SqlConnection& connection, bool force,
                                              Deadline deadline) {
  const std::shared_ptr<Session> session = current();
  const auto database = session->spec.settings.find("cron.database_name");
  if (database == session->spec.settings.end()) return 0;
  const std::optional<CronJobs> jobs =
      read_cron_jobs(connection, address(), database->second, deadline);
  if (!jobs) return std::nullopt;
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  const auto near = jobs->next(now - kJobStarts);
  if (!force && near && *near - now < kJobIsNear)
    throw Error(Errc::conflict, "a job of pg_cron is due at {:%H:%M:%S} UTC", *near);
  const auto next = jobs->next(now);
  return next ? std::chrono::microseconds(next->time_since_epoch()).count() : 0;
}

Lsn Compute::stop_and_confirm(Deadline deadline) {
  std::shared_ptr<Session> session = current();
  if (!session->postmaster->stop_cleanly(deadline))
    throw Error(Errc::timed_out, "postgres did not stop cleanly: {}",
                session->postmaster->last_words());
  CleanEnd clean = read_clean_end(session->data, session->spec.major);
  services_.safekeeper.wait_for_flush(session->spec.timeline, clean.end, deadline);
  if (session->wal)
    remove_wal_names(session->data);
  else
    prune_wal(session->data, clean.checkpoint);
  return clean.end;
}

void Compute::keep_files(Lsn end, Deadline deadline) {
  std::shared_ptr<Session> session = current();
  TimelineId timeline = session->spec.timeline;
  try {
    UntrustedFolder data(session->data);
    auto by = std::min(deadline.at(), Deadline::after(kKeepFilesDeadline).at());
    auto left = [by] { return Deadline::after(by - steady_clock::now()); };
    services_.pageserver.wait_for_lsn(timeline, end, left());
    for (const std::string& path : files_beside_wal(data)) {
      std::string content = read_if_there(data, path);
      if (!content.empty()) put_if_changed(timeline, end, path, std::move(content));
    }
    put_if_changed(timeline, end, std::string(kRelcacheMarker), end.str());
    // No WAL would bring them again after a crash.
    services_.pageserver.flush(timeline, left());
  } catch (const Error& error) {
    logger.info("{}: storage did not take the files beside WAL: {}", id_, error.what());
  }
}

void Compute::put_if_changed(TimelineId timeline, Lsn end, const std::string& path,
                             std::string content) {
  size_t hash = std::hash<std::string>()(content);
  auto known = stored_files_.find(path);
  if (known != stored_files_.end() && known->second == hash) return;
  services_.pageserver.put_file(timeline, end, path, std::move(content));
  stored_files_[path] = hash;
}

void Compute::finish_suspend(Lsn end) {
  std::shared_ptr<Session> session = take_session();
  bool kept = true;
  try {
    bring_out(*session);
  } catch (const Error& error) {
    kept = false;
    logger.info("{}: its data directory is not kept: {}", id_, error.what());
  }
  release(*session);
  {
    MutexLock lock(mutex_);
    last_end_ = end;
  }
  if (kept) write_file(clean_, clean_text(session->spec, end) + session->data.filename().string());
}

std::string Compute::clean_text(const ComputeSpec& spec, Lsn end) const {
  return fmt::format("clean end 1\ntimeline {}\nsystem {}\nmajor {}\nlsn {}\nboot {}\ndata ",
                     spec.timeline.str(), spec.system_identifier, spec.major,
                     align_record(end).str(), machine_boot_id());
}

}  // namespace halogen::compute
