#include "safekeeper/safekeeper.h"

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

metrics::Gauge& timelines_gauge() {
  static metrics::Gauge gauge =
      metrics::gauge("halogen_safekeeper_timelines", "Timelines whose WAL is kept here.");
  return gauge;
}
metrics::Counter& terms_total() {
  static metrics::Counter counter =
      metrics::counter("halogen_safekeeper_terms_total", "Terms begun.");
  return counter;
}

metrics::Counter& refused_total() {
  static metrics::Counter counter = metrics::counter("halogen_safekeeper_refused_connections_total",
                                                     "Readers of WAL without a token for it.");
  return counter;
}

}  // namespace

Safekeeper::Safekeeper(Options options) : options_(std::move(options)) {
  refused_total();  // From the beginning, so that the first one is seen as a rise.
  fs::create_directories(options_.home);
  fs::create_directories(options_.socket_folder);
  open_all();
  server_ = std::make_unique<WalServer>(
      options_.socket_folder, options_.port,
      WalGate{.asks_for_token = options_.asks_for_token,
              .open = [this](TimelineId id, const std::optional<Token>& token) {
                return open_for_reader(id, token);
              }});
  background_ = std::thread([this] { background_loop(); });
}

Safekeeper::~Safekeeper() {
  std::map<TimelineId, std::shared_ptr<Timeline>> timelines;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    timelines.swap(timelines_);
    work_.notify_all();
  }
  timelines_gauge().sub(static_cast<double>(timelines.size()));
  for (auto& [id, timeline] : timelines) timeline->stop();
  server_.reset();
  background_.join();
}

void Safekeeper::open_all() {
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
    try {
      auto timeline = open(id);
      MutexLock lock(mutex_);
      timelines_[id] = timeline;
      timelines_gauge().add();
    } catch (const Error& error) {
      logger.error("timeline {} cannot be opened and is not served: {}", id.str(), error.what());
      MutexLock lock(mutex_);
      broken_[id] = error.what();
    }
  }
  MutexLock lock(mutex_);
  if (!timelines_.empty()) logger.info("opened {} timelines", timelines_.size());
}

std::shared_ptr<Timeline> Safekeeper::open(TimelineId id) {
  auto timeline =
      std::make_shared<Timeline>(WalStore::Options{.folder = folder_of(id),
                                                   .want_space = [this, id] { want_space(id); },
                                                   .want_save = [this, id] { want_save(id); },
                                                   .hook = options_.hook});
  if (timeline->store().identity().id != id)
    throw Error(Errc::corrupt, "the folder holds timeline {}",
                timeline->store().identity().id.str());
  return timeline;
}

std::shared_ptr<Timeline> Safekeeper::find(TimelineId id) {
  MutexLock lock(mutex_);
  if (auto found = timelines_.find(id); found != timelines_.end()) return found->second;
  if (auto broken = broken_.find(id); broken != broken_.end())
    throw Error(Errc::corrupt, "timeline {} is not served: {}", id.str(), broken->second);
  throw Error(Errc::not_found, "timeline {} does not exist on this safekeeper", id.str());
}

void Safekeeper::create_timeline(TimelineId id, Lsn start, uint64_t system_identifier) {
  if (start.value % 8 != 0 || start.value < kWalSegmentSize)
    throw Error(Errc::invalid_argument, "{} is not where a WAL record can begin", start.str());
  MutexLock creating(create_mutex_);
  {
    MutexLock lock(mutex_);
    if (auto found = timelines_.find(id); found != timelines_.end()) {
      const DurableState& identity = found->second->store().identity();
      if (identity.start == start && identity.system_identifier == system_identifier) return;
      throw Error(Errc::already_exists, "timeline {} exists, with another start ({}) or system",
                  id.str(), identity.start.str());
    }
    if (broken_.contains(id))
      throw Error(Errc::already_exists, "timeline {} exists, but is not readable", id.str());
  }
  WalStore::create(folder_of(id), {.id = id,
                                   .system_identifier = system_identifier,
                                   .start = start,
                                   .term = 0,
                                   .flushed = start,
                                   .oldest = start});
  auto timeline = open(id);
  MutexLock lock(mutex_);
  timelines_[id] = timeline;
  timelines_gauge().add();
}

void Safekeeper::delete_timeline(TimelineId id) {
  MutexLock deleting(create_mutex_);
  std::shared_ptr<Timeline> timeline;
  {
    MutexLock lock(mutex_);
    if (auto found = timelines_.find(id); found != timelines_.end()) {
      timeline = std::move(found->second);
      timelines_.erase(found);
      timelines_gauge().sub();
    }
    broken_.erase(id);
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
  terms_total().add();
  return start;
}

void Safekeeper::pull(TimelineId id, uint64_t term, const WalSource& source) {
  find(id)->pull(term, source);
}

void Safekeeper::stop_pull(TimelineId id, uint64_t term) { find(id)->stop_pull(term); }

WalStatus Safekeeper::status(TimelineId id) { return find(id)->status(); }

void Safekeeper::wait_for_flush(TimelineId id, Lsn lsn, Deadline deadline) {
  find(id)->store().wait_flushed(lsn, deadline);
}

void Safekeeper::trim(TimelineId id, Lsn lsn) { find(id)->store().trim(lsn); }

Token Safekeeper::grant_wal(TimelineId id, WalConsumer consumer) {
  find(id);
  return access_.grant(id, consumer, steady_clock::now());
}

std::shared_ptr<Timeline> Safekeeper::open_for_reader(TimelineId id,
                                                      const std::optional<Token>& token) {
  if (options_.asks_for_token && !(token && access_.admit(id, *token, steady_clock::now()))) {
    refused_total().add();
    throw Error(Errc::permission_denied, "the password is no token for timeline {}", id.str());
  }
  return find(id);
}

void Safekeeper::want_space(TimelineId id) {
  MutexLock lock(mutex_);
  need_space_.push_back(id);
  work_.notify_one();
}

void Safekeeper::want_save(TimelineId id) {
  MutexLock lock(mutex_);
  need_save_.emplace_back(steady_clock::now() + kSaveDelay, id);
  work_.notify_one();
}

// The timeline to work for, if it still is there; null also when it is time to stop.
std::shared_ptr<Timeline> Safekeeper::wait_for_work(bool* save) {
  MutexLock lock(mutex_);
  auto due = [&]() REQUIRES(mutex_) {
    return !need_save_.empty() && need_save_.front().first <= steady_clock::now();
  };
  while (need_space_.empty() && !due() && !stopping_) {
    if (need_save_.empty())
      work_.wait(mutex_);
    else
      work_.wait_until(mutex_, need_save_.front().first);
  }
  if (stopping_) return nullptr;
  *save = need_space_.empty();
  TimelineId id = *save ? need_save_.front().second : need_space_.front();
  if (*save)
    need_save_.pop_front();
  else
    need_space_.pop_front();
  auto found = timelines_.find(id);
  return found == timelines_.end() ? nullptr : found->second;
}

bool Safekeeper::stopping() {
  MutexLock lock(mutex_);
  return stopping_;
}

void Safekeeper::background_loop() {
  while (!stopping()) {
    bool save = false;
    std::shared_ptr<Timeline> timeline = wait_for_work(&save);
    if (!timeline) continue;
    try {
      if (save)
        timeline->store().save_flushed();
      else
        timeline->store().prepare_ahead();
    } catch (const Error& error) {
      // If there is still no room when it is needed, the writer says so.
      logger.debug("no {}: {}", save ? "state saved" : "room ahead", error.what());
    }
  }
}

}  // namespace halogen::safekeeper
