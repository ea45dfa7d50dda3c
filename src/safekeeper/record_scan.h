// record_scan.h: finds the last complete record of a stored log, to cut the log behind it.
//
// Nothing is tracked while WAL streams in: a page header says where in its page the first record
// begins, so the last complete record is found from the end of the log backwards, in a few page
// reads. Every record is checked by its CRC and its link to the one before.
#pragma once
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "base/bytes.h"
#include "base/lsn.h"

namespace halogen::safekeeper {

struct RecordPlace {
  Lsn start;
  Lsn end;  // Padding included. Of a segment switch: the end of its segment.
};

class RecordScan {
 public:
  // Reads stored WAL into the buffer; returns how much there is (less at the end of the store).
  using Read = std::function<size_t(Lsn from, std::span<std::byte> into)>;

  // No record begins before `floor`, which is a record's beginning if `floor_is_record`, else a
  // page's.
  RecordScan(Read read, Lsn floor, bool floor_is_record)
      : read_(std::move(read)), floor_(floor), floor_is_record_(floor_is_record) {}

  // The last complete record that ends at or below `limit`; nullopt if there is none.
  std::optional<RecordPlace> last_record(Lsn limit) const;
  // The last of the complete records that follow one another from `at` on, which is behind
  // `before`; `before` itself if there are none.
  std::optional<RecordPlace> follow(Lsn at, std::optional<RecordPlace> before, Lsn limit) const;

 private:
  std::optional<Lsn> first_record_in(Lsn page) const;

  const Read read_;
  const Lsn floor_;
  const bool floor_is_record_;
};

}  // namespace halogen::safekeeper
