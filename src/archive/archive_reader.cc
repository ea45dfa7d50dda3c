#include "archive/archive_reader.h"

#include <fcntl.h>

#include "base/checksum.h"
#include "base/error.h"

namespace halogen::archive {
namespace {

constexpr uint64_t kPart = 8 << 20;

}  // namespace

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
    const std::set<TimelineId>& wanted) {
  std::map<TimelineId, ArchivedManifest> found;
  for (TimelineId id : wanted) {
    while (has(id) && !found.contains(id)) {
      const auto& manifest = found[id] = this->manifest(id);
      if (!manifest.ancestor) break;
      id = *manifest.ancestor;
    }
  }
  return found;
}

void ArchiveReader::read_layer(TimelineId timeline, uint64_t id, const ArchivedLayer& layer,
                               const std::function<void(Bytes)>& take) {
  const std::string key = key_of(timeline, LayerKey{id, layer.generation});
  uint32_t crc = 0;
  for (uint64_t at = 0; at < layer.bytes; at += kPart) {
    const std::string part = store_.get(key, {at, std::min(kPart, layer.bytes - at)});
    if (part.size() != std::min(kPart, layer.bytes - at))
      throw Error(Errc::corrupt, "{} in {} ends at {}, before {}", key, store_.name(),
                  at + part.size(), layer.bytes);
    crc = at == 0 ? crc32c(as_bytes(part)) : crc32c_extend(crc, as_bytes(part));
    take(as_bytes(part));
  }
  if (crc != layer.crc)
    throw Error(Errc::corrupt, "{} in {} is damaged: its checksum does not match", key,
                store_.name());
}

void ArchiveReader::fetch_layer(TimelineId timeline, uint64_t id, const ArchivedLayer& layer,
                                const fs::path& file) {
  fs::path temporary = file;
  temporary += ".tmp";
  UniqueFd fd = open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
  read_layer(timeline, id, layer, [&](Bytes part) { write_all(fd.get(), part); });
  fsync_or_die(fd.get(), temporary.string());
  fs::rename(temporary, file);
  fsync_folder(file.parent_path());
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
