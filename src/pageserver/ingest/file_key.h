// file_key.h: how files that storage keeps whole are named and packed.
#pragma once
#include <string>
#include <string_view>

#include "pageserver/layers/value.h"

namespace halogen::pageserver {

// `path` is relative to the data directory.
Key file_key(std::string_view path);

struct StoredFile {
  std::string path;
  std::string content;
};
std::string encode_file(std::string_view path, std::string_view content);
// Errc::corrupt.
StoredFile decode_file(std::string_view value);

}  // namespace halogen::pageserver
