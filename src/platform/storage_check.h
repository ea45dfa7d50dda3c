// storage_check.h: looks whether pageserver, safekeeper and catalog are whole and agree, and into
// what they have. Changes nothing.
#pragma once
#include "platform/home.h"
#include "platform/platform.h"

namespace halogen::platform {

struct StorageReport {
  std::vector<std::string> problems;  // For people.
  size_t branches = 0;
  size_t timelines = 0;
  uint64_t layer_files = 0;
  uint64_t layer_bytes = 0;
  uint64_t layer_files_away = 0;  // Which the object store alone has.
  std::string object_store;       // What else was read; empty: there is none, or it was left out.
  uint64_t object_store_bytes = 0;
};

// Throws conflict while a platform uses the home. `here_alone`: not what is in the object store.
StorageReport check_storage(const Layout& layout, bool here_alone, const Progress& progress);

// A line for each thing that is in `what`, a layer file or a timeline by its id; with `page`, for
// each version that makes this page of the timeline as of `lsn` (empty: now). Throws Error for what
// is not there, or is damaged.
void dump_storage(const Layout& layout, const std::string& what, const std::string& page,
                  const std::string& lsn, const Progress& print);

}  // namespace halogen::platform
