#include "archive/formats.h"

#include "base/checksum.h"
#include "base/error.h"

namespace halogen::archive {
namespace {

constexpr uint64_t kManifestMagic = 0x31304e4152414c48;  // "HLARAN01"
constexpr uint64_t kPieceMagic = 0x31304c4157414c48;     // "HLAWAL01"
constexpr uint64_t kFileMagic = 0x31304c4946414c48;      // "HLAFIL01"
constexpr uint32_t kVersion = 1;
constexpr size_t kLayerSize = 8 + 4 + 8 + 4;

std::string sealed(Writer& out) {
  out.put(crc32c(as_bytes(out.view())));
  return out.take();
}

// What is between magic and checksum.
Reader opened(Bytes bytes, uint64_t magic, const char* what) {
  if (bytes.size() < 16 ||
      crc32c(bytes.first(bytes.size() - 4)) != load<uint32_t>(bytes.data() + bytes.size() - 4))
    throw Error(Errc::corrupt, "{}: its checksum does not match", what);
  Reader in(bytes.first(bytes.size() - 4));
  if (in.get<uint64_t>() != magic) throw Error(Errc::corrupt, "it is no {}", what);
  if (const auto version = in.get<uint32_t>(); version != kVersion)
    throw Error(Errc::corrupt, "{} of version {}; this program reads {}", what, version, kVersion);
  return in;
}

TimelineId get_id(Reader& in) {
  TimelineId id;
  id.bytes = in.get<decltype(id.bytes)>();
  return id;
}

}  // namespace

std::string ArchivedManifest::encode() const {
  Writer out;
  out.put(kManifestMagic).put(kVersion).put(timeline.bytes);
  out.put(static_cast<uint8_t>(ancestor.has_value())).put(ancestor.value_or(TimelineId()).bytes);
  out.put(ancestor_lsn).put(consistent).put(static_cast<uint32_t>(layers.size()));
  for (const auto& [id, layer] : layers)
    out.put(id).put(layer.generation).put(layer.bytes).put(layer.crc);
  out.text(manifest);
  return sealed(out);
}

ArchivedManifest ArchivedManifest::parse(Bytes bytes) {
  Reader in = opened(bytes, kManifestMagic, "manifest of the archive");
  ArchivedManifest out;
  out.timeline = get_id(in);
  const bool has_ancestor = in.get<uint8_t>() != 0;
  const TimelineId ancestor = get_id(in);
  if (has_ancestor) out.ancestor = ancestor;
  out.ancestor_lsn = in.get<Lsn>();
  out.consistent = in.get<Lsn>();
  const auto count = in.get<uint32_t>();
  if (count > in.left() / kLayerSize)
    throw Error(Errc::corrupt, "a manifest of {} layers in {} bytes", count, in.left());
  for (uint32_t i = 0; i < count; i++) {
    const auto id = in.get<uint64_t>();
    ArchivedLayer& layer = out.layers[id];
    layer.generation = in.get<Generation>();
    layer.bytes = in.get<uint64_t>();
    layer.crc = in.get<uint32_t>();
  }
  if (out.layers.size() != count) throw Error(Errc::corrupt, "a manifest with a layer twice");
  out.manifest = as_text(in.rest());
  return out;
}

std::string WalPiece::encode() const {
  Writer out;
  out.put(kPieceMagic).put(kVersion).put(timeline.bytes).put(system_identifier);
  out.put(start).put(term).put(from).text(wal);
  return sealed(out);
}

WalPiece WalPiece::parse(Bytes bytes) {
  Reader in = opened(bytes, kPieceMagic, "piece of WAL");
  WalPiece out;
  out.timeline = get_id(in);
  out.system_identifier = in.get<uint64_t>();
  out.start = in.get<Lsn>();
  out.term = in.get<uint64_t>();
  out.from = in.get<Lsn>();
  out.wal = as_text(in.rest());
  return out;
}

std::string wrap(std::string_view content) {
  Writer out;
  out.put(kFileMagic).put(kVersion).text(content);
  return sealed(out);
}

std::string unwrap(Bytes bytes) {
  return std::string(as_text(opened(bytes, kFileMagic, "file of the archive").rest()));
}

}  // namespace halogen::archive
