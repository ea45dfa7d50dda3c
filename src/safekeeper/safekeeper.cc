#include "safekeeper/safekeeper.h"

#include "base/error.h"
#include "base/log.h"
#include "base/metrics.h"

namespace halogen::safekeeper {
namespace {

const log::Logger logger("safekeeper");

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
  allocator_ = std::thread([this] { allocate_loop(); });
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
  allocator_.join();
}

void Safekeeper::open_all() {
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
  std::shared_ptr<Timeline> timeline = find(id);
  {
    MutexLock lock(mutex_);
    timelines_.erase(id);
    timelines_gauge().sub();
  }
  access_.forget(id);
  timeline->stop();
  fs::path gone = folder_of(id);
  gone += kDeleted;
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

void Safekeeper::allocate_loop() {
  for (;;) {
    std::shared_ptr<Timeline> timeline;
    {
      MutexLock lock(mutex_);
      while (need_space_.empty() && !stopping_) work_.wait(mutex_);
      if (stopping_) return;
      TimelineId id = need_space_.front();
      need_space_.pop_front();
      if (auto found = timelines_.find(id); found != timelines_.end()) timeline = found->second;
    }
    try {
      if (timeline) timeline->store().prepare_ahead();
    } catch (const Error& error) {
      // If there is still no room when it is needed, the writer says so.
      logger.debug("no room ahead: {}", error.what());
    }
  }
}

}  // namespace halogen::safekeeper
