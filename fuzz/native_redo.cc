// A page and a record made of any bytes, given to native redo: applied within bounds, or left to
// Postgres.
#include "pageserver/redo/native_redo.h"
#include "base/error.h"
#include "postgres/wal_record.h"

using namespace halogen;

namespace {

// A page that a record has a chance to fit: some tuples of the input's sizes.
void fill_page(PageSpan page, Reader& in) {
  init_page(page);
  uint16_t lower = kPageHeaderSize, upper = kPageSize;
  const auto items = in.get<uint8_t>();
  for (int i = 0; i < items && upper - lower > 300; i++, lower += 4) {
    const auto bits = in.get<uint16_t>();
    const uint16_t size = static_cast<uint16_t>(24 + bits % 200);
    upper = static_cast<uint16_t>((upper - size) & ~7);
    store(page.data() + lower,
          static_cast<uint32_t>(upper) | (bits >> 14 & 3u) << 15 | uint32_t{size} << 17);
    std::memset(page.data() + upper, bits & 0xff, size);
    page[upper + 22u] = 24;
  }
  store(page.data() + 12, lower);
  store(page.data() + 14, upper);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Reader in(Bytes(reinterpret_cast<const std::byte*>(data), size));
  try {
    std::string page(kPageSize, '\0');
    if (in.get<uint8_t>() % 4 == 0 && in.left() >= kPageSize)
      page = std::string(as_text(in.take(kPageSize)));
    else
      fill_page(PageSpan(page.data(), kPageSize), in);
    std::string bytes(as_text(in.rest()));
    if (bytes.size() < kWalRecordHeaderSize) return 0;
    store(bytes.data(), static_cast<uint32_t>(bytes.size()));
    WalRecord record;
    record.decode(as_bytes(bytes));
    for (const BlockRef& block : record.blocks())
      (void)pageserver::apply_natively(block.page, true, PageSpan(page.data(), kPageSize),
                                       Lsn(UINT64_MAX / 2), record);
  } catch (const Error& error) {
    CHECK(error.code() == Errc::corrupt, "{}", error.what());
  }
  return 0;
}
