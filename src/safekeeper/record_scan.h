// record_scan.h: finds the last complete record of a stored log, to cut the log behind it, and
// tells a log that merely ends from one that is damaged.
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

// What a walk along a log has found.
struct RecordWalk {
  std::optional<RecordPlace> last;  // The last complete record.
  // Why the walk ended before its limit, unless only because a record goes on beyond the limit.
  std::optional<std::string> problem;
  Lsn problem_at;  // Where the record begins that cannot be read.
};

class RecordScan {
 public:
  // Reads stored WAL into the buffer; returns how much there is (less at the end of the store).
  using Read = std::function<size_t(Lsn from, std::span<std::byte> into)>;

  // No record begins before `floor`, which is a record's beginning if `floor_is_record`, else a
  // page's.
  RecordScan(Read read, Lsn floor, bool floor_is_record)
      : read_(std::move(read)), floor_(floor), floor_is_record_(floor_is_record) {}

  // Finds the last complete record that ends at or below `limit`. Requires that WAL was written up
  // to `limit`: bytes there that are no WAL are a problem, never the end of the log.
  RecordWalk last_record(Lsn limit) const;
  // Walks along the records that follow one another from `at` on, which is behind `before`.
  // Returns `before` as the last one if there are none.
  RecordWalk follow(Lsn at, std::optional<RecordPlace> before, Lsn limit) const;
  // A position that the record which begins at `at` does not go beyond, by the length it states;
  // `at` itself if it states none that is possible.
  Lsn reach(Lsn at) const;

 private:
  std::optional<Lsn> first_record_in(Lsn page) const;

  const Read read_;
  const Lsn floor_;
  const bool floor_is_record_;
};

}  // namespace halogen::safekeeper
