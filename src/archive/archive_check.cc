#include "archive/archive_check.h"

#include "archive/archive_reader.h"
#include "base/error.h"

namespace halogen::archive {
namespace {

class Check {
 public:
  Check(objectstore::ObjectStore& store, const std::function<void(const std::string&)>& progress)
      : store_(store), progress_(progress) {}

  CheckedArchive run() {
    attempt([&] {
      ArchiveReader reader(store_);
      attempt([&] { reader.catalog(); });
      for (TimelineId id : reader.timelines()) attempt([&] { check_timeline(reader, id); });
    });
    return std::move(checked_);
  }

 private:
  template <typename F>
  void attempt(F part) {
    try {
      part();
    } catch (const std::exception& error) {
      checked_.problems.push_back(error.what());
    }
  }

  void check_timeline(ArchiveReader& reader, TimelineId id) {
    const ArchivedManifest manifest = reader.manifest(id);
    progress_(
        fmt::format("object store: timeline {}: {} layer files", id.str(), manifest.layers.size()));
    checked_.timelines++;
    for (const auto& [layer, archived] : manifest.layers) {
      attempt([&] {
        reader.read_layer(id, layer, archived, [](Bytes) {});
        checked_.layer_files++;
        checked_.layers[{id, layer}] = archived;
        checked_.bytes += archived.bytes;
      });
    }
    if (manifest.ancestor && !reader.has(*manifest.ancestor))
      throw Error(Errc::corrupt, "object store: timeline {}: its ancestor {} is not there",
                  id.str(), manifest.ancestor->str());
    if (manifest.ancestor) check_wal(reader, id, manifest);
  }

  // A template has none.
  void check_wal(ArchiveReader& reader, TimelineId id, const ArchivedManifest& manifest) {
    const std::vector<ChainLink> chain = reader.wal(id);
    if (chain.empty() || chain.front().key.from > manifest.consistent ||
        chain.back().to < manifest.consistent)
      throw Error(Errc::corrupt,
                  "object store: timeline {}: its layers end at {}, and the WAL there does not "
                  "join: it goes from {} to {}",
                  id.str(), manifest.consistent.str(),
                  chain.empty() ? "nowhere" : chain.front().key.from.str(),
                  chain.empty() ? "nowhere" : chain.back().to.str());
    for (const ChainLink& link : chain)
      attempt([&] { checked_.bytes += reader.wal_piece(id, link.key).wal.size(); });
  }

  objectstore::ObjectStore& store_;
  const std::function<void(const std::string&)>& progress_;
  CheckedArchive checked_;
};

}  // namespace

CheckedArchive check_archive(objectstore::ObjectStore& store,
                             const std::function<void(const std::string&)>& progress) {
  return Check(store, progress).run();
}

}  // namespace halogen::archive
