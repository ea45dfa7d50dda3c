#include "safekeeper/safekeeper.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "base/metrics.h"

namespace halogen::safekeeper {
namespace {

const log::Logger logger("safekeeper");

// How long what was acknowledged may be known by its checksums alone, before it is on record.
constexpr std::chrono::seconds kSaveDelay{1};
constexpr const char* kDeleted = ".deleted";
constexpr const char* kUnfinished = ".tmp";

metrics::Gauge timelines_gauge =
    metrics::gauge("halogen_safekeeper_timelines", "Timelines whose WAL is kept here.");
metrics::Counter terms_total = metrics::counter("halogen_safekeeper_terms_total", "Terms begun.");

metrics::Counter refused_total = metrics::counter("halogen_safekeeper_refused_connections_total",
                                                  "Readers of WAL without a token for it.");

}  // namespace

Safekeeper::Safekeeper(Options options) : options_(std::move(options)) {
  fs::create_directories(options_.home);
  fs::create_directories(options_.socket_folder);
  find_all();
  server_ = std::make_unique<WalServer>(
      options_.socket_folder, options_.port,
      WalGate{.asks_for_token = options_.asks_for_token,
              .open = [this](TimelineId id, const std::optional<Token>& token) {
                return open_for_reader(id, token);
              }});
  background_ = std::thread([this] { background_loop(); });
}

Safekeeper::~Safekeeper() {
  std::map<TimelineId, Slot> timelines;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    timelines.swap(timelines_);
    work_.notify_all();
    changed_.notify_all();
  }
  timelines_gauge.sub(static_cast<double>(timelines.size()));
  for (auto& [id, slot] : timelines)
    if (slot.timeline) slot.timeline->stop();
  server_.reset();
  background_.join();
}

void Safekeeper::find_all() {
  fsync_folder(options_.home);  // A killed process may have made or removed a timeline just before.
  for (const auto& entry : fs::directory_iterator(options_.home)) {
    const fs::path& path = entry.path();
    if (path.extension() == kDeleted || path.extension() == kUnfinished) {
      fs::remove_all(path);
      continue;
    }
    TimelineId id;
    try {
      id = TimelineId::parse(path.filename().string());
    } catch (const Error&) {
      continue;  // Not ours.
    }
    MutexLock lock(mutex_);
    timelines_[id];
  }
  MutexLock lock(mutex_);
  timelines_gauge.add(static_cast<double>(timelines_.size()));
  if (!timelines_.empty()) logger.info("there are {} timelines", timelines_.size());
}

std::shared_ptr<Timeline> Safekeeper::open(TimelineId id) {
  auto timeline =
      std::make_shared<Timeline>(WalStore::Options{.folder = folder_of(id),
                                                   .want_space = [this, id] { want_space(id); },
                                                   .want_save = [this, id] { want_save(id); },
                                                   .on_cut =
                                                       [this, id](Lsn end) {
                                                         if (options_.archive)
                                                           options_.archive->wal_cut(id, end);
                                                       },
                                                   .hook = options_.hook});
  if (timeline->store().identity().id != id)
    throw Error(Errc::corrupt, "the folder holds timeline {}",
                timeline->store().identity().id.str());
  return timeline;
}

Safekeeper::Slot* Safekeeper::wait_for_slot(TimelineId id) {
  for (;;) {
    auto found = timelines_.find(id);
    if (found == timelines_.end()) return nullptr;
    if (!found->second.changing) return &found->second;
    changed_.wait(mutex_);
  }
}

std::shared_ptr<Timeline> Safekeeper::find(TimelineId id) {
  MutexLock lock(mutex_);
  Slot* slot = wait_for_slot(id);
  if (!slot)
    throw Error(Errc::not_found, "timeline {} does not exist on this safekeeper", id.str());
  if (slot->broken)
    throw Error(Errc::corrupt, "timeline {} is not served: {}", id.str(), *slot->broken);
  slot->used = steady_clock::now();
  return slot->timeline ? slot->timeline : open_slot(id);
}

