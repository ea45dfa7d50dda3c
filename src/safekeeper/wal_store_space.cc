// The room of a WalStore on disk: allocated ahead of the writer, given back by trim().
#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "safekeeper/wal_store.h"

namespace halogen::safekeeper {
namespace {

const log::Logger logger("safekeeper");

constexpr uint64_t kMinChunk = 256 * 1024;
constexpr uint64_t kMaxChunk = kWalSegmentSize;
// A store that uses up a chunk in less than this gets bigger ones, one that needs longer than
// kSlow smaller ones: small branches stay small on disk, busy ones never wait for room.
constexpr std::chrono::seconds kFast{10};
constexpr std::chrono::seconds kSlow{120};

Lsn round_up(Lsn lsn) { return Lsn((lsn.value + kMinChunk - 1) / kMinChunk * kMinChunk); }

}  // namespace

void WalStore::ensure_space(Lsn end) {
  bool ask = false;
  bool enough = false;
  {
    MutexLock lock(mutex_);
    enough = end <= prepared_;
    if (!space_wanted_ && end + chunk_ / 2 > prepared_) ask = space_wanted_ = true;
  }
  if (!enough) prepare(round_up(end));
  if (ask && options_.want_space) options_.want_space();
}

Lsn WalStore::keep_room(Lsn written, Lsn wanted) {
  bool ahead = false;
  {
    MutexLock lock(mutex_);
    if (wanted <= prepared_ && written + chunk_ / 2 <= prepared_) return prepared_;
    ahead = written + chunk_ / 2 > prepared_;
  }
  if (ahead) prepare_ahead(written);
  return room_for(wanted);
}

Lsn WalStore::room_for(Lsn wanted) {
  prepare(round_up(wanted));
  MutexLock lock(mutex_);
  return prepared_;
}

// Takes part as one that prepares, as nobody must meanwhile.
void WalStore::clear_behind(Lsn end) {
  {
    MutexLock lock(mutex_);
    while (preparing_) changed_.wait(mutex_);
    preparing_ = true;
  }
  auto finish = [&](Lsn prepared) {
    MutexLock lock(mutex_);
    prepared_ = prepared;
    preparing_ = false;
    changed_.notify_all();
  };
  try {
    for (Lsn segment : files_.list())
      if (segment > segment_of(end)) files_.remove(segment);
    finish(files_.end_at(end));
  } catch (...) {
    finish(end);
    throw;
  }
}

void WalStore::prepare_ahead(Lsn written) {
  Lsn upto;
  {
    MutexLock lock(mutex_);
    space_wanted_ = false;
    auto now = steady_clock::now();
    auto since = now - last_prepared_;
    last_prepared_ = now;
    if (since < kFast)
      chunk_ = std::min(chunk_ * 2, kMaxChunk);
    else if (since > kSlow)
      chunk_ = std::max(chunk_ / 2, kMinChunk);
    // The writer's end is between flushed_ and prepared_.
    upto = round_up(std::max(flushed_, written) + chunk_);
  }
  prepare(upto);
}

// Bytes beyond prepared_ are written by nobody else: the writer waits until they are prepared.
void WalStore::prepare(Lsn upto) {
  Lsn from;
  {
    MutexLock lock(mutex_);
    while (preparing_ && prepared_ < upto) changed_.wait(mutex_);
    // What lies behind the end of a damaged log is to be kept.
    if (prepared_ >= upto || !damage_.empty()) return;
    preparing_ = true;
    from = prepared_;
  }
  Lsn reached = from;
  auto finish = [&] {
    MutexLock lock(mutex_);
    prepared_ = reached;
    preparing_ = false;
    changed_.notify_all();
  };
  try {
    run_hook("allocate");
    files_.allocate(from, upto);
    reached = upto;
  } catch (...) {
    finish();
    throw;
  }
  finish();
}

void WalStore::trim(Lsn lsn) {
  // begin_term() must find the last complete record, even if it is long.
  RecordWalk walk = scan().last_record(flushed());
  if (walk.problem || !damage().empty()) return;  // What may be needed to mend it is kept.
  const std::optional<RecordPlace>& last = walk.last;
  Lsn keep = std::min(lsn, last ? last->start : identity_.start);
  {
    MutexLock lock(mutex_);
    for (const Reader* reader : readers_) keep = std::min(keep, reader->held_);
  }
  const Lsn from = segment_of(oldest());
  const Lsn to = segment_of(keep);
  if (to <= from) return;
  // With how far the log is flushed: the record that is kept may be behind what is on record, and
  // nothing before it is left from which a start could find it.
  save([this, to](DurableState& state) {
    state.oldest = std::max(state.oldest, to);
    state.flushed = std::max(state.flushed, flushed());
  });
  for (Lsn at = from; at < to; at = at + kWalSegmentSize) files_.remove(at);
  logger.debug("{}: WAL below {} trimmed", identity_.id.str(), to.str());
}

}  // namespace halogen::safekeeper
