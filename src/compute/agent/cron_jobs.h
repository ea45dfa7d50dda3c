// cron_jobs.h: the jobs of pg_cron that a compute has, as far as one must know to wake it for them.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "compute/agent/cron_schedule.h"
#include "compute/agent/sql.h"

namespace halogen::compute {

struct CronJobs {
  std::vector<std::string> schedules;  // Of active jobs, each once.

  // When the first of them is due after that.
  std::optional<std::chrono::sys_seconds> next(std::chrono::sys_seconds after) const;
};

// Of the extension in `database`; no jobs if it is not there. nullopt: they could not be read, and
// there may be some. `connection` is one to another database of the compute.
std::optional<CronJobs> read_cron_jobs(SqlConnection& connection, const ComputeAddress& address,
                                       const std::string& database, Deadline deadline);

}  // namespace halogen::compute
