#include "postgres/wal_page.h"

#include <fmt/core.h>

namespace halogen {

std::string wal_segment_name(Lsn lsn, uint32_t segment_size, uint32_t timeline) {
  uint64_t number = lsn.value / segment_size;
  uint64_t per_id = (uint64_t{1} << 32) / segment_size;
  return fmt::format("{:08X}{:08X}{:08X}", timeline, number / per_id, number % per_id);
}

}  // namespace halogen
