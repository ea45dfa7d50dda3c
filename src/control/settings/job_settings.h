// job_settings.h: what a compute starts with if it preloads pg_cron. Pure.
#pragma once
#include "control/settings/allowed_settings.h"

namespace halogen::control {

// Takes pg_cron out of shared_preload_libraries of a compute that changes nothing; adds what it
// needs to that of another that has it: jobs in workers, as a room has no network, none of a
// superuser's, as the rows that say whose they are may be a tenant's, and the one database in which
// its tables are, unless that was chosen.
void prepare_for_jobs(SettingValues& settings, bool read_only, const std::string& database);

}  // namespace halogen::control
