// catalog_backup.h: copies of the catalog while it is in use, by a connection of its own.
//
// Threads: any.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/ids.h"
#include "base/mutex.h"
#include "control/sqlite.h"

namespace halogen::control {

class CatalogBackup {
 public:
  explicit CatalogBackup(const std::filesystem::path& file);

  // Whether anything was committed since the last image(); true before the first.
  bool changed() EXCLUDES(mutex_);
  // All that was committed before, as the bytes of a database.
  std::string image() EXCLUDES(mutex_);
  // Of branches that are ready; and all that it names.
  std::set<TimelineId> ready_timelines() EXCLUDES(mutex_);
  std::set<TimelineId> all_timelines() EXCLUDES(mutex_);

 private:
  int64_t version() REQUIRES(mutex_);
  std::set<TimelineId> timelines(const char* sql) EXCLUDES(mutex_);

  Mutex mutex_;
  Database database_ GUARDED_BY(mutex_);
  std::optional<int64_t> copied_ GUARDED_BY(mutex_);
};

// Makes a catalog of an image, which is some seconds old: what it says of the roles in a database
// may not be so any more, and is asked anew. Returns the timelines that it names.
std::set<TimelineId> restore_catalog(const std::filesystem::path& file, const std::string& image);

}  // namespace halogen::control
