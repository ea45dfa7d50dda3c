// archive_reader.h: what an archive holds, for who brings it back. Changes nothing.
//
// Threads: fetch_layer() and wal_piece() may be called by several.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "archive/formats.h"
#include "archive/wal_chain.h"
#include "objectstore/object_store.h"

namespace halogen::archive {

class ArchiveReader {
 public:
  // Lists it all. not_found if there is no archive.
  explicit ArchiveReader(objectstore::ObjectStore& store);

  // The newest copy of the catalog. not_found.
  std::string catalog();
  // The newest sealed secrets, if there are any.
  std::optional<std::string> secrets();

  std::vector<TimelineId> timelines() const;
  bool has(TimelineId timeline) const { return timelines_.contains(timeline); }
  // not_found, corrupt.
  ArchivedManifest manifest(TimelineId timeline);
  // These and all that they stand on, as far as they are there. Those whose manifest is damaged are
  // left out: `damaged` says why. One that has gone since it was listed is not_found, or damaged,
  // too, where it is the last look.
  std::map<TimelineId, ArchivedManifest> with_ancestors(const std::set<TimelineId>& wanted,
                                                        bool last_look,
                                                        std::map<TimelineId, std::string>& damaged);
  // Whether the layer was listed, with its size.
  bool has_layer(TimelineId timeline, uint64_t id, const ArchivedLayer& layer) const;
  // Calls `take` with it, piece by piece. corrupt, at the end, if it is not what was put.
  void read_layer(TimelineId timeline, uint64_t id, const ArchivedLayer& layer,
                  const std::function<void(Bytes)>& take);
  // Writes it, checked and durable. corrupt if it is not what was put.
  void fetch_layer(TimelineId timeline, uint64_t id, const ArchivedLayer& layer,
                   const fs::path& file);
  // Empty: it has none.
  std::vector<ChainLink> wal(TimelineId timeline) const;
  WalPiece wal_piece(TimelineId timeline, const PieceKey& key);

 private:
  struct Found {
    std::optional<ManifestKey> manifest;  // The newest.
    std::map<LayerKey, uint64_t> layers;  // And their sizes.
    std::vector<PieceKey> pieces;
  };
  std::string newest(std::string_view folder);

  objectstore::ObjectStore& store_;
  std::map<TimelineId, Found> timelines_;
};

}  // namespace halogen::archive
