#include "safekeeper/wal_store.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/metrics.h"
#include "postgres/major.h"
#include "protocol/in_place_wal.h"

namespace halogen::safekeeper {
namespace {

const log::Logger logger("safekeeper");

// No more than this is ever written without being flushed, so what a crash tears is no longer.
constexpr uint64_t kMaxUnflushed = 2 * kMostUnsyncedWal;

metrics::Counter bytes_total =
    metrics::counter("halogen_safekeeper_wal_bytes_total", "WAL made durable, in bytes.");
metrics::Counter flushes_total =
    metrics::counter("halogen_safekeeper_flushes_total", "Group flushes of WAL.");
metrics::Histogram flush_seconds = metrics::histogram("halogen_safekeeper_flush_seconds",
                                                      "How long a group flush (fdatasync) takes.");

// The headers that readers expect before `start`, where this store has no WAL: of the segment, and
// of the page that `start` is in.
void write_first_headers(const SegmentFiles& files, const DurableState& state) {
  UniqueFd fd = files.open_or_create(state.start);
  Lsn page(page_start(state.start));
  for (Lsn at : {segment_of(state.start), page}) {
    if (at == state.start) continue;  // Postgres will write it.
    std::string header = encode_page_header({.magic = kMajor15.wal_page_magic, .address = at.value},
                                            state.system_identifier, kWalSegmentSize);
    pwrite_all(fd.get(), as_bytes(header), at.value % kWalSegmentSize);
  }
  fsync_or_die(fd.get(), "first segment");
}

}  // namespace

void WalStore::create(const fs::path& folder, const DurableState& state) {
  fs::path temporary = folder;
  temporary += ".tmp";
  fs::remove_all(temporary);
  fs::create_directories(temporary);
  write_first_headers(SegmentFiles(temporary), state);
  StateFile::create(temporary / kStateName, state);
  fsync_folder(temporary);
  fs::rename(temporary, folder);
  fsync_folder(folder.parent_path());
}

WalStore::WalStore(Options options)
    : options_(std::move(options)),
      files_(options_.folder),
      state_file_(options_.folder / kStateName),
      identity_(state_file_.state()),
      state_(state_file_.state()) {
  recover();
}

WalStore::~WalStore() {
  close();
  MutexLock lock(mutex_);
  CHECK(readers_.empty(), "a WalStore must outlive its readers");
}

RecordScan WalStore::scan() const {
  Lsn oldest_kept = oldest();
  bool trimmed = oldest_kept > identity_.start;
  return RecordScan([this](Lsn from, std::span<std::byte> into) { return files_.read(from, into); },
                    trimmed ? oldest_kept : identity_.start, !trimmed);
}

// The log ends where complete records end, but not before what was durable for sure. What is behind
// is made zeros, and what is left is synced: after a crash of this program alone it may be only in
// the kernel's memory.
void WalStore::recover() {
  const DurableState state = identity_;
  RecordScan records = scan();
  RecordWalk known = records.last_record(state.flushed);
  if (known.problem) return set_damaged(known);
  RecordWalk tail = records.follow(known.last ? known.last->end : state.start, known.last, kNever);
  if (lost_behind(tail)) return set_damaged(tail);
  Lsn end = std::max(state.flushed, tail.last ? tail.last->end : state.start);

  for (Lsn segment : files_.list()) {
    if (segment < segment_of(state.oldest) || segment > segment_of(end)) {
      files_.remove(segment);
    } else if (segment >= segment_of(state.flushed)) {
      files_.sync(segment);
    }
  }
  files_.remove_unfinished();
  files_.sync_names();
  const Lsn prepared = files_.zero_rest(end);
  written_ = high_water_ = end;
  last_ = tail.last;
  MutexLock lock(mutex_);
  flushed_ = end;
  prepared_ = prepared;
}

// A crash tears only what was not flushed, which is the last kMaxUnflushed bytes at most, with
// zeros behind. So if there is anything further behind a record that cannot be read, that record
// was flushed, and is damaged. Nearer than that nobody can tell; save_flushed() soon settles it.
bool WalStore::lost_behind(const RecordWalk& tail) const {
  if (!tail.problem) return false;
  const Lsn beyond = scan().reach(tail.problem_at) + kMaxUnflushed;
  std::vector<Lsn> segments = files_.list();
  return std::any_of(segments.begin(), segments.end(), [&](Lsn segment) {
    return segment + kWalSegmentSize > beyond && files_.has_data(std::max(segment, beyond));
  });
}

void WalStore::set_damaged(const RecordWalk& walk) {
  const Lsn end = walk.last ? walk.last->end : oldest();
  written_ = high_water_ = end;
  MutexLock lock(mutex_);
  damage_ = fmt::format(
      "{} is damaged at offset {} (LSN {}): {}. WAL that was acknowledged is behind it, so nothing "
      "has been cut off: the branch can be read up to {}, and is not written to. Put the file back "
      "from a copy and restart, or go on without the rest in a new branch of this one",
      wal_segment_name(walk.problem_at, kWalSegmentSize), walk.problem_at.value % kWalSegmentSize,
      walk.problem_at.str(), *walk.problem, end.str());
  logger.error("timeline {}, in {}: {}", identity_.id.str(), options_.folder.string(), damage_);
  flushed_ = prepared_ = end;
  end_readers_beyond(end);
}

std::string WalStore::damage() const {
  MutexLock lock(mutex_);
  return damage_;
}

uint64_t WalStore::term() const {
  MutexLock lock(state_mutex_);
  return state_.term;
}

void WalStore::save(const std::function<void(DurableState&)>& change) {
  run_hook("save");
  MutexLock saving(save_mutex_);
  DurableState next;
  {
    MutexLock lock(state_mutex_);
    next = state_;
  }
  change(next);
  state_file_.save(next);
  MutexLock lock(state_mutex_);
  state_ = next;
}

void WalStore::append(Bytes wal) {
  if (std::string found = damage(); !found.empty()) throw Error(Errc::corrupt, "{}", found);
  if (written_ + wal.size() > flushed() + kMaxUnflushed) flush();
  ensure_space(written_ + wal.size());
  high_water_ = std::max(high_water_, written_ + wal.size());
  while (!wal.empty()) {
    if (Lsn at = segment_of(written_); !segment_.valid() || at != segment_at_) {
      UniqueFd next = files_.open(written_, O_RDWR);
      if (segment_.valid()) full_segments_.push_back(std::move(segment_));
      segment_ = std::move(next);
      segment_at_ = at;
    }
    uint64_t offset = written_ - segment_at_;
    size_t size = std::min<uint64_t>(wal.size(), kWalSegmentSize - offset);
    pwrite_all(segment_.get(), wal.first(size), offset);
    written_ = written_ + size;
    wal = wal.subspan(size);
  }
}

void WalStore::sync_segments() {
  for (const UniqueFd& full : full_segments_) fdatasync_or_die(full.get(), "WAL segment");
  full_segments_.clear();
  if (segment_.valid()) fdatasync_or_die(segment_.get(), "WAL segment");
}

Lsn WalStore::flush() {
  const Lsn from = flushed();
  const Lsn to = written_;
  if (from == to) return to;
  auto began = steady_clock::now();
  run_hook("sync");
  sync_segments();
  // Before anything in a new segment is acknowledged it is on record that the ones before are
  // whole: Postgres may now remove its own, so recovery must not end the log before there.
  if (segment_of(from) != segment_of(to)) save([to](DurableState& state) { state.flushed = to; });
  publish(to);
  bytes_total.add(static_cast<double>(to - from));
  flushes_total.add();
  flush_seconds.observe(std::chrono::duration<double>(steady_clock::now() - began).count());
  return to;
}

// What flush() has put on record is not taken back: it does so before it publishes.
void WalStore::save_flushed() {
  {
    MutexLock lock(mutex_);
    save_wanted_ = false;
    if (!damage_.empty()) return;
  }
  {
    MutexLock lock(state_mutex_);
    if (state_.flushed >= flushed()) return;
  }
  save([this](DurableState& state) { state.flushed = std::max(state.flushed, flushed()); });
}

std::optional<RecordPlace> WalStore::begin_term(uint64_t term) {
  discard_unflushed();
  const Lsn before = flushed();
  if (damage().empty()) {
    RecordWalk walk = scan().last_record(before);
    if (!walk.problem) return cut(walk.last, before, term);
    save_flushed();  // So that a restart knows it for damage, too.
    set_damaged(walk);
  }
  throw Error(Errc::corrupt, "{}", damage());
}

// Ends the log behind `last`.
std::optional<RecordPlace> WalStore::cut(std::optional<RecordPlace> last, Lsn before,
                                         uint64_t term) {
  const Lsn end = last ? last->end : identity_.start;
  const Lsn dirty = std::max(before, high_water_);
  // Readers first, so that none takes for WAL what is about to change.
  written_ = end;
  high_water_ = dirty;
  {
    MutexLock lock(mutex_);
    flushed_ = end;
    end_readers_beyond(end);
  }
  if (end < before && options_.on_cut) options_.on_cut(end);
  // Then the term, then the bytes: a crash in between leaves a log that is opened as a longer one
  // of this term, which nobody has been told of yet.
  save([&](DurableState& state) {
    state.term = term;
    state.flushed = end;
  });
  if (end < dirty) files_.zero(end, dirty);
  // In the data directory of a compute that was left behind, which must not change what follows.
  if (files_.linked_elsewhere(end)) clear_behind(end);
  high_water_ = end;
  last_ = last;
  return last;
}

RecordWalk WalStore::find_written(const std::optional<RecordPlace>& before, Lsn limit) const {
  {
    MutexLock lock(mutex_);
    limit = std::min(limit, prepared_);
  }
  return scan().follow(before ? before->end : identity_.start, before, limit);
}

void WalStore::take(Lsn end, bool synced) {
  if (std::string found = damage(); !found.empty()) throw Error(Errc::corrupt, "{}", found);
  const Lsn from = flushed();
  if (end <= from) return;
  if (!synced) {
    run_hook("sync");
    for (Lsn at = segment_of(from); at < end; at = at + kWalSegmentSize) files_.sync(at);
  }
  if (segment_of(from) != segment_of(end))
    save([end](DurableState& state) { state.flushed = end; });
  written_ = high_water_ = end;
  publish(end);
  bytes_total.add(static_cast<double>(end - from));
}

void WalStore::end_in_place(const RecordWalk& walk) {
  if (!damage().empty()) return;
  if (lost_behind(walk)) return set_damaged(walk);
  clear_behind(written_);
}

Lsn WalStore::flushed() const {
  MutexLock lock(mutex_);
  return flushed_;
}

Lsn WalStore::oldest() const {
  MutexLock lock(state_mutex_);
  return std::max(state_.oldest, identity_.start);
}

void WalStore::publish(Lsn flushed) {
  bool ask = false;
  {
    MutexLock lock(mutex_);
    flushed_ = flushed;
    if (flushed_ >= wake_at_) wake_waiting();
    ask = !std::exchange(save_wanted_, true);
  }
  if (ask && options_.want_save) options_.want_save();
}

// Those who are not there yet say again what they wait for.
void WalStore::wake_waiting() {
  wake_at_ = kNever;
  for (Reader* reader : readers_) {
    if (reader->wake_at_ <= flushed_ || reader->ended_) {
      reader->wake_at_ = kNever;
      reader->notify();
    } else {
      wake_at_ = std::min(wake_at_, reader->wake_at_);
    }
  }
  if (waiting_ > 0) changed_.notify_all();
}

void WalStore::end_readers_beyond(Lsn end) {
  for (Reader* reader : readers_) {
    if (std::max(reader->held_, reader->reading_to_) > end || closed_) reader->ended_ = true;
  }
  wake_waiting();
}

void WalStore::wait_flushed(Lsn lsn, Deadline deadline) {
  MutexLock lock(mutex_);
  ++waiting_;
  bool in_time = true;
  while (flushed_ < lsn && !closed_ && damage_.empty() && in_time) {
    wake_at_ = std::min(wake_at_, lsn);
    if (deadline.at() == Deadline::never().at())
      changed_.wait(mutex_);
    else
      in_time = changed_.wait_until(mutex_, deadline.at());
  }
  --waiting_;
  if (flushed_ >= lsn) return;
  if (closed_) throw Error(Errc::cancelled, "this timeline's WAL is closed");
  if (!damage_.empty()) throw Error(Errc::corrupt, "{}", damage_);
  throw Error(Errc::timed_out, "WAL up to {} has not arrived; it ends at {}", lsn.str(),
              flushed_.str());
}

std::string WalStore::read(Lsn from, Lsn to) const {
  CHECK(to <= flushed(), "read of {} beyond the flushed WAL", to.str());
  std::string out(to - from, '\0');
  size_t done = 0;
  while (done < out.size()) {
    auto rest = std::as_writable_bytes(std::span(out)).subspan(done);
    size_t got = files_.read(from + done, rest);
    if (got == 0) throw Error(Errc::corrupt, "no WAL at {}", (from + done).str());
    done += got;
  }
  return out;
}

void WalStore::close() {
  MutexLock lock(mutex_);
  closed_ = true;
  end_readers_beyond(flushed_);
  changed_.notify_all();
}

}  // namespace halogen::safekeeper
