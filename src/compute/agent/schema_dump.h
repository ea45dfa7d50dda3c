// schema_dump.h: the schema of a running compute's database as SQL text, by pg_dump.
#pragma once
#include <string>

#include "base/deadline.h"
#include "base/file.h"
#include "compute/agent/supervisor.h"
#include "protocol/compute_host.h"

namespace halogen::compute {

// `run` is where a folder for its files may be made, which is gone afterwards. The same schema
// gives the same text. not_found for a database that is not there; conflict for a schema that is
// too large to be told.
std::string dump_schema(Supervisor& supervisor, const fs::path& run, const ComputeAddress& address,
                        const std::string& database, int major, Deadline deadline);

}  // namespace halogen::compute
