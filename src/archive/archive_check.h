// archive_check.h: reads everything that an archive holds and says what is damaged or missing.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "objectstore/object_store.h"
#include "protocol/layer_copy.h"

namespace halogen::archive {

struct CheckedArchive {
  std::vector<std::string> problems;
  size_t timelines = 0;
  size_t layer_files = 0;
  uint64_t bytes = 0;                                           // Of layers and WAL.
  std::map<std::pair<TimelineId, uint64_t>, LayerCopy> layers;  // That are whole.
};

// Changes nothing. A store that does not answer is a problem, too.
CheckedArchive check_archive(objectstore::ObjectStore& store,
                             const std::function<void(const std::string&)>& progress);

}  // namespace halogen::archive
