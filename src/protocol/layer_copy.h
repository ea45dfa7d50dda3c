// layer_copy.h: the copy of a layer file that the object store has, and the note that tells of it
// on the disk where the file itself may be missing.
//
// The note is named as the layer file with ".copy" behind it. It says what must be fetched, and
// with which checksum, so that neither needs the store to be asked. Where the file is there, too,
// it is the file that counts.
#pragma once
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/file.h"
#include "base/ids.h"

namespace halogen {

struct LayerCopy {
  uint32_t generation = 0;  // A part of the object's name.
  uint64_t bytes = 0;
  uint32_t crc = 0;  // CRC-32C of the whole file.

  bool operator==(const LayerCopy&) const = default;
};

// Which layer of which timeline: a note in another one's place is damage.
struct LayerName {
  TimelineId timeline;
  uint64_t layer = 0;
};

constexpr std::string_view kLayerNote = ".copy";
fs::path layer_note(const fs::path& layer_file);

std::string encode_layer_note(const LayerName& name, const LayerCopy& copy);
// Throws corrupt.
LayerCopy parse_layer_note(Bytes bytes, const LayerName& name);

// Durable when it returns.
void write_layer_note(const fs::path& layer_file, const LayerName& name, const LayerCopy& copy);
// nullopt: there is none. Throws corrupt.
std::optional<LayerCopy> read_layer_note(const fs::path& layer_file, const LayerName& name);

}  // namespace halogen
