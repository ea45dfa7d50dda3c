// archive_check.h: reads everything that an archive holds and says what is damaged or missing.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "objectstore/object_store.h"

namespace halogen::archive {

struct CheckedArchive {
  std::vector<std::string> problems;
  size_t timelines = 0;
  size_t layer_files = 0;
  uint64_t bytes = 0;  // Of layers and WAL.
};

// Changes nothing. A store that does not answer is a problem, too.
CheckedArchive check_archive(objectstore::ObjectStore& store,
                             const std::function<void(const std::string&)>& progress);

}  // namespace halogen::archive
