// branch_timelines.h: which timelines a catalog says that storage must have, without opening it.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "base/ids.h"

namespace halogen::control {

struct BranchTimeline {
  std::string id;
  TimelineId timeline;
};

// Of all branches that are ready. Reads a private copy of the catalog's files, so that nothing of
// them changes, not even their owner. Requires: no platform uses them. Throws io.
std::vector<BranchTimeline> read_branch_timelines(const std::filesystem::path& catalog);

}  // namespace halogen::control
