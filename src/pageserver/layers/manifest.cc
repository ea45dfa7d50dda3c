#include "pageserver/layers/manifest.h"

#include <algorithm>
#include <set>

#include "base/checksum.h"
#include "base/error.h"

namespace halogen::pageserver {

namespace {

constexpr uint64_t kMagic = 0x31304e414d4c4748;  // "HGLMAN01"
constexpr uint32_t kVersion = 2;
constexpr size_t kLayerSize = 97;
constexpr size_t kLayerSizeOfVersion1 = 81;  // Each file a run of its own, no horizon.

void put_layer(Writer& out, const LayerDesc& layer) {
  out.put(layer.id).put(layer.run).put(layer.level).put(layer.first).put(layer.last);
  out.put(layer.min_lsn).put(layer.max_lsn).put(layer.bytes).put(layer.entries);
  out.put(layer.superseded);
}

LayerDesc get_layer(Reader& in, uint32_t version) {
  LayerDesc layer;
  layer.id = in.get<uint64_t>();
  layer.run = version > 1 ? in.get<uint64_t>() : layer.id;
  layer.level = in.get<uint8_t>();
  layer.first = in.get<Key>();
  layer.last = in.get<Key>();
  layer.min_lsn = in.get<Lsn>();
  layer.max_lsn = in.get<Lsn>();
  layer.bytes = in.get<uint64_t>();
  layer.entries = in.get<uint64_t>();
  if (version > 1) layer.superseded = in.get<uint64_t>();
  if (layer.first > layer.last)
    throw Error(Errc::corrupt, "a manifest with a layer whose keys end before they begin");
  return layer;
}

RetainSet get_retain_set(Reader& in) {
  RetainSet out;
  out.horizon = in.get<Lsn>();
  const auto count = in.get<uint32_t>();
  if (count > in.left() / sizeof(Lsn))
    throw Error(Errc::corrupt, "a manifest of {} points in {} bytes", count, in.left());
  for (uint32_t i = 0; i < count; i++) out.points.push_back(in.get<Lsn>());
  if (!std::is_sorted(out.points.begin(), out.points.end()))
    throw Error(Errc::corrupt, "a manifest whose points are out of order");
  return out;
}

// Reads look for a key in one file of a run.
void check_runs(const std::vector<LayerDesc>& layers) {
  std::set<uint64_t> runs;
  for (size_t i = 0; i < layers.size(); i++) {
    const bool same_run = i > 0 && layers[i].run == layers[i - 1].run;
    if (!same_run && !runs.insert(layers[i].run).second)
      throw Error(Errc::corrupt, "a manifest in which run {} is twice", layers[i].run);
    if (same_run && layers[i].first <= layers[i - 1].last)
      throw Error(Errc::corrupt, "a manifest in which files of run {} overlap", layers[i].run);
  }
}

}  // namespace

std::string Manifest::encode() const {
  Writer out;
  out.put(kMagic).put(kVersion);
  out.put(tenant.bytes).put(timeline.bytes).put(major);
  out.put(static_cast<uint8_t>(ancestor.has_value())).put(ancestor.value_or(TimelineId()).bytes);
  out.put(ancestor_lsn).put(start_lsn).put(disk_consistent_lsn).put(next_id);
  out.put(retain.horizon).put(static_cast<uint32_t>(retain.points.size()));
  for (Lsn point : retain.points) out.put(point);
  out.put(static_cast<uint32_t>(layers.size()));
  for (const LayerDesc& layer : layers) put_layer(out, layer);
  out.put(crc32c(as_bytes(out.view())));
  return out.take();
}

Manifest Manifest::parse(Bytes bytes) {
  if (bytes.size() < 4 || crc32c(bytes.first(bytes.size() - 4)) !=
                              halogen::load<uint32_t>(bytes.data() + bytes.size() - 4))
    throw Error(Errc::corrupt, "the manifest's checksum does not match");
  Reader in(bytes.first(bytes.size() - 4));
  if (in.get<uint64_t>() != kMagic) throw Error(Errc::corrupt, "not a manifest");
  const auto version = in.get<uint32_t>();
  if (version == 0 || version > kVersion)
    throw Error(Errc::corrupt, "a manifest of version {}; this program reads up to {}", version,
                kVersion);
  Manifest out;
  out.tenant.bytes = in.get<decltype(out.tenant.bytes)>();
  out.timeline.bytes = in.get<decltype(out.timeline.bytes)>();
  out.major = in.get<uint32_t>();
  bool has_ancestor = in.get<uint8_t>() != 0;
  TimelineId ancestor;
  ancestor.bytes = in.get<decltype(ancestor.bytes)>();
  if (has_ancestor) out.ancestor = ancestor;
  out.ancestor_lsn = in.get<Lsn>();
  out.start_lsn = in.get<Lsn>();
  out.disk_consistent_lsn = in.get<Lsn>();
  out.next_id = in.get<uint64_t>();
  if (version > 1) out.retain = get_retain_set(in);
  auto count = in.get<uint32_t>();
  const size_t layer_size = version > 1 ? kLayerSize : kLayerSizeOfVersion1;
  if (count != in.left() / layer_size || in.left() % layer_size != 0)
    throw Error(Errc::corrupt, "a manifest of {} layers in {} bytes", count, in.left());
  for (uint32_t i = 0; i < count; i++) out.layers.push_back(get_layer(in, version));
  check_runs(out.layers);
  return out;
}

Manifest Manifest::load(const fs::path& folder) {
  fs::path path = folder / kManifestFile;
  std::string bytes = read_file(path);
  try {
    return parse(as_bytes(bytes));
  } catch (const Error& error) {
    throw Error(error.code(), "{}: {}", path.string(), error.what());
  }
}

void Manifest::save(const fs::path& folder) const {
  write_file_durably(folder / kManifestFile, encode());
}

}  // namespace halogen::pageserver
