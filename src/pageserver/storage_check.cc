#include "pageserver/storage_check.h"

#include "base/error.h"

namespace halogen::pageserver {
namespace {

constexpr size_t kBlockCache = 1 << 20;  // A cursor does not use it.

void check_layer(const fs::path& path, const LayerDesc& desc, TimelineId timeline) {
  auto file = std::make_shared<LayerFile>(path, desc, layer_identity(timeline, desc.id),
                                          std::make_shared<LayerCache>(kBlockCache));
  uint64_t entries = 0;
  std::pair<Key, Lsn> before;
  for (LayerFile::Cursor cursor(file); cursor.entry(); cursor.next()) {
    const std::pair at(cursor.entry()->key, cursor.entry()->lsn);
    // Below the first key is what has been merged, and counts no more.
    if (at.first > desc.last || at.second < desc.min_lsn || at.second > desc.max_lsn ||
        (entries > 0 && at < before))
      throw Error(Errc::corrupt, "{}: entry {} is out of place", path.string(), entries);
    before = at;
    entries++;
  }
  if (entries != desc.entries)
    throw Error(Errc::corrupt, "{}: {} entries, not {}", path.string(), entries, desc.entries);
}

void check_folder(CheckedTimelines& checked, const fs::path& folder,
                  const std::function<void(const std::string&)>& progress) {
  const TimelineId id = TimelineId::parse(folder.filename().string());
  if (!fs::exists(folder / kManifestFile)) {
    checked.problems.push_back(folder.string() + ": never finished, or half deleted");
    return;
  }
  Manifest manifest = Manifest::load(folder);
  if (manifest.timeline != id)
    throw Error(Errc::corrupt, "{}: its manifest is that of timeline {}", folder.string(),
                manifest.timeline.str());
  progress(fmt::format("timeline {}: {} layer files", id.str(), manifest.layers.size()));
  for (const LayerDesc& layer : manifest.layers) {
    const fs::path file = folder / "layers" / layer.file_name();
    try {
      if (!fs::exists(file)) {
        if (const auto copy = read_layer_note(file, {id, layer.id})) {
          if (copy->bytes != layer.bytes)
            throw Error(Errc::corrupt, "{}: its copy has {} bytes, not {}", file.string(),
                        copy->bytes, layer.bytes);
          checked.away.push_back({{id, layer.id}, *copy, file});
          continue;
        }
      }
      check_layer(file, layer, id);
      checked.layer_files++;
      checked.layer_bytes += layer.bytes;
    } catch (const Error& error) {
      checked.problems.push_back(error.what());
    }
  }
  checked.manifests[id] = std::move(manifest);
}

std::map<TimelineId, std::string> read_templates(CheckedTimelines& checked, const fs::path& home) {
  std::map<TimelineId, std::string> templates;
  for (const auto& entry : fs::directory_iterator(home / "templates")) {
    const std::string text = read_file(entry.path());
    const TimelineId id = TimelineId::parse(std::string_view(text).substr(0, text.find('\n')));
    templates[id] = entry.path().string();
    if (!checked.manifests.contains(id))
      checked.problems.push_back(entry.path().string() + ": its timeline is not there");
  }
  return templates;
}

void check_reachability(CheckedTimelines& checked, const fs::path& home) {
  const auto templates = read_templates(checked, home);
  for (const auto& [id, manifest] : checked.manifests) {
    if (manifest.ancestor && !checked.manifests.contains(*manifest.ancestor))
      checked.problems.push_back(fmt::format("timeline {}: its ancestor {} is not there", id.str(),
                                             manifest.ancestor->str()));
    if (!manifest.ancestor && !templates.contains(id))
      checked.problems.push_back(
          fmt::format("timeline {}: it has no ancestor and is no template", id.str()));
  }
}

}  // namespace

CheckedTimelines check_timelines(const fs::path& home,
                                 const std::function<void(const std::string&)>& progress) {
  CheckedTimelines checked;
  auto attempt = [&](auto check) {
    try {
      check();
    } catch (const std::exception& error) {
      checked.problems.push_back(error.what());
    }
  };
  attempt([&] {
    for (const auto& entry : fs::directory_iterator(home / "timelines"))
      attempt([&] { check_folder(checked, entry.path(), progress); });
  });
  attempt([&] { check_reachability(checked, home); });
  return checked;
}

}  // namespace halogen::pageserver
