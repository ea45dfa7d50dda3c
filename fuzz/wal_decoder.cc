// wal_decoder.cc: WAL as a compute might send it, damaged or made up: framing, decoding, images,
// and all that ingest does with a record. Anything may be refused as corrupt; nothing else.
#include <optional>

#include "base/error.h"
#include "pageserver/ingest/apply.h"
#include "postgres/wal_reader.h"
#include "postgres/wal_record.h"

namespace halogen::pageserver {
namespace {

template <typename F>
void may_be_corrupt(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    CHECK(error.code() == Errc::corrupt, "{}", error.what());
  }
}

void apply_changes(const Change& change, Lsn end) {
  std::string page(kPageSize, '\0');
  for (const Put& put : change.puts())
    if (put.kind == ValueKind::native)
      apply_native(put.key, std::span<char, kPageSize>(page.data(), kPageSize), end, put.bytes);
}

void take_record(Bytes bytes, Change& change, Lsn end) {
  WalRecord record;
  record.decode(bytes);
  char page[kPageSize];
  for (const BlockRef& block : record.blocks()) {
    if (block.has_image) may_be_corrupt([&] { restore_image(block.image, page); });
  }
  // A truncated multixact range may be wide; it is walked segment by segment.
  change.begin(end);
  apply_record(change, record, end);
  change.finish();
  apply_changes(change, end);
}

// The bytes as one record, its length made right.
void decode_record(Bytes bytes) {
  if (bytes.size() < kWalRecordHeaderSize) return;
  std::string record(as_text(bytes));
  store(record.data(), static_cast<uint32_t>(record.size()));
  Head head;
  Change change(head, kMajor15);
  may_be_corrupt([&] { take_record(as_bytes(record), change, Lsn(0x2000000)); });
}

// The bytes as a stream that begins in the middle of a page, fed in pieces.
void read_stream(Bytes bytes, size_t piece, bool assemble) {
  WalReader reader(Lsn(0x2000000 - 512), {.check_crc = false, .assemble = assemble});
  Head head;
  Change change(head, kMajor15);
  WalRecordView view;
  may_be_corrupt([&] {
    while (!bytes.empty() && !reader.at_zeros()) {
      size_t size = std::min(piece, bytes.size());
      reader.feed(bytes.first(size));
      bytes = bytes.subspan(size);
      while (reader.next(view))
        if (assemble) may_be_corrupt([&] { take_record(view.bytes, change, view.end); });
    }
  });
}

}  // namespace
}  // namespace halogen::pageserver

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace halogen;
  if (size < 2) return 0;
  Bytes bytes(reinterpret_cast<const std::byte*>(data) + 2, size - 2);
  if (data[0] & 1)
    pageserver::decode_record(bytes);
  else
    pageserver::read_stream(bytes, size_t{data[1]} + 1, data[0] & 2);
  return 0;
}
