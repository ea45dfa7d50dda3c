// segment_path.h: between file names in a data directory and segments.
//
// No exceptions, no allocation: used by the shim in every open().
#pragma once
#include <cstddef>

#include "compute/shim/manifest.h"

namespace halogen::shim {

constexpr size_t kSegmentPathMax = 160;

// The names of the folder a path lies in, as in Directory.
struct DirectoryId {
  uint8_t kind = 0;
  uint8_t fork = 0;
  uint32_t spc = 0;
  uint32_t db = 0;

  friend constexpr bool operator==(const DirectoryId&, const DirectoryId&) = default;
};

DirectoryId directory_of(const SegmentId& id);

// `path` is relative to the data directory; "./" and doubled slashes are taken. False for any file
// that is not a relation or SLRU segment (temporary relations included, which are always local).
bool parse_segment(const char* path, SegmentId* out);
bool parse_directory(const char* path, DirectoryId* out);
// Whether the last part of the path is pg_internal.init, the relation cache file.
bool is_relcache_file(const char* path);

// Writes the zero-terminated relative path; `out` has kSegmentPathMax bytes.
void format_segment(const SegmentId& id, const char* version_directory, char* out);

}  // namespace halogen::shim