// Others that want it wait meanwhile; what has failed for want of something is tried again by the
// next.
std::shared_ptr<Timeline> Safekeeper::open_slot(TimelineId id) {
  timelines_[id].changing = true;
  mutex_.unlock();
  std::shared_ptr<Timeline> timeline;
  Error failure(Errc::cancelled, "the safekeeper is closing");
  try {
    timeline = open(id);
  } catch (const Error& error) {
    failure = error;
  } catch (const std::exception& error) {
    failure = Error(Errc::unavailable, "{}", error.what());
  }
  mutex_.lock();
  changed_.notify_all();
  auto found = timelines_.find(id);
  if (found == timelines_.end()) throw failure;
  Slot& slot = found->second;
  slot.changing = false;
  if (timeline) {
    slot.timeline = timeline;
    if (open_.empty()) next_close_ = steady_clock::now() + options_.close_after;
    open_.insert(id);
    work_.notify_one();
    return timeline;
  }
  if (failure.code() == Errc::corrupt || failure.code() == Errc::not_found) {
    slot.broken = std::make_unique<const std::string>(failure.what());
    logger.error("timeline {} cannot be opened and is not served: {}", id.str(), failure.what());
    throw Error(Errc::corrupt, "timeline {} is not served: {}", id.str(), *slot.broken);
  }
  throw failure;
}

// Closes those that nobody holds: every holder has got it from find(), under the lock.
void Safekeeper::close_idle() {
  const auto now = steady_clock::now();
  std::map<TimelineId, std::shared_ptr<Timeline>> closing;
  {
    MutexLock lock(mutex_);
    if (open_.empty() || now < next_close_) return;
    next_close_ = now + options_.close_after;
    for (TimelineId id : open_) {
      auto found = timelines_.find(id);
      if (found == timelines_.end()) continue;
      Slot& slot = found->second;
      if (slot.changing || slot.timeline.use_count() != 1) continue;
      if (now - slot.used < options_.close_after) continue;
      slot.changing = true;
      closing[id] = std::move(slot.timeline);
    }
  }
  for (auto& [id, timeline] : closing) {
    try {
      if (timeline->idle()) {
        timeline->store().save_flushed();
        timeline.reset();
      }
    } catch (const Error& error) {
      logger.debug("timeline {} stays open: {}", id.str(), error.what());
    }
    MutexLock lock(mutex_);
    changed_.notify_all();
    auto found = timelines_.find(id);
    if (found == timelines_.end()) continue;  // The safekeeper is closing.
    found->second.changing = false;
    if (timeline)
      found->second.timeline = std::move(timeline);
    else
      open_.erase(id);
  }
}

size_t Safekeeper::open_timelines() {
  MutexLock lock(mutex_);
  return open_.size();
}

Lsn Safekeeper::known_end(TimelineId id) {
  {
    MutexLock lock(mutex_);
    Slot* slot = wait_for_slot(id);
    if (!slot) throw Error(Errc::not_found, "timeline {} does not exist here", id.str());
    if (slot->timeline) return slot->timeline->store().flushed();
  }
  const Lsn flushed = StateFile::peek(folder_of(id) / kStateName).flushed;
  // Behind the end of the log all bytes are zero, and each page of WAL has a header.
  std::byte next[kWalPageSize];
  const size_t got = SegmentFiles(folder_of(id)).read(flushed, next);
  const bool more =
      std::any_of(next, next + got, [](std::byte byte) { return byte != std::byte{0}; });
  return more ? flushed + 1 : flushed;
}

