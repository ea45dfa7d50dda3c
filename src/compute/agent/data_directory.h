// data_directory.h: a Postgres data directory out of a skeleton, and what is to be read out of one.
//
// Relation and SLRU files are not made: the manifest names them and the shim makes each when
// Postgres first asks for it. Nothing is fsynced; a data directory is a cache.
#pragma once
#include <string_view>

#include "compute/agent/settings.h"
#include "protocol/page_service.h"
#include "protocol/safekeeper_admin.h"
#include "protocol/skeleton.h"

namespace halogen::compute {

// A file that storage keeps beside the relation cache files (pg_internal.init, which save a first
// connection some milliseconds): the LSN at which they were taken. They are true until a commit
// that changes a system catalog's own shape (Skeleton::relcache_invalidated_at).
inline constexpr std::string_view kRelcacheMarker = "halogen_relcache_lsn";
bool is_relcache_file(std::string_view path);

struct PageSource {
  std::string socket;  // Of the page service.
  PageToken token;
  uint64_t cache_bytes = 0;  // How much of what is read may stay on the disk.
};

struct DataDirectoryPlan {
  const Skeleton& skeleton;
  const TermStart& start;  // start.end == skeleton.lsn.
  uint64_t system_identifier;
  const Settings& settings;
  PageSource pages;
  fs::path manifest;  // The file to write.
  fs::path config;    // The folder for settings.
  // pg_wal holds the safekeeper's segments; else it is filled with what it takes to boot.
  bool wal_in_place = false;
};

// Fills `folder`, which has the fixed folders only (FolderPool::take).
void fill_data_directory(const fs::path& folder, const DataDirectoryPlan& plan);

// What of a kept data directory has to follow: the settings, and where absent pages come from.
void reuse_data_directory(const fs::path& config, const fs::path& manifest,
                          const Settings& settings, Lsn end, const PageSource& pages);

// Where the WAL of a cleanly stopped cluster ends: behind its shutdown checkpoint. Throws corrupt
// if it was not stopped cleanly.
struct CleanEnd {
  Lsn end;
  Lsn checkpoint;  // Start of that record.
  uint64_t system_identifier = 0;
};
CleanEnd read_clean_end(const fs::path& folder, int major);

// Removes the WAL segments below the one that holds `checkpoint`: a clean start does not need them.
void prune_wal(const fs::path& folder, Lsn checkpoint);
// Removes all names of segments that are the safekeeper's.
void remove_wal_names(const fs::path& folder);

constexpr Lsn align_record(Lsn lsn) { return Lsn((lsn.value + 7) & ~uint64_t{7}); }

}  // namespace halogen::compute
