// branch_timelines.h: which timelines a catalog says that storage must have, without opening it.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/lsn.h"

namespace halogen::control {

struct BranchTimeline {
  std::string id;
  TimelineId timeline;
};

// Of all branches that are ready. Reads a private copy of the catalog's files, so that nothing of
// them changes, not even their owner. Requires: no platform uses them. Throws io.
std::vector<BranchTimeline> read_branch_timelines(const std::filesystem::path& catalog);

// Where a branch's timeline began.
struct BranchOrigin {
  std::string id;
  TimelineId timeline;
  TenantId tenant;
  int pg_version = 0;
  std::optional<TimelineId> parent;  // None: the template.
  Lsn lsn;
};
// Likewise, of those branches of which that is sure: their parent has the timeline that it had when
// they were made.
std::vector<BranchOrigin> read_branch_origins(const std::filesystem::path& catalog);

}  // namespace halogen::control
