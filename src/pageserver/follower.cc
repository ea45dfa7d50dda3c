#include "pageserver/follower.h"

#include "base/error.h"
#include "pageserver/ingest/ingest.h"

namespace halogen::pageserver {

namespace {

constexpr std::chrono::seconds kHeadTimeout{60};  // For the ancestors' WAL after a restart.
constexpr std::chrono::seconds kCopyTimeout{60};  // To read one page that a record copies.

}  // namespace

Follower::Follower(Timeline& timeline, std::chrono::seconds flush_interval,
                   WalPassword wal_password)
    : timeline_(timeline),
      flush_interval_(flush_interval),
      wal_password_(std::move(wal_password)) {}

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

std::shared_ptr<WalReceiver> Follower::receiver() {
  MutexLock lock(mutex_);
  return receiver_;
}

void Follower::attach(const std::string& host, int port) {
  MutexLock attaching(attach_mutex_);
  if (auto old = receiver()) old->stop();
  WalReceiver::Options options;
  options.name = timeline_.id().str();
  options.host = host;
  options.port = port;
  options.password = [this] { return wal_password_(timeline_.id()); };
  options.begin = [this] {
    ingest(Deadline::after(kHeadTimeout));
    return timeline_.store().last_record_lsn();
  };
  options.feed = [this](Lsn start, Bytes wal) {
    ingest(Deadline::after(kHeadTimeout))->feed(start, wal);
  };
  options.durable = [this] { return timeline_.store().disk_consistent_lsn(); };
  options.tick = [this] { timeline_.store().freeze_older_than(flush_interval_); };
  auto made = std::make_shared<WalReceiver>(std::move(options));
  MutexLock lock(mutex_);
  receiver_ = std::move(made);
}

void Follower::request_stop() {
  if (auto at = receiver()) at->request_stop();
}

bool Follower::wait_ended(Deadline deadline) {
  auto at = receiver();
  return !at || at->wait_ended(deadline);
}

void Follower::stop() {
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

uint64_t Follower::logical_bytes() {
  if (!timeline_.store().arrived(timeline_.store().last_record_lsn())) return 0;
  return ingest(Deadline::after(kHeadTimeout))->logical_bytes();
}

}  // namespace halogen::pageserver
