// head.h: a timeline's metadata as of one LSN, in memory: what exists and how long it is.
//
// Plain data with no lock of its own. Ingest keeps one at last_record_lsn; one as of any other LSN
// is loaded from the Store.
#pragma once
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/lsn.h"
#include "pageserver/layers/store.h"
#include "protocol/skeleton.h"

namespace halogen::pageserver {

class Head {
 public:
  // Reads all metadata as of `lsn`. The next transaction id may be up to 63 above the exact one,
  // see Change.
  static Head load(const Store& store, Lsn lsn);

  // The length of a fork; nullopt: there is none.
  std::optional<uint32_t> relation_pages(const RelTag& tag) const;
  void set_relation(const RelTag& tag, uint32_t pages);
  void drop_relation(const RelTag& tag);
  // Every fork that exists, in the order of RelTag.
  const std::map<RelTag, uint32_t>& relations() const { return relations_; }

  uint64_t logical_bytes() const { return pages_ * kPageSize; }

  using SlruSegmentId = std::pair<uint8_t, uint32_t>;  // Which Slru, number of the segment.
  using FileContent = std::shared_ptr<const std::string>;

  Lsn lsn;
  CheckpointFields checkpoint;
  bool commit_ts_active = false;                      // track_commit_timestamp is on.
  std::map<SlruSegmentId, uint32_t> slru_segments;    // Pages in each.
  std::set<std::pair<uint32_t, uint32_t>> databases;  // (tablespace, database): a folder.
  std::map<uint32_t, std::string> tablespaces;        // Location; empty if in place.
  std::map<std::string, FileContent> files;
  std::map<uint16_t, uint64_t> origins;  // Replication progress: remote LSN by origin.
  Lsn relcache_invalidated_at;
  std::optional<int64_t> last_commit_time;  // As stored under KeyKind::commit_time.

 private:
  using Entry = std::pair<const RelTag, uint32_t>;

  // WAL keeps coming back to the same few relations. Not copied with the rest: it points into it.
  struct Recent {
    static constexpr size_t kEntries = 256;
    Recent() = default;
    Recent(const Recent&) {}
    Recent& operator=(const Recent&) {
      entries = {};
      return *this;
    }
    std::array<Entry*, kEntries> entries{};
  };
  Entry*& recent(const RelTag& tag) const;
  Entry* find(const RelTag& tag) const;

  std::map<RelTag, uint32_t> relations_;
  uint64_t pages_ = 0;
  mutable Recent recent_;
};

// pg_logical/replorigin_checkpoint: how Postgres keeps replication origins.
constexpr std::string_view kOriginsFile = "pg_logical/replorigin_checkpoint";
std::string encode_origins(const std::map<uint16_t, uint64_t>& origins);
std::map<uint16_t, uint64_t> decode_origins(std::string_view content);

// "base/5", "global", "pg_tblspc/16400/PG_15_202209061/5".
std::string database_folder(std::string_view tablespace_folder, uint32_t spc, uint32_t db);

}  // namespace halogen::pageserver
