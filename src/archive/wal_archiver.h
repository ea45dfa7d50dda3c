// wal_archiver.h: copies each timeline's WAL to the store, as pieces within one segment; a segment
// that is finished becomes one piece, and the smaller ones go.
//
// Threads: any; of one timeline, one upload() and one trim() at a time.
#pragma once
#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "archive/formats.h"
#include "base/mutex.h"
#include "objectstore/object_store.h"
#include "protocol/archived.h"

namespace halogen::archive {

class WalArchiver {
 public:
  WalArchiver(objectstore::ObjectStore& store, ArchivedWal& source, Generation generation)
      : store_(store), source_(source), generation_(generation) {}

  // A piece that was in the store when we came. Before the first upload().
  void found(TimelineId timeline, const PieceKey& piece);
  // Puts all WAL that is durable and not there. Errors of the source and the store. Of one timeline
  // a second one waits for the first.
  void upload(TimelineId timeline);
  // As ArchiveNews::wal_cut.
  void cut(TimelineId timeline, Lsn end);
  // All WAL up to here is in the store. nullopt: it has nothing of this timeline.
  std::optional<Lsn> end(TimelineId timeline);
  // Removes whole segments below `lsn`, and below what its safekeeper keeps.
  void trim(TimelineId timeline, Lsn lsn);
  // All that there is of it; nothing is remembered any more.
  std::vector<std::string> forget(TimelineId timeline);

 private:
  struct State {
    std::vector<PieceKey> pieces;
    Lsn end;
    bool ours = false;  // This generation has put a piece.
    Lsn oldest;         // What its safekeeper kept, at the last upload.
    uint64_t cuts = 0;
  };
  // What upload() goes on with.
  struct Position {
    Lsn from;
    uint64_t cuts = 0;
    bool nothing_yet = false;
  };

  std::optional<Position> position(TimelineId timeline, const StoredWal& wal);
  void put(TimelineId timeline, const StoredWal& wal, Lsn from, Lsn to, uint64_t cuts);
  void remove(TimelineId timeline, const std::vector<PieceKey>& pieces);
  std::vector<PieceKey> take_below(TimelineId timeline, Lsn from, Lsn to, uint64_t before);

  objectstore::ObjectStore& store_;
  ArchivedWal& source_;
  const Generation generation_;
  std::array<Mutex, 64> uploads_;       // Each is some timelines'; held while one is uploaded.
  std::atomic<uint64_t> sequence_ = 0;  // Of the last piece.
  Mutex mutex_;
  std::map<TimelineId, State> states_ GUARDED_BY(mutex_);
};

}  // namespace halogen::archive
