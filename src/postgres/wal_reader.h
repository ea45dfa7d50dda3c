// wal_reader.h: cuts a stream of WAL into records.
//
// Pure: bytes in, records out. Feed consecutive bytes from a record boundary on, in pieces of any
// size; after each feed() call next() until it returns false. One thread at a time.
//
// Bytes that cannot be WAL throw Errc::corrupt, and every later call throws it again; last_end()
// still tells where the good part ended. Zeros where a record or a page header should be are the
// unwritten tail of a segment file: next() returns false and at_zeros() is true from then on.
#pragma once
#include <string>

#include "base/bytes.h"
#include "base/lsn.h"
#include "postgres/major.h"
#include "postgres/wal_page.h"

namespace halogen {

// The fixed head of a record (XLogRecord).
struct WalRecordHeader {
  uint32_t total_size = 0;
  uint32_t xid = 0;
  Lsn prev;
  uint8_t info = 0;
  uint8_t rmgr = 0;
  uint32_t crc = 0;
};
constexpr uint32_t kWalRecordHeaderSize = 24;
constexpr uint32_t kMaxWalRecordSize = 1020u << 20;
// A logical message that is longer is not kept in memory: nobody here reads what it says.
constexpr uint32_t kLongestMessageKept = 1 << 20;

inline WalRecordHeader load_record_header(const void* from) {
  const auto* p = static_cast<const char*>(from);
  return {load<uint32_t>(p),     load<uint32_t>(p + 4), Lsn(load<uint64_t>(p + 8)),
          load<uint8_t>(p + 16), load<uint8_t>(p + 17), load<uint32_t>(p + 20)};
}

// One record as found in the stream. `bytes` lives until the next call of next() or feed().
struct WalRecordView {
  Lsn start;
  // Where the next record may begin, 8-byte aligned: what redo stamps pages with. Of a SWITCH
  // record the end of its segment.
  Lsn end;
  WalRecordHeader header;
  // Header and all, header.total_size bytes. Only the header of a logical message that is longer
  // than kLongestMessageKept, and, without `assemble`, of any record that is not whole in one page.
  Bytes bytes;
};

class WalReader {
 public:
  struct Options {
    const MajorLayout* major = &kMajor15;
    uint32_t segment_size = kWalSegmentSize;
    bool check_crc = true;
    // False: long records are skipped over, not put together (and not CRC-checked): for finding
    // record boundaries cheaply.
    bool assemble = true;
  };

  // `start`: a record boundary, i.e. a record's end, or a page's start that no record runs over.
  // `prev`: the start of the record before, if known, which the first record must point back to.
  explicit WalReader(Lsn start) : WalReader(start, Options{}) {}
  WalReader(Lsn start, Options options, Lsn prev = kInvalidLsn);

  // The bytes at position(). They must live until next() has returned false.
  void feed(Bytes wal);
  bool next(WalRecordView& record);

  Lsn position() const { return position_; }  // Of the next byte to be fed.
  // The last whole record that next() returned; before the first one `prev` and `start` as given.
  Lsn last_start() const { return last_start_; }
  Lsn last_end() const { return last_end_; }
  bool at_zeros() const { return at_zeros_; }

 private:
  enum class Step { again, need_bytes, record };

  Step step(WalRecordView& record);
  Step read_page_header();
  Step skip_tail(WalRecordView& record);
  Step begin_record(WalRecordView& record);
  Step gather_record(WalRecordView& record);
  void check_page_header(const WalPageHeader& header, Bytes bytes);
  void check_record_header(const WalRecordHeader& header) const;
  void take_header();
  void check_record_crc(uint32_t body, Bytes header) const;
  Step finish_record(Bytes bytes, WalRecordView& record);
  void consume(size_t size);
  uint64_t page_left() const { return kWalPageSize - at_ % kWalPageSize; }
  [[noreturn]] void fail(const std::string& what) const;

  Options options_;
  Bytes chunk_;  // What is left of the last feed.
  uint64_t at_;  // LSN of chunk_'s first byte.
  Lsn position_;
  bool page_open_;         // at_'s page header has been read.
  std::string page_head_;  // A page header that came in pieces.

  // The record being read. Nothing gathered: `total_` is 0.
  Lsn start_;
  uint32_t total_ = 0;
  uint32_t got_ = 0;
  std::string gathered_;
  bool keeps_body_ = true;  // False: `gathered_` is the header alone.
  uint32_t body_crc_ = 0;   // Of the part that is not kept.
  uint64_t skip_to_ = 0;    // A SWITCH record was read: its segment ends here.

  Lsn last_start_;
  Lsn last_end_;
  bool at_zeros_ = false;
  mutable bool failed_ = false;
};

}  // namespace halogen
