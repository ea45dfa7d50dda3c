// segment_files.h: a folder of WAL segments of 16 MB, named as Postgres names them (timeline 1).
//
// Every file has its full length from the beginning; what has not been written yet reads as zeros.
// Safe from any thread as long as no two write the same bytes.
#pragma once
#include <optional>
#include <span>
#include <vector>

#include "base/file.h"
#include "base/lsn.h"
#include "postgres/wal_page.h"

namespace halogen::safekeeper {

inline Lsn segment_of(Lsn lsn) { return Lsn(segment_start(lsn, kWalSegmentSize)); }

class SegmentFiles {
 public:
  explicit SegmentFiles(fs::path folder) : folder_(std::move(folder)) {}

  fs::path path(Lsn lsn) const { return folder_ / wal_segment_name(lsn, kWalSegmentSize); }
  // not_found if it does not exist.
  UniqueFd open(Lsn lsn, int flags) const;
  // Creates the segment that holds `lsn`, durably, unless it exists.
  UniqueFd open_or_create(Lsn lsn) const;
  // Those that exist, by their first byte, in order.
  std::vector<Lsn> list() const;
  void remove(Lsn lsn) const;

  // Up to into.size() bytes, never over the end of a segment; 0 if there is no such segment.
  size_t read(Lsn from, std::span<std::byte> into) const;
  void sync(Lsn lsn) const;
  // Which segments there are.
  void sync_names() const { fsync_folder(folder_); }
  // Gives the segment that holds `lsn`, which is made if it does not exist, a second name in the
  // open folder. Whatever has that name there goes.
  void link(Lsn lsn, int folder) const;
  // Whether the segment exists and has a name in another folder.
  bool linked_elsewhere(Lsn lsn) const;
  // Ends the log at `end`, durably: behind it the segment holds zeros, and nobody who has it open
  // or linked elsewhere can change that. Returns how far there is room, as zero_rest() does.
  Lsn end_at(Lsn end) const;
  // What an end_at() that was cut short has left.
  void remove_unfinished() const;
  // Whether any byte from `from` to the end of its segment is other than zero.
  bool has_data(Lsn from) const;

  // Allocates [from, to) on disk and fills it with zeros, durably, so that a later write and
  // fdatasync there changes no metadata. Throws Errc::io when there is no room.
  void allocate(Lsn from, Lsn to) const;
  // Durably makes zeros of [from, to), where it exists.
  void zero(Lsn from, Lsn to) const;
  // As zero(), to the end of the segment, but writes only where there is something else. Returns up
  // to where the zeros from `from` on have been written, and are not only a hole.
  Lsn zero_rest(Lsn from) const;

 private:
  void renew(Lsn end) const;
  template <typename Take>
  void each_nonzero_piece(int fd, Lsn from, Take take) const;
  template <typename Action>
  void each_segment(Lsn from, Lsn to, Action action) const;

  const fs::path folder_;
};

}  // namespace halogen::safekeeper
