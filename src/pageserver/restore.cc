#include "pageserver/restore.h"

#include <fcntl.h>

#include "base/error.h"
#include "base/log.h"
#include "pageserver/layers/timeline_store.h"

namespace halogen::pageserver {
namespace {

const log::Logger logger("pageserver");

fs::path folder_of(const fs::path& home, TimelineId timeline) {
  return home / "timelines" / timeline.str();
}

fs::path layer_path(const fs::path& home, TimelineId timeline, const LayerDesc& layer) {
  return folder_of(home, timeline) / "layers" / layer.file_name();
}

// All of them are durable when the manifest that names them is written.
void write_notes(const fs::path& home, const Manifest& manifest,
                 const std::map<uint64_t, LayerCopy>& copies) {
  for (const LayerDesc& layer : manifest.layers) {
    auto copy = copies.find(layer.id);
    if (copy == copies.end() || copy->second.bytes != layer.bytes)
      throw Error(Errc::corrupt, "timeline {}: its layer {} is not among what was copied",
                  manifest.timeline.str(), layer.file_name());
    const fs::path note = layer_note(layer_path(home, manifest.timeline, layer));
    write_file(note, encode_layer_note({manifest.timeline, layer.id}, copy->second));
    fsync_or_die(open_file(note, O_RDONLY).get(), note.string());
  }
  fsync_folder(folder_of(home, manifest.timeline) / "layers");
}

TimelineId template_of(const fs::path& home, uint32_t major) {
  const std::string text = read_file(home / "templates" / std::to_string(major));
  return TimelineId::parse(std::string_view(text).substr(0, text.find('\n')));
}

}  // namespace

void restore_timeline(const fs::path& home, TimelineId timeline, const std::string& bytes,
                      const std::map<uint64_t, LayerCopy>& copies) {
  const Manifest manifest = Manifest::parse(as_bytes(bytes));
  if (manifest.timeline != timeline)
    throw Error(Errc::corrupt, "the manifest of timeline {} is that of {}", timeline.str(),
                manifest.timeline.str());
  fs::create_directories(folder_of(home, timeline) / "layers");
  write_notes(home, manifest, copies);
  // A template is named before it counts.
  if (!manifest.ancestor) {
    fs::create_directories(home / "templates");
    write_file_durably(home / "templates" / std::to_string(manifest.major), timeline.str() + "\n");
  }
  TimelineStore::create(folder_of(home, timeline), manifest);
}

void remove_restored(const fs::path& home, TimelineId timeline) {
  fs::remove_all(folder_of(home, timeline));
}

void remake_branch(const fs::path& home, const BranchBeginning& branch) {
  Manifest parent = Manifest::load(
      folder_of(home, branch.ancestor ? *branch.ancestor : template_of(home, branch.major)));
  // As when it was made: below the parent's own branch point its history is that of its ancestor.
  while (parent.ancestor && branch.lsn < parent.ancestor_lsn)
    parent = Manifest::load(folder_of(home, *parent.ancestor));
  if (!parent.retain.readable(branch.lsn) || branch.lsn < parent.start_lsn)
    throw Error(Errc::gone, "timeline {} has its history no more as it was at {}",
                parent.timeline.str(), branch.lsn.str());
  Manifest manifest;
  manifest.tenant = branch.tenant;
  manifest.timeline = branch.timeline;
  manifest.major = branch.major;
  manifest.ancestor = parent.timeline;
  manifest.ancestor_lsn = manifest.start_lsn = manifest.disk_consistent_lsn = branch.lsn;
  TimelineStore::create(folder_of(home, branch.timeline), manifest);
}

std::vector<LayerAway> layers_away(const fs::path& home) {
  std::vector<LayerAway> away;
  if (!fs::exists(home / "timelines")) return away;
  for (const auto& entry : fs::directory_iterator(home / "timelines")) {
    if (!fs::exists(entry.path() / kManifestFile)) continue;
    try {
      const Manifest manifest = Manifest::load(entry.path());
      for (const LayerDesc& layer : manifest.layers) {
        const fs::path file = entry.path() / "layers" / layer.file_name();
        const LayerName name{manifest.timeline, layer.id};
        if (fs::exists(file)) continue;
        if (auto copy = read_layer_note(file, name)) away.push_back({name, *copy, file});
      }
    } catch (const Error& error) {  // The start says so, too, and leaves it alone.
      logger.warn("{}: {}", entry.path().string(), error.what());
    }
  }
  return away;
}

}  // namespace halogen::pageserver
