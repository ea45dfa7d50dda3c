#include "pageserver/restore.h"

#include "base/error.h"
#include "pageserver/layers/timeline_store.h"

namespace halogen::pageserver {
namespace {

fs::path folder_of(const fs::path& home, TimelineId timeline) {
  return home / "timelines" / timeline.str();
}

}  // namespace

fs::path layer_path(const fs::path& home, TimelineId timeline, uint64_t layer) {
  return folder_of(home, timeline) / "layers" / LayerDesc{.id = layer}.file_name();
}

void restore_timeline(const fs::path& home, TimelineId timeline, const std::string& bytes) {
  const Manifest manifest = Manifest::parse(as_bytes(bytes));
  if (manifest.timeline != timeline)
    throw Error(Errc::corrupt, "the manifest of timeline {} is that of {}", timeline.str(),
                manifest.timeline.str());
  for (const LayerDesc& layer : manifest.layers) {
    const fs::path file = layer_path(home, timeline, layer.id);
    std::error_code missing;
    if (fs::file_size(file, missing) != layer.bytes || missing)
      throw Error(Errc::corrupt, "timeline {}: layer {} is not there, or not whole", timeline.str(),
                  layer.file_name());
  }
  // A template is named before it counts.
  if (!manifest.ancestor) {
    fs::create_directories(home / "templates");
    write_file_durably(home / "templates" / std::to_string(manifest.major), timeline.str() + "\n");
  }
  TimelineStore::create(folder_of(home, timeline), manifest);
}

}  // namespace halogen::pageserver
