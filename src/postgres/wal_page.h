// wal_page.h: how WAL lies in pages and segments.
//
// WAL is a stream cut into 8 KiB pages, each with a header of 24 bytes, 40 at the start of a
// segment file. Records follow one another at 8-byte boundaries and run on over page headers.
#pragma once
#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/lsn.h"

namespace halogen {

constexpr uint32_t kWalPageSize = 8192;
constexpr uint32_t kWalSegmentSize = 16 << 20;  // The default; a cluster may have another.
constexpr uint32_t kWalShortHeader = 24;
constexpr uint32_t kWalLongHeader = 40;

// WalPageHeader::info.
constexpr uint16_t kWalPageContinues = 1;  // The page begins with the rest of a record.
constexpr uint16_t kWalPageLongHeader = 2;
constexpr uint16_t kWalPageOverwrites = 8;  // The record begun before was given up.
constexpr uint16_t kWalPageAllFlags = 0x0F;

constexpr uint64_t wal_align(uint64_t size) { return (size + 7) & ~uint64_t{7}; }
constexpr uint64_t page_start(Lsn lsn) { return lsn.value - lsn.value % kWalPageSize; }
constexpr uint64_t segment_start(Lsn lsn, uint32_t segment_size) {
  return lsn.value - lsn.value % segment_size;
}
constexpr uint32_t wal_header_size(uint64_t page, uint32_t segment_size) {
  return page % segment_size == 0 ? kWalLongHeader : kWalShortHeader;
}
// Where a record that follows `end` of the one before begins: behind the header if that is the
// start of a page.
constexpr Lsn record_start_after(Lsn end, uint32_t segment_size) {
  Lsn start(wal_align(end.value));
  if (start.value % kWalPageSize == 0) start = start + wal_header_size(start.value, segment_size);
  return start;
}

struct WalPageHeader {
  uint16_t magic = 0;
  uint16_t info = 0;
  uint32_t timeline = 1;
  uint64_t address = 0;
  uint32_t remaining = 0;  // Of the record that continues, in bytes.
};

inline WalPageHeader load_page_header(const void* from) {
  const auto* p = static_cast<const char*>(from);
  return {load<uint16_t>(p), load<uint16_t>(p + 2), load<uint32_t>(p + 4), load<uint64_t>(p + 8),
          load<uint32_t>(p + 16)};
}

// The header of the page at header.address: 24 bytes, or 40 (and the flag for it set) where a
// segment starts.
inline std::string encode_page_header(WalPageHeader header, uint64_t system_identifier,
                                      uint32_t segment_size) {
  bool is_long = header.address % segment_size == 0;
  if (is_long) header.info |= kWalPageLongHeader;
  Writer out;
  out.put(header.magic).put(header.info).put(header.timeline).put(header.address);
  out.put(header.remaining).put(uint32_t{0});
  if (is_long) out.put(system_identifier).put(segment_size).put(kWalPageSize);
  return out.take();
}

// The file name of the segment that holds `lsn`: 24 hex digits.
std::string wal_segment_name(Lsn lsn, uint32_t segment_size, uint32_t timeline = 1);

}  // namespace halogen
