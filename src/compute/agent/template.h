// template.h: the cluster that every new project branches from, made once per major by initdb.
#pragma once
#include "base/lsn.h"
#include "compute/agent/supervisor.h"

namespace halogen::compute {

struct TemplateCluster {
  fs::path data_directory;  // Cleanly stopped. The caller imports it, then removes it.
  Lsn lsn;                  // A segment boundary behind its end: where new timelines' WAL begins.
  uint64_t system_identifier = 0;
};

// initdb in `scratch` (made; what is there goes), then the roles neon_superuser and neondb_owner,
// the database neondb and our extension's functions. `libraries` has halogen.so and halogen.sql.
// One to three seconds. unavailable if the Postgres package is missing, saying what to install.
TemplateCluster build_template_cluster(Supervisor& supervisor, int major, const fs::path& scratch,
                                       const fs::path& libraries);

}  // namespace halogen::compute
