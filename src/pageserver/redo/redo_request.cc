#include "pageserver/redo/redo_request.h"

#include "base/error.h"
#include "protocol/redo_protocol.h"

namespace halogen::pageserver {
namespace {

static_assert(REDO_PAGE_SIZE == kPageSize);

constexpr size_t kStepSize = 4 << 20;  // More records than this go in another request.

// PageHeaderData begins with the LSN as two 32-bit halves, the high one first.
Lsn page_lsn(Bytes page) {
  return Lsn(uint64_t{load<uint32_t>(page.data())} << 32 | load<uint32_t>(page.data() + 4));
}

size_t padded(size_t size) { return (size + 7) & ~size_t{7}; }

void append_padded(std::string& out, Bytes bytes) {
  out.append(as_text(bytes));
  out.append(padded(bytes.size()) - bytes.size(), '\0');
}

size_t encoded_size(const RedoRecord& record) {
  return sizeof(RedoRecordHeader) + padded(record.record.size());
}

}  // namespace

void check_chain(const PageKey& key, std::optional<Bytes> base,
                 std::span<const RedoRecord> records) {
  if (key.tag.kind != PageKind::relation || key.tag.fork >= kForks)
    throw Error(Errc::invalid_argument, "redo is for pages of relations");
  if (base && base->size() != kPageSize)
    throw Error(Errc::corrupt, "a base page has {} bytes", base->size());
  Lsn before = base ? page_lsn(*base) : kInvalidLsn;
  for (const RedoRecord& record : records) {
    if (record.end <= before)
      throw Error(Errc::corrupt, "record ending at {} cannot follow {} on a page", record.end.str(),
                  before.str());
    before = record.end;
    if (encoded_size(record) + kPageSize > REDO_MAX_REQUEST)
      throw Error(Errc::corrupt, "a record of {} bytes changes a page", record.record.size());
  }
}

size_t encode_request(const PageKey& key, std::optional<Bytes> base,
                      std::span<const RedoRecord> records, std::string& out) {
  size_t size = base ? kPageSize : 0;
  size_t count = 0;
  for (; count < records.size(); ++count) {
    size_t more = encoded_size(records[count]);
    if (count > 0 && size + more > kStepSize) break;
    size += more;
  }
  RedoRequest request{REDO_REQUEST_MAGIC, static_cast<uint32_t>(size),
                      key.tag.spc,        key.tag.db,
                      key.tag.rel,        key.block,
                      key.tag.fork};
  request.flags = base ? REDO_HAS_BASE : 0;
  request.records = static_cast<uint32_t>(count);

  out.clear();
  out.reserve(sizeof request + size);
  out.append(reinterpret_cast<const char*>(&request), sizeof request);
  if (base) out.append(as_text(*base));
  for (const RedoRecord& record : records.first(count)) {
    RedoRecordHeader header{record.end.value, static_cast<uint32_t>(record.record.size()), 0};
    out.append(reinterpret_cast<const char*>(&header), sizeof header);
    append_padded(out, record.record);
  }
  return count;
}

}  // namespace halogen::pageserver