void Safekeeper::create_timeline(TimelineId id, Lsn start, uint64_t system_identifier) {
  if (start.value % 8 != 0 || start.value < kWalSegmentSize)
    throw Error(Errc::invalid_argument, "{} is not where a WAL record can begin", start.str());
  MutexLock creating(create_mutex_);
  bool exists = false, broken = false;
  {
    MutexLock lock(mutex_);
    const Slot* slot = wait_for_slot(id);
    exists = slot != nullptr;
    broken = exists && slot->broken;
  }
  if (broken)
    throw Error(Errc::already_exists, "timeline {} exists, but is not readable", id.str());
  if (exists) {
    const DurableState identity = find(id)->store().identity();
    if (identity.start == start && identity.system_identifier == system_identifier) return;
    throw Error(Errc::already_exists, "timeline {} exists, with another start ({}) or system",
                id.str(), identity.start.str());
  }
  WalStore::create(folder_of(id), {.id = id,
                                   .system_identifier = system_identifier,
                                   .start = start,
                                   .term = 0,
                                   .flushed = start,
                                   .oldest = start});
  {
    MutexLock lock(mutex_);
    timelines_[id];
    timelines_gauge.add();
  }
  tell_archive(id);  // Not before it can be asked for.
}

void Safekeeper::delete_timeline(TimelineId id) {
  MutexLock deleting(create_mutex_);
  std::shared_ptr<Timeline> timeline;
  {
    MutexLock lock(mutex_);
    if (Slot* slot = wait_for_slot(id)) {
      timeline = std::move(slot->timeline);
      timelines_.erase(id);
      open_.erase(id);
      timelines_gauge.sub();
    }
  }
  access_.forget(id);
  if (timeline) timeline->stop();
  fs::path gone = folder_of(id);
  gone += kDeleted;
  fs::remove_all(gone);  // What a deletion that failed has left.
  if (!fs::exists(folder_of(id))) return;
  fs::rename(folder_of(id), gone);
  fsync_folder(options_.home);
  fs::remove_all(gone);
}

TermStart Safekeeper::begin_term(TimelineId id, uint64_t term) {
  TermStart start = find(id)->begin_term(term);
  terms_total.add();
  return start;
}

void Safekeeper::pull(TimelineId id, uint64_t term, const WalSource& source) {
  find(id)->pull(term, source);
}

InPlaceAccess Safekeeper::write_in_place(TimelineId id, uint64_t term, UniqueFd folder) {
  return find(id)->write_in_place(term, std::move(folder));
}

Lsn Safekeeper::catch_up(TimelineId id) { return find(id)->catch_up(); }

void Safekeeper::stop_pull(TimelineId id, uint64_t term) { find(id)->stop_pull(term); }

WalStatus Safekeeper::status(TimelineId id) { return find(id)->status(); }

void Safekeeper::wait_for_flush(TimelineId id, Lsn lsn, Deadline deadline) {
  std::shared_ptr<Timeline> timeline = find(id);
  if (timeline->store().flushed() < lsn) timeline->catch_up();
  timeline->store().wait_flushed(lsn, deadline);
}

void Safekeeper::trim(TimelineId id, Lsn lsn) {
  if (!nothing_to_trim(id, lsn)) find(id)->store().trim(lsn);
}

// Of a timeline at rest, without opening it.
bool Safekeeper::nothing_to_trim(TimelineId id, Lsn lsn) {
  {
    MutexLock lock(mutex_);
    const Slot* slot = wait_for_slot(id);
    if (!slot || slot->timeline || slot->broken) return false;
  }
  const DurableState state = StateFile::peek(folder_of(id) / kStateName);
  return segment_of(std::min(lsn, state.flushed)) <=
         segment_of(std::max(state.oldest, state.start));
}

Token Safekeeper::grant_wal(TimelineId id, WalConsumer consumer) {
  find(id);
  return access_.grant(id, consumer, steady_clock::now());
}

std::shared_ptr<Timeline> Safekeeper::open_for_reader(TimelineId id,
                                                      const std::optional<Token>& token) {
  if (options_.asks_for_token && !(token && access_.admit(id, *token, steady_clock::now()))) {
    refused_total.add();
    throw Error(Errc::permission_denied, "the password is no token for timeline {}", id.str());
  }
  return find(id);
}

std::vector<TimelineId> Safekeeper::wal_timelines() {
  std::vector<TimelineId> ids;
  MutexLock lock(mutex_);
  for (const auto& [id, slot] : timelines_) ids.push_back(id);
  return ids;
}

