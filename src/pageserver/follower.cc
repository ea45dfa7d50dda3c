#include "pageserver/follower.h"

#include "base/error.h"
#include "pageserver/ingest/ingest.h"

namespace halogen::pageserver {

namespace {

constexpr std::chrono::seconds kHeadTimeout{60};  // For the ancestors' WAL after a restart.
constexpr std::chrono::seconds kCopyTimeout{60};  // To read one page that a record copies.

}  // namespace

Follower::~Follower() { stop(); }

// Two threads may load the head at the same time; the first to be done wins. One that has failed is
// made anew.
std::shared_ptr<Ingest> Follower::ingest(Deadline deadline) {
  for (TimelineStore& store = timeline_.store();;) {
    {
      MutexLock lock(mutex_);
      if (ingest_ && !ingest_->failed()) return ingest_;
    }
    const Lsn lsn = store.last_record_lsn();
    store.wait_for_lsn(lsn, deadline);
    auto made = std::make_shared<Ingest>(
        store, Head::load(store, lsn), major_layout(timeline_.major()),
        [this](const PageKey& key, Lsn at) {
          return timeline_.read_page(key, at, Deadline::after(kCopyTimeout));
        });
    MutexLock lock(mutex_);
    const bool wanted = !ingest_ || ingest_->failed();
    // Else another one was fed meanwhile, and has failed since.
    if (wanted && lsn == store.last_record_lsn()) ingest_ = std::move(made);
  }
}

std::shared_ptr<WalReceiver> Follower::receiver() const {
  MutexLock lock(mutex_);
  return receiver_;
}

bool Follower::awake() const { return receiver() != nullptr; }

void Follower::set_source(std::shared_ptr<const WalSource> source) {
  MutexLock changing(change_mutex_);
  source_ = std::move(source);
  auto old = receiver();
  if (!old || stopped_) return;
  old->stop();
  auto made = start_receiver();
  MutexLock lock(mutex_);
  receiver_ = std::move(made);
}

bool Follower::has_source(const WalSource& source) {
  MutexLock changing(change_mutex_);
  return source_ && *source_ == source;
}

bool Follower::is_behind() {
  if (!options_.wal_end) return true;
  try {
    return options_.wal_end(timeline_.id()) > timeline_.store().last_record_lsn();
  } catch (const Error&) {
    return true;  // The receiver will say what is wrong, and try again.
  }
}

bool Follower::wake() {
  MutexLock changing(change_mutex_);
  idle_since_ = steady_clock::now();
  if (!source_ || stopped_ || receiver()) return false;
  auto made = start_receiver();
  MutexLock lock(mutex_);
  receiver_ = std::move(made);
  return true;
}

std::shared_ptr<WalReceiver> Follower::start_receiver() {
  WalReceiver::Options options;
  options.name = timeline_.id().str();
  options.host = source_->host;
  options.port = source_->port;
  options.password = [this] { return options_.wal_password(timeline_.id()); };
  options.begin = [this] {
    ingest(Deadline::after(kHeadTimeout));
    return timeline_.store().last_record_lsn();
  };
  options.feed = [this](Lsn start, Bytes wal) {
    ingest(Deadline::after(kHeadTimeout))->feed(start, wal);
  };
  options.durable = [this] { return timeline_.store().disk_consistent_lsn(); };
  options.tick = [this] { timeline_.store().freeze_older_than(options_.flush_interval); };
  return std::make_shared<WalReceiver>(std::move(options));
}

bool Follower::has_all(const WalReceiver& receiver) const {
  try {
    return receiver.received() >= options_.wal_end(timeline_.id());
  } catch (const Error&) {
    return false;
  }
}

// A compute gets its session before it can write, and wakes the timeline after that: so either
// `in_use` says so here, or wake() waits for change_mutex_ and starts what has ended.
bool Follower::rest_if_idle(const std::function<bool()>& in_use) {
  MutexLock changing(change_mutex_);
  auto old = receiver();
  if (!old) return true;
  if (!options_.wal_end || stopped_) return false;
  TimelineStore& store = timeline_.store();
  const auto now = steady_clock::now();
  if (in_use() || store.awaited() || !has_all(*old)) idle_since_ = now;
  if (now - idle_since_ < options_.rest_after) return false;
  if (store.memory_bytes() > 0 || store.disk_consistent_lsn() < store.last_record_lsn()) {
    store.freeze_older_than(steady_clock::duration(0));
    return false;
  }
  if (!store.rest()) return false;  // It merges files.
  old->stop();
  if (!has_all(*old)) {  // Something has come meanwhile.
    auto made = start_receiver();
    MutexLock lock(mutex_);
    receiver_ = std::move(made);
    return false;
  }
  MutexLock lock(mutex_);
  if (ingest_ && !ingest_->failed()) logical_ = {ingest_->head_lsn(), ingest_->logical_bytes()};
  ingest_.reset();
  receiver_.reset();
  return true;
}

void Follower::request_stop() {
  if (auto at = receiver()) at->request_stop();
}

bool Follower::wait_ended(Deadline deadline) {
  auto at = receiver();
  return !at || at->wait_ended(deadline);
}

void Follower::stop() {
  MutexLock changing(change_mutex_);
  stopped_ = true;
  if (auto at = receiver()) at->stop();
}

Skeleton Follower::skeleton(Lsn lsn, Deadline deadline) {
  TimelineStore& store = timeline_.store();
  if (lsn == store.last_record_lsn()) {
    if (auto skeleton = ingest(deadline)->skeleton_at(lsn)) return std::move(*skeleton);
  }
  return build_skeleton(store, lsn, timeline_.major());
}

void Follower::put_file(Lsn lsn, const std::string& path, std::string content) {
  auto live = ingest(Deadline::after(kHeadTimeout));
  if (live->head_lsn() != lsn)
    throw Error(Errc::conflict, "{} is as of {}, but WAL goes on to {}", path, lsn.str(),
                live->head_lsn().str());
  live->put_file(path, std::move(content));
}

std::optional<uint64_t> Follower::known_logical_bytes() {
  MutexLock lock(mutex_);
  if (ingest_ && !ingest_->failed()) return ingest_->logical_bytes();
  if (logical_ && logical_->first == timeline_.store().last_record_lsn()) return logical_->second;
  return std::nullopt;
}

uint64_t Follower::logical_bytes() {
  TimelineStore& store = timeline_.store();
  const Lsn lsn = store.last_record_lsn();
  if (auto known = known_logical_bytes()) return *known;
  if (!store.arrived(lsn)) return 0;
  uint64_t bytes = 0;
  try {
    bytes = Head::load(store, lsn).logical_bytes();
  } catch (const Error& error) {
    if (error.code() != Errc::unavailable) throw;
    return 0;
  }
  MutexLock lock(mutex_);
  logical_ = {lsn, bytes};
  return bytes;
}

}  // namespace halogen::pageserver
