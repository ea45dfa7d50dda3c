#include "postgres/wal_reader.h"

#include <algorithm>

#include "base/checksum.h"
#include "base/error.h"
#include "postgres/pg15.h"

namespace halogen {
namespace {

bool all_zero(Bytes bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

bool is_switch(const WalRecordHeader& header) {
  return header.rmgr == pg15::rm::xlog &&
         (header.info & pg15::kRmgrInfoMask) == pg15::xlog::kSwitch;
}

}  // namespace

WalReader::WalReader(Lsn start, Options options, Lsn prev)
    : options_(options),
      at_(start.value),
      position_(start),
      page_open_(start.value % kWalPageSize != 0),
      last_start_(prev),
      last_end_(start) {
  if (start.value % 8 != 0)
    throw Error(Errc::invalid_argument, "{} is not a WAL record boundary", start.str());
}

void WalReader::feed(Bytes wal) {
  CHECK(chunk_.empty() || failed_ || at_zeros_, "fed before all records were taken");
  if (failed_) fail("read on after an error");
  if (at_zeros_) return;
  chunk_ = wal;
  position_ = position_ + wal.size();
}

bool WalReader::next(WalRecordView& record) {
  if (failed_) fail("read on after an error");
  for (;;) {
    if (at_zeros_) return false;
    Step step_taken = step(record);
    if (step_taken == Step::record) return true;
    if (step_taken == Step::need_bytes) return false;
  }
}

WalReader::Step WalReader::step(WalRecordView& record) {
  if (skip_to_ != 0) return skip_tail(record);
  // Padding alone never starts a page, so a finished record is told before the next header.
  if (!page_open_) return read_page_header();
  if (total_ == 0 && got_ == 0) return begin_record(record);
  return gather_record(record);
}

// The segment behind a SWITCH record holds nothing; the record counts once all of it is here.
WalReader::Step WalReader::skip_tail(WalRecordView& record) {
  consume(std::min<uint64_t>(chunk_.size(), skip_to_ - at_));
  if (at_ < skip_to_) return Step::need_bytes;
  skip_to_ = 0;
  page_open_ = false;
  return finish_record(as_bytes(gathered_), record);
}

WalReader::Step WalReader::read_page_header() {
  size_t size = wal_header_size(at_ - page_head_.size(), options_.segment_size);
  Bytes taken = chunk_.first(std::min(chunk_.size(), size - page_head_.size()));
  page_head_.append(as_text(taken));
  consume(taken.size());
  if (page_head_.size() < size) {
    page_open_ = false;
    return Step::need_bytes;
  }
  std::string head = std::move(page_head_);
  page_head_.clear();
  if (all_zero(as_bytes(head))) {
    at_zeros_ = true;
    chunk_ = {};
    return Step::need_bytes;
  }
  check_page_header(load_page_header(head.data()), as_bytes(head));
  page_open_ = true;
  return Step::again;
}

void WalReader::check_page_header(const WalPageHeader& header, Bytes bytes) {
  uint64_t page = at_ - bytes.size();
  bool is_long = bytes.size() == kWalLongHeader;
  if (header.magic != options_.major->wal_page_magic)
    fail(fmt::format("page magic {:04X}", header.magic));
  if (header.info & ~kWalPageAllFlags) fail(fmt::format("page flags {:04X}", header.info));
  if (header.address != page) fail(fmt::format("page says it is {}", Lsn(header.address).str()));
  if (is_long != bool(header.info & kWalPageLongHeader)) fail("page header of the wrong length");
  if (is_long && (load<uint32_t>(bytes.data() + 32) != options_.segment_size ||
                  load<uint32_t>(bytes.data() + 36) != kWalPageSize))
    fail("segment of another size");

  bool inside = total_ != 0 || got_ != 0;
  if (inside && (header.info & kWalPageOverwrites)) {
    // A server crashed in the middle of this record and, started again, gave it up.
    total_ = got_ = 0;
    gathered_.clear();
    inside = false;
  }
  bool continues = header.info & kWalPageContinues;
  if (inside != continues) fail(inside ? "the record does not continue" : "a record continues");
  if (inside && header.remaining != total_ - got_) fail("the record continues at another length");
}

// At a record boundary: hands out a record that lies whole in this page and chunk as it is.
WalReader::Step WalReader::begin_record(WalRecordView& record) {
  if (chunk_.empty()) return Step::need_bytes;
  start_ = Lsn(at_);
  gathered_.clear();
  keeps_body_ = true;
  uint64_t in_page = std::min<uint64_t>(chunk_.size(), page_left());
  if (in_page < 4) return gather_record(record);
  uint32_t total = load<uint32_t>(chunk_.data());
  if (total == 0) {
    at_zeros_ = true;
    chunk_ = {};
    return Step::need_bytes;
  }
  if (total < kWalRecordHeaderSize || total > kMaxWalRecordSize)
    fail(fmt::format("record of {} bytes", total));
  if (wal_align(total) > in_page) return gather_record(record);

  Bytes bytes = chunk_.first(total);
  WalRecordHeader header = load_record_header(bytes.data());
  check_record_header(header);
  if (is_switch(header)) return gather_record(record);
  if (options_.check_crc) check_record_crc(crc32c(bytes.subspan(kWalRecordHeaderSize)), bytes);
  consume(wal_align(total));
  return finish_record(bytes, record);
}

WalReader::Step WalReader::gather_record(WalRecordView& record) {
  while (got_ < 4 || got_ < total_) {
    uint64_t wanted = got_ < 4 ? 4 - got_ : total_ - got_;
    uint64_t size = std::min<uint64_t>({chunk_.size(), page_left(), wanted});
    if (size == 0) return Step::need_bytes;
    Bytes part = chunk_.first(size);
    bool had_header = gathered_.size() >= kWalRecordHeaderSize;
    if (keeps_body_)
      gathered_.append(as_text(part));
    else if (options_.assemble)
      body_crc_ = crc32c_extend(body_crc_, part);
    got_ += size;
    if (got_ == 4) {
      total_ = load<uint32_t>(gathered_.data());
      if (total_ == 0) {
        at_zeros_ = true;
        chunk_ = {};
        return Step::need_bytes;
      }
      if (total_ < kWalRecordHeaderSize || total_ > kMaxWalRecordSize)
        fail(fmt::format("record of {} bytes", total_));
    }
    if (!had_header && gathered_.size() >= kWalRecordHeaderSize) take_header();
    consume(size);
    if (!page_open_ && got_ < total_) return Step::again;
  }
  // The padding belongs to the record: its end is where the next one may begin.
  size_t padding = wal_align(at_) - at_;
  if (chunk_.size() < padding) {
    consume(chunk_.size());
    return Step::need_bytes;
  }
  consume(padding);
  if (options_.assemble && options_.check_crc) {
    const Bytes all = as_bytes(gathered_);
    check_record_crc(keeps_body_ ? crc32c(all.subspan(kWalRecordHeaderSize)) : body_crc_, all);
  }
  if (is_switch(load_record_header(gathered_.data()))) {
    skip_to_ = segment_start(Lsn(at_ + options_.segment_size - 1), options_.segment_size);
    return Step::again;
  }
  return finish_record(as_bytes(gathered_), record);
}

void WalReader::check_record_header(const WalRecordHeader& header) const {
  if (header.rmgr > options_.major->last_builtin_rmgr && header.rmgr < pg15::rm::kFirstCustom)
    fail(fmt::format("record of resource manager {}", header.rmgr));
  bool linked = last_start_.valid() ? header.prev == last_start_ : header.prev < start_;
  if (!linked)
    fail(fmt::format("record points back to {}, not {}", header.prev.str(), last_start_.str()));
}

// The header is here, maybe with the beginning of the body.
void WalReader::take_header() {
  const WalRecordHeader header = load_record_header(gathered_.data());
  check_record_header(header);
  const bool long_message =
      header.rmgr == pg15::rm::logicalmsg && header.total_size > kLongestMessageKept;
  if (options_.assemble && !long_message) return;
  keeps_body_ = false;
  body_crc_ = crc32c(as_bytes(gathered_).subspan(kWalRecordHeaderSize));
  gathered_.resize(kWalRecordHeaderSize);
}

// `body`: the checksum of all behind the header.
void WalReader::check_record_crc(uint32_t body, Bytes header) const {
  const uint32_t crc = crc32c_extend(body, header.first(20));
  if (crc != load<uint32_t>(header.data() + 20)) fail("record with a wrong checksum");
}

WalReader::Step WalReader::finish_record(Bytes bytes, WalRecordView& record) {
  record.start = start_;
  record.end = Lsn(at_);
  record.header = load_record_header(bytes.data());
  record.bytes = bytes;
  last_start_ = start_;
  last_end_ = record.end;
  total_ = got_ = 0;
  return Step::record;
}

void WalReader::consume(size_t size) {
  if (size == 0) return;
  chunk_ = chunk_.subspan(size);
  at_ += size;
  if (at_ % kWalPageSize == 0) page_open_ = false;
}

void WalReader::fail(const std::string& what) const {
  failed_ = true;
  throw Error(Errc::corrupt, "bad WAL at {}: {} (the last whole record ended at {})",
              Lsn(at_).str(), what, last_end_.str());
}

}  // namespace halogen
