#include "archive/archive_reader.h"

#include "archive/layer_reader.h"
#include "base/error.h"

namespace halogen::archive {

ArchiveReader::ArchiveReader(objectstore::ObjectStore& store) : store_(store) {
  if (store_.list(std::string(kGenerations)).empty())
    throw Error(Errc::not_found, "there is no platform's data in {}", store_.name());
  for (const auto& object : store_.list(std::string(kTimelines))) {
    const std::optional<TimelineKey> key = parse_timeline_key(object.key);
    if (!key) continue;
    if (const auto* manifest = std::get_if<ManifestKey>(&key->what)) {
      auto& newest = timelines_[key->timeline].manifest;
      if (!newest || newest->generation < manifest->generation) newest = *manifest;
    }
    if (const auto* layer = std::get_if<LayerKey>(&key->what))
      timelines_[key->timeline].layers[*layer] = object.size;
    if (const auto* piece = std::get_if<PieceKey>(&key->what))
      timelines_[key->timeline].pieces.push_back(*piece);
  }
  std::erase_if(timelines_, [](const auto& entry) { return !entry.second.manifest; });
}

std::string ArchiveReader::newest(std::string_view folder) {
  std::optional<Generation> found;
  for (const auto& object : store_.list(std::string(folder)))
    if (auto generation = parse_generation(object.key, folder))
      found = std::max(found.value_or(0), *generation);
  if (!found)
    throw Error(Errc::not_found, "there is nothing below {} in {}", folder, store_.name());
  return store_.get(folder == kCatalogs ? catalog_key(*found) : secrets_key(*found), {});
}

std::string ArchiveReader::catalog() { return unwrap(as_bytes(newest(kCatalogs))); }

std::optional<std::string> ArchiveReader::secrets() {
  try {
    return newest(kSecrets);
  } catch (const Error& error) {
    if (error.code() != Errc::not_found) throw;
    return std::nullopt;
  }
}

std::vector<TimelineId> ArchiveReader::timelines() const {
  std::vector<TimelineId> ids;
  for (const auto& [id, found] : timelines_) ids.push_back(id);
  return ids;
}

ArchivedManifest ArchiveReader::manifest(TimelineId timeline) {
  auto found = timelines_.find(timeline);
  if (found == timelines_.end())
    throw Error(Errc::not_found, "{} has no timeline {}", store_.name(), timeline.str());
  const std::string key = key_of(timeline, *found->second.manifest);
  ArchivedManifest manifest = ArchivedManifest::parse(as_bytes(store_.get(key, {})));
  if (manifest.timeline != timeline)
    throw Error(Errc::corrupt, "{}: it is the manifest of timeline {}", key,
                manifest.timeline.str());
  return manifest;
}

std::map<TimelineId, ArchivedManifest> ArchiveReader::with_ancestors(
    const std::set<TimelineId>& wanted, bool last_look,
    std::map<TimelineId, std::string>& damaged) {
  std::map<TimelineId, ArchivedManifest> found;
  for (TimelineId id : wanted) {
    while (has(id) && !found.contains(id) && !damaged.contains(id)) {
      try {
        found[id] = this->manifest(id);
      } catch (const Error& error) {
        const bool missing = error.code() == Errc::not_found;
        if (error.code() != Errc::corrupt && !(missing && last_look)) throw;
        damaged[id] = error.what();
        break;
      }
      if (!found[id].ancestor) break;
      id = *found[id].ancestor;
    }
  }
  return found;
}

bool ArchiveReader::has_layer(TimelineId timeline, uint64_t id, const ArchivedLayer& layer) const {
  auto found = timelines_.find(timeline);
  if (found == timelines_.end()) return false;
  auto size = found->second.layers.find({id, layer.generation});
  return size != found->second.layers.end() && size->second == layer.bytes;
}

void ArchiveReader::read_layer(TimelineId timeline, uint64_t id, const ArchivedLayer& layer,
                               const std::function<void(Bytes)>& take) {
  archive::read_layer(store_, timeline, id, layer, take);
}

void ArchiveReader::fetch_layer(TimelineId timeline, uint64_t id, const ArchivedLayer& layer,
                                const fs::path& file) {
  archive::fetch_layer(store_, timeline, id, layer, file);
}

std::vector<ChainLink> ArchiveReader::wal(TimelineId timeline) const {
  auto found = timelines_.find(timeline);
  return found == timelines_.end() ? std::vector<ChainLink>() : chain_of(found->second.pieces);
}

WalPiece ArchiveReader::wal_piece(TimelineId timeline, const PieceKey& key) {
  WalPiece piece = WalPiece::parse(as_bytes(store_.get(key_of(timeline, key), {})));
  if (piece.timeline != timeline || piece.from != key.from ||
      piece.from + piece.wal.size() != key.to)
    throw Error(Errc::corrupt, "{} is another piece of WAL", key_of(timeline, key));
  return piece;
}

}  // namespace halogen::archive
