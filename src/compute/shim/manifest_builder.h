// manifest_builder.h: makes and re-bases the file that the shim works from (see manifest.h).
//
// For the compute agent, before it starts Postgres: nobody may have the file mapped. Throws
// Errc::io; corrupt for a file that is no manifest. Nothing is fsynced: like the data directory it
// describes, the file can be made again.
#pragma once
#include <chrono>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/lsn.h"
#include "protocol/page_key.h"
#include "protocol/page_service.h"
#include "protocol/skeleton.h"

namespace halogen::shim {

struct ManifestOptions {
  std::string socket_path;  // Of the page service; at most 107 bytes, reachable by Postgres' user.
  PageToken token;
  std::chrono::milliseconds fetch_deadline{30000};  // Then a read fails with EIO.
  // The data directory's pg_internal.init files are right for the boot LSN: let them survive the
  // boot, which would unlink them.
  bool keep_relcache_files = false;
  // How much of tables and indexes may stay local; see eviction.h. 0: no limit.
  uint64_t cache_bytes = 0;
};

// "PG_15_202209061", the folder inside a tablespace's. Throws invalid_argument for an unknown
// major.
std::string version_directory(int major);

// The file of the segment that a block lies in, relative to the data directory.
std::string segment_file(const PageKey& key, int major);

// Writes the skeleton's hot pages into their segment files, made at full size; the folders exist
// already. Returns the keys of what it wrote, to be handed to build_manifest as local pages.
std::vector<PageKey> install_hot_pages(const std::filesystem::path& data_directory,
                                       const Skeleton& skeleton);

// Lists every segment of the skeleton; of unlogged relations (an init fork and no main fork) also
// the main fork. Segments of `local_pages` exist already, at full size, and hold those pages; no
// other segment file exists. Pages that are in no listed segment are ignored.
void build_manifest(const std::filesystem::path& file, const Skeleton& skeleton,
                    const ManifestOptions& options, std::span<const PageKey> local_pages = {});

// For a data directory kept over a clean stop that ended at `lsn`: absent blocks are asked for
// there from now on, and nothing that existed at boot counts as written. Throws conflict if it is
// too full of what was made since the manifest was.
void rebase_manifest(const std::filesystem::path& file, Lsn lsn, const ManifestOptions& options);

struct ManifestStatus {
  Lsn read_lsn;
  int major = 0;
  uint64_t segments = 0;
  uint64_t requests = 0, pages_fetched = 0, pages_installed = 0, conflicts = 0;
  uint64_t waits = 0, wait_microseconds = 0, files_made = 0, failed_reads = 0;
  uint64_t pages_evicted = 0, written_evicted = 0, pages_not_kept = 0;
  int64_t cached = 0, written = 0;  // Pages that are local; see ManifestHeader.
};

// ManifestHeader::role_changes of an open manifest, while Postgres runs; 0 if it cannot be read.
uint64_t read_role_changes(int manifest) noexcept;

// Of an open manifest, while Postgres runs: whether there is much of what Postgres wrote, of which
// no more can be given up as long as read_lsn stays where it is.
bool wants_later_read_lsn(int manifest) noexcept;
// Storage has all WAL up to `lsn`, which is not below the last one.
void set_read_lsn(int manifest, Lsn lsn);

// May be called while Postgres runs.
ManifestStatus read_manifest_status(const std::filesystem::path& file);

}  // namespace halogen::shim
