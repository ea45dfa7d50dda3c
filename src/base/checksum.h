// checksum.h: CRC-32C (Castagnoli), the one Postgres uses for WAL and the control file.
#pragma once
#include <cstdint>

#include "base/bytes.h"

namespace halogen {

// Of `bytes` alone: crc32c("123456789") == 0xE3069283.
uint32_t crc32c(Bytes bytes);

// Of a message in pieces: extend(extend(crc32c(a), b), c) == crc32c(a + b + c).
uint32_t crc32c_extend(uint32_t crc, Bytes bytes);

}  // namespace halogen