// Without opening it, if it is at rest and ends where its state says.
StoredWal Safekeeper::stored_wal(TimelineId id) {
  bool at_rest = false;
  {
    MutexLock lock(mutex_);
    const Slot* slot = wait_for_slot(id);
    at_rest = slot && !slot->timeline && !slot->broken;
  }
  if (at_rest) {
    const DurableState state = StateFile::peek(folder_of(id) / kStateName);
    if (known_end(id) == state.flushed)
      return {state.system_identifier, state.start, state.oldest, state.flushed, state.term};
  }
  const std::shared_ptr<Timeline> timeline = find(id);
  const WalStore& store = timeline->store();
  const DurableState& identity = store.identity();
  return {identity.system_identifier, identity.start, store.oldest(), store.flushed(),
          store.term()};
}

std::string Safekeeper::read_wal(TimelineId id, Lsn from, Lsn to) {
  const std::shared_ptr<Timeline> timeline = find(id);
  if (to > timeline->store().flushed()) throw Error(Errc::cancelled, "the log was cut");
  WalStore::Reader reader(timeline->store(), from);
  std::string wal(to - from, '\0');
  auto rest = std::as_writable_bytes(std::span(wal));
  while (!rest.empty()) {
    const size_t got = reader.read(rest);
    if (got == 0) throw Error(Errc::cancelled, "the log was cut");
    rest = rest.subspan(got);
  }
  return wal;
}

void Safekeeper::want_space(TimelineId id) {
  MutexLock lock(mutex_);
  need_space_.push_back(id);
  work_.notify_one();
}

void Safekeeper::tell_archive(TimelineId id) const {
  if (options_.archive) options_.archive->wal_changed(id);
}

void Safekeeper::want_save(TimelineId id) {
  tell_archive(id);
  MutexLock lock(mutex_);
  need_save_.emplace_back(steady_clock::now() + kSaveDelay, id);
  work_.notify_one();
}

// The timeline to work for, if it still is there; null also when it is time to stop, or to close
// what is idle.
std::shared_ptr<Timeline> Safekeeper::wait_for_work(bool* save) {
  MutexLock lock(mutex_);
  auto due = [&]() REQUIRES(mutex_) {
    return !need_save_.empty() && need_save_.front().first <= steady_clock::now();
  };
  auto close_due = [&]() REQUIRES(mutex_) {
    return !open_.empty() && next_close_ <= steady_clock::now();
  };
  while (need_space_.empty() && !due() && !close_due() && !stopping_) {
    auto until = open_.empty() ? steady_clock::time_point::max() : next_close_;
    if (!need_save_.empty()) until = std::min(until, need_save_.front().first);
    if (until == steady_clock::time_point::max())
      work_.wait(mutex_);
    else
      work_.wait_until(mutex_, until);
  }
  if (stopping_ || (need_space_.empty() && !due())) return nullptr;
  *save = need_space_.empty();
  TimelineId id = *save ? need_save_.front().second : need_space_.front();
  if (*save)
    need_save_.pop_front();
  else
    need_space_.pop_front();
  auto found = timelines_.find(id);
  return found == timelines_.end() ? nullptr : found->second.timeline;
}

bool Safekeeper::stopping() {
  MutexLock lock(mutex_);
  return stopping_;
}

void Safekeeper::background_loop() {
  while (!stopping()) {
    close_idle();
    bool save = false;
    std::shared_ptr<Timeline> timeline = wait_for_work(&save);
    if (!timeline) continue;
    try {
      if (save) {
        timeline->store().save_flushed();
        tell_archive(timeline->store().identity().id);  // Of what has come since it was wanted.
      } else {
        timeline->store().prepare_ahead();
      }
    } catch (const Error& error) {
      // If there is still no room when it is needed, the writer says so.
      logger.debug("no {}: {}", save ? "state saved" : "room ahead", error.what());
    }
  }
}

}  // namespace halogen::safekeeper
