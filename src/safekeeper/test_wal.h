// test_wal.h: makes WAL as Postgres would, for tests: records of any size over page headers.
#pragma once
#include <string>
#include <vector>

#include "base/checksum.h"
#include "postgres/major.h"
#include "postgres/wal_page.h"
#include "safekeeper/record_scan.h"

namespace halogen::safekeeper {

class WalBuilder {
 public:
  explicit WalBuilder(Lsn start, uint64_t system = 42) : start_(start), system_(system) {}

  // `payload` bytes behind the record's header.
  RecordPlace add(size_t payload, uint8_t info = 0, uint8_t manager = 10) {
    if (at() % kWalPageSize == 0) put_page_header(0);
    std::string record = make_record(payload, info, manager);
    RecordPlace place{.start = Lsn(at()), .end = {}};
    size_t done = 0;
    while (done < record.size()) {
      if (at() % kWalPageSize == 0) put_page_header(record.size() - done);
      size_t size = std::min<size_t>(record.size() - done, kWalPageSize - at() % kWalPageSize);
      wal_.append(record, done, size);
      done += size;
    }
    wal_.append(wal_align(at()) - at(), '\0');
    place.end = Lsn(at());
    prev_ = place.start;
    records_.push_back(place);
    return place;
  }

  // A SWITCH record, and the rest of its segment.
  RecordPlace add_switch() {
    add(0, 0x40, 0);
    while (at() % kWalSegmentSize != 0) {
      if (at() % kWalPageSize == 0) put_page_header(0);
      wal_.append(kWalPageSize - at() % kWalPageSize, '\0');
    }
    records_.back().end = Lsn(at());
    return records_.back();
  }

  // Forgets what is behind `end`, which is a record's end or the start.
  void cut(Lsn end) {
    wal_.resize(end - start_);
    while (!records_.empty() && records_.back().end > end) records_.pop_back();
    prev_ = records_.empty() ? Lsn() : records_.back().start;
  }

  Lsn end() const { return Lsn(at()); }
  const std::string& wal() const { return wal_; }
  const std::vector<RecordPlace>& records() const { return records_; }
  Bytes between(Lsn from, Lsn to) const {
    return as_bytes(std::string_view(wal_).substr(from - start_, to - from));
  }
  // The last record that is complete at `limit`.
  std::optional<RecordPlace> last_complete(Lsn limit) const {
    std::optional<RecordPlace> last;
    for (const RecordPlace& place : records_) {
      if (place.end <= limit) last = place;
    }
    return last;
  }

 private:
  uint64_t at() const { return start_.value + wal_.size(); }

  void put_page_header(size_t remaining) {
    wal_ += encode_page_header({.magic = kMajor15.wal_page_magic,
                                .info = remaining ? kWalPageContinues : uint16_t{0},
                                .address = at(),
                                .remaining = static_cast<uint32_t>(remaining)},
                               system_, kWalSegmentSize);
  }

  std::string make_record(size_t payload, uint8_t info, uint8_t manager) const {
    Writer out;
    out.put(static_cast<uint32_t>(24 + payload)).put(uint32_t{7}).put(prev_.value);
    out.put(info).put(manager).put(uint16_t{0}).put(uint32_t{0});
    for (size_t i = 0; i < payload; ++i) out.put(static_cast<uint8_t>(i * 31 + payload));
    std::string record = out.take();
    Bytes bytes = as_bytes(record);
    store(record.data() + 20, crc32c_extend(crc32c(bytes.subspan(24)), bytes.first(20)));
    return record;
  }

  Lsn start_;
  uint64_t system_;
  Lsn prev_;
  std::string wal_;
  std::vector<RecordPlace> records_;
};

}  // namespace halogen::safekeeper
