// storage_check.h: looks whether what a pageserver has on disk is whole. Changes nothing.
//
// Requires: no Pageserver has the folder open. One thread.
#pragma once
#include <functional>
#include <map>

#include "pageserver/layers/manifest.h"
#include "pageserver/restore.h"

namespace halogen::pageserver {

struct CheckedTimelines {
  std::map<TimelineId, Manifest> manifests;  // Those that can be read.
  std::vector<std::string> problems;         // For people, each with the file.
  uint64_t layer_files = 0;
  uint64_t layer_bytes = 0;
  std::vector<LayerAway> away;  // Not read: the object store alone has them.
};

// Reads every byte of every layer file below `home`: checksums, identity, order and what the
// manifest says of each; and whether templates and ancestors are there. `progress` gets a line for
// each timeline.
CheckedTimelines check_timelines(const fs::path& home,
                                 const std::function<void(const std::string&)>& progress);

}  // namespace halogen::pageserver
