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

// The page in which the walk begins need not hold a record: it may be in the middle of one, or in
// the unused rest of a switched segment. A walk that has passed a whole record is sure of its way,
// so what stops it then, or at the floor, is what really is there.
RecordWalk RecordScan::last_record(Lsn limit) const {
  if (limit <= floor_) return {};
  const Lsn lowest(page_start(floor_));
  for (Lsn page(page_start(limit - 1));; page = page - kWalPageSize) {
    RecordWalk walk;
    if (std::optional<Lsn> first = first_record_in(page)) walk = follow(*first, {}, limit);
    if (walk.last) return walk;
    if (page > lowest) continue;
    if (!floor_is_record_)
      return {.last = {}, .problem = "no WAL record is to be found here", .problem_at = floor_};
    return walk;
  }
}

RecordWalk RecordScan::follow(Lsn at, std::optional<RecordPlace> before, Lsn limit) const {
  RecordWalk walk{.last = before, .problem = {}, .problem_at = at};
  std::vector<std::byte> buffer(at < limit ? std::min<uint64_t>(kReadSize, limit - at) : 0);
  try {
    WalReader reader(at, {}, before ? before->start : kInvalidLsn);
    WalRecordView record;
    while (at < limit && !walk.problem) {
      size_t wanted = std::min<uint64_t>(buffer.size(), limit - at);
      size_t got = read_(at, std::span(buffer).first(wanted));
      at = at + got;
      reader.feed({buffer.data(), got});
      while (reader.next(record)) {
        walk.last = RecordPlace{record.start, record.end};
        walk.problem_at = record.end;
      }
      if (reader.at_zeros()) walk.problem = "zeros where WAL should be";
      if (got == 0) walk.problem = fmt::format("the WAL at {} is missing", at.str());
    }
  } catch (const Error& error) {
    // What is no WAL ends the walk; anything else is about reading it.
    if (error.code() != Errc::corrupt) throw;
    walk.problem = error.what();
  }
  return walk;
}

Lsn RecordScan::reach(Lsn at) const {
  Lsn record = at;
  if (at.value % kWalPageSize == 0) record = at + wal_header_size(at.value, kWalSegmentSize);
  std::array<std::byte, sizeof(uint32_t)> raw;
  if (read_(record, raw) < raw.size()) return at;
  auto size = load<uint32_t>(raw.data());
  if (size > kMaxWalRecordSize) return at;
  const uint64_t pages = size / (kWalPageSize - kWalLongHeader) + 2;
  return record + size + pages * kWalLongHeader;
}

}  // namespace halogen::safekeeper
