#include "base/checksum.h"

#include <array>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace halogen {
namespace {

constexpr std::array<uint32_t, 256> kTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0x82F63B78 : crc >> 1;
    table[i] = crc;
  }
  return table;
}();

uint32_t update_portable(uint32_t state, Bytes bytes) {
  for (std::byte b : bytes) state = kTable[(state ^ static_cast<uint8_t>(b)) & 0xff] ^ state >> 8;
  return state;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t update_hardware(uint32_t state, Bytes bytes) {
  uint64_t wide = state;
  while (bytes.size() >= 8) {
    wide = _mm_crc32_u64(wide, load<uint64_t>(bytes.data()));
    bytes = bytes.subspan(8);
  }
  state = static_cast<uint32_t>(wide);
  for (std::byte b : bytes) state = _mm_crc32_u8(state, static_cast<uint8_t>(b));
  return state;
}

uint32_t update(uint32_t state, Bytes bytes) {
  static const bool hardware = __builtin_cpu_supports("sse4.2");
  return hardware ? update_hardware(state, bytes) : update_portable(state, bytes);
}
#else
uint32_t update(uint32_t state, Bytes bytes) { return update_portable(state, bytes); }
#endif

}  // namespace

uint32_t crc32c(Bytes bytes) { return crc32c_extend(0, bytes); }

uint32_t crc32c_extend(uint32_t crc, Bytes bytes) { return ~update(~crc, bytes); }

}  // namespace halogen
