// A safekeeper's state file made of any bytes: read, or refused as corrupt; and the log that it
// goes with, damaged anywhere: what is found in it are its own records, and the walk ends.
#include <algorithm>

#include "base/checksum.h"
#include "base/error.h"
#include "safekeeper/durable_state.h"
#include "safekeeper/record_scan.h"
#include "safekeeper/test_wal.h"

using namespace halogen;
using namespace halogen::safekeeper;

namespace {

void read_state(Bytes bytes) {
  try {
    (void)StateFile::parse(bytes);
  } catch (const Error& error) {
    CHECK(error.code() == Errc::corrupt, "{}", error.what());
  }
}

// As the slot's fields, with the checksum that they lack: the rest of the program trusts that.
void read_sealed_state(Bytes bytes) {
  constexpr size_t kFields = 72;
  constexpr size_t kSlot = 4096;
  if (bytes.size() < kFields) return;
  std::string slot = Writer().bytes(bytes.first(kFields)).put(crc32c(bytes.first(kFields))).take();
  slot.resize(kSlot);
  read_state(as_bytes(slot + slot));
}

RecordScan::Read reader_of(std::string_view wal, Lsn start) {
  return [wal, start](Lsn from, std::span<std::byte> into) -> size_t {
    if (from < start || from - start >= wal.size()) return 0;
    const size_t size = std::min<size_t>(into.size(), wal.size() - (from - start));
    std::memcpy(into.data(), wal.data() + (from - start), size);
    return size;
  };
}

// Any bytes as WAL.
void scan_anything(Bytes bytes, Lsn start, bool start_is_record) {
  const RecordScan scan(reader_of(as_text(bytes), start), start, start_is_record);
  const Lsn end = start + bytes.size();
  for (Lsn limit : {end, start + bytes.size() / 2}) {
    const RecordWalk walk = scan.last_record(limit);
    if (walk.last) CHECK(walk.last->start >= start && walk.last->end > walk.last->start);
    CHECK(scan.reach(limit) >= limit);
  }
}

// A log of records whose sizes the input says, then some of its bytes changed.
void scan_damaged(Reader& in) {
  const Lsn start(3 * kWalSegmentSize - 8 * (in.get<uint16_t>() % 1000));
  WalBuilder log(start);
  for (uint8_t records = in.get<uint8_t>() % 12; records > 0; --records)
    log.add(in.get<uint16_t>() % 12'000);
  std::string wal = log.wal();
  const Lsn limit = start + (wal.empty() ? 0 : in.get<uint32_t>() % (wal.size() + 1));
  const bool damaged = in.left() >= 5 && !wal.empty();
  while (in.left() >= 5 && !wal.empty()) {
    const uint32_t at = in.get<uint32_t>();
    wal[at % wal.size()] = static_cast<char>(in.get<uint8_t>());
  }
  const RecordWalk walk = RecordScan(reader_of(wal, start), start, true).last_record(limit);
  const auto& records = log.records();
  if (walk.last)
    CHECK(std::any_of(records.begin(), records.end(), [&](const RecordPlace& place) {
      return place.start == walk.last->start && place.end == walk.last->end && place.end <= limit;
    }));
  if (damaged) return;
  std::optional<RecordPlace> whole = log.last_complete(limit);
  CHECK(whole.has_value() == walk.last.has_value() && !walk.problem);
  if (whole) CHECK(whole->start == walk.last->start);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Bytes input(reinterpret_cast<const std::byte*>(data), size);
  read_state(input);
  read_sealed_state(input);
  scan_anything(input, Lsn(2 * kWalSegmentSize), false);
  scan_anything(input, Lsn(2 * kWalSegmentSize + kWalLongHeader), true);
  try {
    Reader in(input);
    scan_damaged(in);
  } catch (const Error& error) {
    CHECK(error.code() == Errc::corrupt, "{}", error.what());  // The input has ended.
  }
  return 0;
}
