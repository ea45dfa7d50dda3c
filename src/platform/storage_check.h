// storage_check.h: looks whether pageserver, safekeeper and catalog are whole and agree. Changes
// nothing.
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
};

// Throws conflict while a platform uses the home.
StorageReport check_storage(const Layout& layout, const Progress& progress);

}  // namespace halogen::platform
