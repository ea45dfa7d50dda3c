// wal_image.h: unpacking of compressed page images, by each of Postgres' wal_compression methods.
#pragma once
#include <span>

#include "base/bytes.h"

namespace halogen {

// Fills `out` exactly; `info` holds one of the kImage... compression flags. Errc::corrupt if the
// bytes do not unpack to just that size.
void unpack_image(uint8_t info, Bytes packed, std::span<char> out);

// Postgres' own LZ77 variety: false unless `packed` unpacks to exactly out.size() bytes.
bool unpack_pglz(Bytes packed, std::span<char> out);

}  // namespace halogen
