#include "archive/wal_archiver.h"

#include <algorithm>

#include "archive/wal_chain.h"
#include "base/error.h"

namespace halogen::archive {
namespace {

constexpr uint64_t kSegment = 16 << 20;

Lsn segment_of(Lsn lsn) { return Lsn(lsn.value - lsn.value % kSegment); }

}  // namespace

void WalArchiver::found(TimelineId timeline, const PieceKey& piece) {
  MutexLock lock(mutex_);
  State& state = states_[timeline];
  state.pieces.push_back(piece);
  state.end = chain_of(state.pieces).back().to;
}

std::optional<Lsn> WalArchiver::end(TimelineId timeline) {
  MutexLock lock(mutex_);
  auto state = states_.find(timeline);
  if (state == states_.end() || state->second.pieces.empty()) return std::nullopt;
  return state->second.end;
}

void WalArchiver::cut(TimelineId timeline, Lsn end) {
  MutexLock lock(mutex_);
  auto state = states_.find(timeline);
  if (state == states_.end()) return;
  state->second.cuts++;
  state->second.end = std::min(state->second.end, end);
}

// Where to go on. After a restart of this program that is where the unfinished segment begins: the
// end of a log that was cut short may have been written anew. nullopt: all is there.
std::optional<WalArchiver::Position> WalArchiver::position(TimelineId timeline,
                                                           const StoredWal& wal) {
  MutexLock lock(mutex_);
  State& state = states_[timeline];
  state.oldest = std::max(wal.oldest, wal.start);
  if (state.pieces.empty()) return Position{state.oldest, state.cuts, true};
  const bool same_term =
      std::max_element(state.pieces.begin(), state.pieces.end())->term == wal.term;
  if (state.end >= wal.flushed && (state.ours || same_term)) return std::nullopt;
  const Lsn from = state.ours ? state.end : segment_of(std::min(state.end, wal.flushed));
  return Position{std::max(from, state.oldest), state.cuts, false};
}

void WalArchiver::upload(TimelineId timeline) {
  MutexLock uploading(uploads_[IdHash()(timeline) % uploads_.size()]);
  const StoredWal wal = source_.stored_wal(timeline);
  const std::optional<Position> at = position(timeline, wal);
  if (!at) return;
  Lsn from = at->from;
  // That the timeline is there, and where it begins, is worth a piece without WAL.
  if (at->nothing_yet && from >= wal.flushed) put(timeline, wal, from, from, at->cuts);
  while (from < wal.flushed) {
    const Lsn segment_end = segment_of(from) + kSegment;
    const Lsn to = std::min(wal.flushed, segment_end);
    const bool whole = to == segment_end;
    put(timeline, wal, whole ? std::max(segment_of(from), std::max(wal.oldest, wal.start)) : from,
        to, at->cuts);
    from = to;
  }
}

void WalArchiver::put(TimelineId timeline, const StoredWal& wal, Lsn from, Lsn to, uint64_t cuts) {
  WalPiece piece{.timeline = timeline,
                 .system_identifier = wal.system_identifier,
                 .start = wal.start,
                 .term = wal.term,
                 .from = from,
                 .wal = from == to ? "" : source_.read_wal(timeline, from, to)};
  const PieceKey key{generation_, ++sequence_, wal.term, from, to};
  store_.put(key_of(timeline, key), objectstore::Content::of(piece.encode()));
  {
    MutexLock lock(mutex_);
    State& state = states_[timeline];
    state.pieces.push_back(key);
    state.ours = true;
    if (state.cuts != cuts) throw Error(Errc::cancelled, "the log was cut meanwhile");
    state.end = to;
  }
  if (to == segment_of(to) && from < to)
    remove(timeline, take_below(timeline, from, to, key.sequence));
}

// Pieces within [from, to) that were put before that one, which has the same.
std::vector<PieceKey> WalArchiver::take_below(TimelineId timeline, Lsn from, Lsn to,
                                              uint64_t before) {
  std::vector<PieceKey> taken;
  MutexLock lock(mutex_);
  auto state = states_.find(timeline);
  if (state == states_.end()) return taken;
  std::erase_if(state->second.pieces, [&](const PieceKey& piece) {
    const bool older = piece.generation < generation_ || piece.sequence < before;
    if (!older || piece.from < from || piece.to > to) return false;
    taken.push_back(piece);
    return true;
  });
  return taken;
}

void WalArchiver::remove(TimelineId timeline, const std::vector<PieceKey>& pieces) {
  for (const PieceKey& piece : pieces) store_.remove(key_of(timeline, piece));
}

void WalArchiver::trim(TimelineId timeline, Lsn lsn) {
  std::vector<PieceKey> taken;
  {
    MutexLock lock(mutex_);
    auto state = states_.find(timeline);
    if (state == states_.end() || !state->second.ours) return;
    const Lsn keep = segment_of(std::min({lsn, state->second.oldest, state->second.end}));
    std::erase_if(state->second.pieces, [&](const PieceKey& piece) {
      if (piece.to > keep || piece.from == piece.to) return false;
      taken.push_back(piece);
      return true;
    });
  }
  remove(timeline, taken);
}

std::vector<std::string> WalArchiver::forget(TimelineId timeline) {
  std::vector<std::string> keys;
  MutexLock lock(mutex_);
  for (const PieceKey& piece : states_[timeline].pieces) keys.push_back(key_of(timeline, piece));
  states_.erase(timeline);
  return keys;
}

}  // namespace halogen::archive
