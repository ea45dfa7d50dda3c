#include "safekeeper/record_scan.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/error.h"
#include "postgres/wal_page.h"
#include "postgres/wal_reader.h"

namespace halogen::safekeeper {
namespace {

constexpr size_t kReadSize = 128 * 1024;

}  // namespace

// The beginning of the first record that begins in this page, if one does.
std::optional<Lsn> RecordScan::first_record_in(Lsn page) const {
  if (floor_is_record_ && page <= floor_) return floor_;
  std::array<std::byte, kWalShortHeader> raw;
  if (read_(page, raw) < raw.size()) return std::nullopt;
  WalPageHeader header = load_page_header(raw.data());
  if (header.magic != kMajor15.wal_page_magic || header.address != page.value) return std::nullopt;
  if (!(header.info & kWalPageContinues)) return page;
  Lsn first = page + wal_header_size(page.value, kWalSegmentSize) + wal_align(header.remaining);
  if (first >= page + kWalPageSize) return std::nullopt;
  return first;
}

std::optional<RecordPlace> RecordScan::last_record(Lsn limit) const {
  if (limit <= floor_) return std::nullopt;
  const Lsn lowest(page_start(floor_));
  for (Lsn page(page_start(limit - 1));; page = page - kWalPageSize) {
    std::optional<RecordPlace> last;
    if (std::optional<Lsn> first = first_record_in(page)) last = follow(*first, {}, limit);
    if (last || page <= lowest) return last;
  }
}

std::optional<RecordPlace> RecordScan::follow(Lsn at, std::optional<RecordPlace> before,
                                              Lsn limit) const {
  std::optional<RecordPlace> last = before;
  std::vector<std::byte> buffer(kReadSize);
  try {
    WalReader reader(at, {}, before ? before->start : kInvalidLsn);
    WalRecordView record;
    while (at < limit && !reader.at_zeros()) {
      size_t wanted = std::min<uint64_t>(buffer.size(), limit - at);
      size_t got = read_(at, std::span(buffer).first(wanted));
      if (got == 0) break;
      at = at + got;
      reader.feed({buffer.data(), got});
      while (reader.next(record)) last = RecordPlace{record.start, record.end};
    }
  } catch (const Error& error) {
    // What is no WAL ends the log; anything else is about reading it.
    if (error.code() != Errc::corrupt) throw;
  }
  return last;
}

}  // namespace halogen::safekeeper
