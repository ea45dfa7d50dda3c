// page.h: the header that every page of a relation begins with (PageHeaderData). SLRU pages have
// none.
#pragma once
#include <cstdint>
#include <cstring>
#include <span>

#include "base/bytes.h"
#include "base/lsn.h"
#include "protocol/page_key.h"

namespace halogen {

using PageSpan = std::span<char, kPageSize>;
using ConstPageSpan = std::span<const char, kPageSize>;

constexpr size_t kPageHeaderSize = 24;

// The LSN is kept as two halves, the high one first.
inline Lsn page_lsn(ConstPageSpan page) {
  return Lsn(uint64_t{load<uint32_t>(page.data())} << 32 | load<uint32_t>(page.data() + 4));
}
inline void set_page_lsn(PageSpan page, Lsn lsn) {
  store(page.data(), static_cast<uint32_t>(lsn.value >> 32));
  store(page.data() + 4, static_cast<uint32_t>(lsn.value));
}

// Never initialised (PageIsNew): pd_upper is 0.
inline bool page_is_new(ConstPageSpan page) { return load<uint16_t>(page.data() + 14) == 0; }

// As PageInit(page, BLCKSZ, 0) leaves it: empty, with no special space.
inline void init_page(PageSpan page) {
  std::memset(page.data(), 0, kPageSize);
  store(page.data() + 12, uint16_t{kPageHeaderSize});  // pd_lower
  store(page.data() + 14, uint16_t{kPageSize});        // pd_upper
  store(page.data() + 16, uint16_t{kPageSize});        // pd_special
  store(page.data() + 18, uint16_t{kPageSize | 4});    // pd_pagesize_version: layout 4
}

}  // namespace halogen
