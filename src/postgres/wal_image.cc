#include "postgres/wal_image.h"

#include <lz4.h>
#include <zstd.h>

#include <algorithm>

#include "base/error.h"
#include "postgres/wal_record.h"

namespace halogen {

// A control byte announces eight items, lowest bit first: 0 a literal byte, 1 a copy of what came
// before: 12 bits of offset and 4 of length - 3, with one more length byte if those are all ones.
bool unpack_pglz(Bytes packed, std::span<char> out) {
  size_t in = 0;
  size_t at = 0;
  while (in < packed.size() && at < out.size()) {
    auto control = static_cast<uint8_t>(packed[in++]);
    for (int item = 0; item < 8 && in < packed.size() && at < out.size(); ++item, control >>= 1) {
      if (!(control & 1)) {
        out[at++] = static_cast<char>(packed[in++]);
        continue;
      }
      if (packed.size() - in < 2) return false;
      auto first = static_cast<uint8_t>(packed[in]);
      auto second = static_cast<uint8_t>(packed[in + 1]);
      in += 2;
      size_t length = (first & 0x0F) + 3;
      size_t offset = (first & 0xF0) << 4 | second;
      if (length == 18) {
        if (in == packed.size()) return false;
        length += static_cast<uint8_t>(packed[in++]);
      }
      if (offset == 0 || offset > at) return false;
      length = std::min(length, out.size() - at);
      // Byte by byte: the copy may overlap what it makes.
      for (size_t i = 0; i < length; ++i, ++at) out[at] = out[at - offset];
    }
  }
  return in == packed.size() && at == out.size();
}

void unpack_image(uint8_t info, Bytes packed, std::span<char> out) {
  bool ok = false;
  const auto* from = reinterpret_cast<const char*>(packed.data());
  if (info & kImagePglz) {
    ok = unpack_pglz(packed, out);
  } else if (info & kImageLz4) {
    int size = LZ4_decompress_safe(from, out.data(), static_cast<int>(packed.size()),
                                   static_cast<int>(out.size()));
    ok = size == static_cast<int>(out.size());
  } else if (info & kImageZstd) {
    ok = ZSTD_decompress(out.data(), out.size(), from, packed.size()) == out.size();
  }
  if (!ok) throw Error(Errc::corrupt, "bad WAL record: a page image does not unpack");
}

}  // namespace halogen
