// skeleton.h: everything a compute needs, besides pages, to boot stock Postgres at an LSN.
//
// The pageserver makes it from the metadata it keeps natively; the compute agent turns it into a
// data directory.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/lsn.h"
#include "protocol/page_key.h"

namespace halogen {

// One relation fork and its length. Of unlogged relations only the init fork is listed.
struct RelSize {
  RelTag tag;
  uint32_t pages = 0;
};

// One existing SLRU segment file (pg_xact/0000 is segment 0).
struct SlruSegment {
  Slru slru = Slru::xact;
  uint32_t segment = 0;
  uint32_t pages = 0;  // 1..kSlruSegmentPages
};

// A file whose bytes storage keeps whole: pg_filenode.map, PG_VERSION, pg_twophase/*,
// pg_stat/pgstat.stat, ...
struct SkeletonFile {
  std::string path;  // Relative to the data directory.
  std::string content;
};

struct HotPage {
  PageKey key;
  std::shared_ptr<const std::string> page;  // kPageSize bytes, shared with the page cache.
};

// The counters of a checkpoint, free of any major version's layout.
struct CheckpointFields {
  uint64_t next_full_xid = 3;
  uint32_t next_oid = 0;
  uint32_t next_multi = 1;
  uint32_t next_multi_offset = 0;
  uint32_t oldest_xid = 3;
  uint32_t oldest_xid_db = 1;
  uint32_t oldest_multi = 1;
  uint32_t oldest_multi_db = 1;
  uint32_t oldest_commit_ts_xid = 0;
  uint32_t newest_commit_ts_xid = 0;
};

struct Skeleton {
  Lsn lsn;
  int major = 15;
  CheckpointFields checkpoint;
  std::vector<std::string>
      directories;  // Per database and tablespace; the fixed ones are the agent's to know.
  std::vector<RelSize> relations;
  std::vector<SlruSegment> slrus;
  std::vector<SkeletonFile> files;
  std::vector<HotPage> hot_pages;  // What earlier boots asked for first.
  // A catalog changed since pg_internal.init files of a data directory at an earlier LSN were made:
  // see XACT_COMPLETION_UPDATE_RELCACHE_FILE. The files themselves, if storage keeps them, are
  // among `files`.
  Lsn relcache_invalidated_at;
};

}  // namespace halogen
