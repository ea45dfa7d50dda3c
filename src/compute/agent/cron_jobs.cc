#include "compute/agent/cron_jobs.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"

namespace halogen::compute {
namespace {

const log::Logger logger("compute");

// More different schedules than anybody has.
constexpr int kMostSchedules = 1000;

// `cron.job` could be a tenant's by now, and then anything: the guard refuses that
// (extension/script_guard.c).
std::vector<SqlRow> read_schedules(SqlConnection& connection, const ComputeAddress& address,
                                   const std::string& database, Deadline deadline) {
  const std::vector<SqlRow> databases =
      connection.query("SELECT datname FROM pg_catalog.pg_database WHERE datallowconn", deadline);
  if (std::ranges::find(databases, SqlRow{database}) == databases.end()) return {};
  SqlConnection inside(address, database, deadline);
  inside.query("SET halogen.platforms_only = on", deadline);
  if (inside.query("SELECT 1 FROM pg_catalog.pg_extension WHERE extname = 'pg_cron'", deadline)
          .empty())
    return {};
  return inside.query(fmt::format("SELECT DISTINCT pg_catalog.left(schedule, 1001) FROM cron.job "
                                  "WHERE active LIMIT {}",
                                  kMostSchedules),
                      deadline);
}

}  // namespace

std::optional<std::chrono::sys_seconds> CronJobs::next(std::chrono::sys_seconds after) const {
  std::optional<std::chrono::sys_seconds> first;
  for (const std::string& schedule : schedules)
    if (auto due = next_due(schedule, after); due && (!first || *due < *first)) first = due;
  return first;
}

std::optional<CronJobs> read_cron_jobs(SqlConnection& connection, const ComputeAddress& address,
                                       const std::string& database, Deadline deadline) {
  try {
    CronJobs jobs;
    for (SqlRow& row : read_schedules(connection, address, database, deadline))
      jobs.schedules.push_back(std::move(row.at(0)));
    return jobs;
  } catch (const Error& error) {
    if (error.code() == Errc::not_found || error.code() == Errc::permission_denied)
      return CronJobs();
    logger.warn("jobs of pg_cron could not be read: {}", error.what());
    return std::nullopt;
  }
}

}  // namespace halogen::compute
