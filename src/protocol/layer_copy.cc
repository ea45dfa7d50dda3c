#include "protocol/layer_copy.h"

#include "base/checksum.h"
#include "base/error.h"

namespace halogen {
namespace {

constexpr uint64_t kMagic = 0x3130504f434c4c48;  // "HLLCOP01"
constexpr uint32_t kVersion = 1;

}  // namespace

fs::path layer_note(const fs::path& layer_file) {
  fs::path note = layer_file;
  note += kLayerNote;
  return note;
}

std::string encode_layer_note(const LayerName& name, const LayerCopy& copy) {
  Writer out;
  out.put(kMagic).put(kVersion).put(name.timeline.bytes).put(name.layer);
  out.put(copy.generation).put(copy.bytes).put(copy.crc);
  out.put(crc32c(as_bytes(out.view())));
  return out.take();
}

LayerCopy parse_layer_note(Bytes bytes, const LayerName& name) {
  constexpr size_t kSum = sizeof(uint32_t);
  if (bytes.size() < kSum ||
      crc32c(bytes.first(bytes.size() - kSum)) != load<uint32_t>(bytes.last(kSum).data()))
    throw Error(Errc::corrupt, "the note of a layer's copy: its checksum does not match");
  Reader in(bytes.first(bytes.size() - kSum));
  if (in.get<uint64_t>() != kMagic || in.get<uint32_t>() != kVersion)
    throw Error(Errc::corrupt, "no note of a layer's copy, or one of another version");
  LayerName found;
  found.timeline.bytes = in.get<decltype(found.timeline.bytes)>();
  found.layer = in.get<uint64_t>();
  if (found.timeline != name.timeline || found.layer != name.layer)
    throw Error(Errc::corrupt, "the note of another layer's copy, that of {:016x} of timeline {}",
                found.layer, found.timeline.str());
  LayerCopy copy;
  copy.generation = in.get<uint32_t>();
  copy.bytes = in.get<uint64_t>();
  copy.crc = in.get<uint32_t>();
  if (!in.empty()) throw Error(Errc::corrupt, "the note of a layer's copy is too long");
  return copy;
}

void write_layer_note(const fs::path& layer_file, const LayerName& name, const LayerCopy& copy) {
  write_file_durably(layer_note(layer_file), encode_layer_note(name, copy));
}

std::optional<LayerCopy> read_layer_note(const fs::path& layer_file, const LayerName& name) {
  const fs::path note = layer_note(layer_file);
  std::string bytes;
  try {
    bytes = read_file(note);
  } catch (const Error& error) {
    if (error.code() == Errc::not_found) return std::nullopt;
    throw;
  }
  try {
    return parse_layer_note(as_bytes(bytes), name);
  } catch (const Error& error) {
    throw Error(error.code(), "{}: {}", note.string(), error.what());
  }
}

}  // namespace halogen
