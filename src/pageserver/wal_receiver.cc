#include "pageserver/wal_receiver.h"

#include <algorithm>

#include "base/log.h"
#include "base/metrics.h"

namespace halogen::pageserver {

namespace {

const log::Logger logger("pageserver");

constexpr std::chrono::seconds kConnectTimeout{10};
constexpr std::chrono::seconds kStatusInterval{1};
constexpr std::chrono::milliseconds kFirstRetry{20};  // A compute may be waiting for its LSN.
constexpr std::chrono::milliseconds kLastRetry{2000};
constexpr std::chrono::seconds kCorruptRetry{60};

metrics::Counter wal_bytes =
    metrics::counter("halogen_pageserver_wal_bytes_total", "Bytes of WAL received and ingested.");

}  // namespace

WalReceiver::WalReceiver(Options options) : options_(std::move(options)) {
  thread_ = std::thread([this] { run(); });
}

void WalReceiver::request_stop() {
  MutexLock lock(mutex_);
  stopping_ = true;
  if (client_) client_->interrupt();
  changed_.notify_all();
}

bool WalReceiver::wait_ended(Deadline deadline) {
  MutexLock lock(mutex_);
  while (!ended_ && !deadline.passed())
    changed_.wait_until(mutex_, steady_clock::now() + deadline.left());
  return ended_;
}

void WalReceiver::stop() {
  request_stop();
  if (thread_.joinable()) thread_.join();
}

bool WalReceiver::stop_requested() {
  MutexLock lock(mutex_);
  return stopping_;
}

void WalReceiver::run() {
  while (!stop_requested()) {
    std::chrono::milliseconds delay;
    try {
      follow();
      delay = kFirstRetry;
    } catch (const Error& error) {
      if (stop_requested()) break;
      delay = failed(error);
    } catch (const std::exception& error) {  // Memory ran out: one timeline's WAL ends no process.
      if (stop_requested()) break;
      delay = failed(Error(Errc::unavailable, "{}", error.what()));
    }
    auto until = steady_clock::now() + delay;
    MutexLock lock(mutex_);
    client_.reset();
    while (!stopping_ && steady_clock::now() < until) changed_.wait_until(mutex_, until);
  }
  MutexLock lock(mutex_);
  client_.reset();
  ended_ = true;
  changed_.notify_all();
}

// How long to wait. An operator hears of a safekeeper that is away in the ordinary log, once, and
// of damage when it is still there at the second look: a safekeeper may have cut off an unfinished
// record whose beginning we had.
std::chrono::milliseconds WalReceiver::failed(const Error& error) {
  bool damage = error.code() == Errc::corrupt || error.code() == Errc::internal;
  if (damage && std::exchange(damaged_at_, begin_) == begin_) {
    if (!std::exchange(told_, true))
      logger.error("timeline {}: WAL cannot be ingested from {} on: {}", options_.name,
                   begin_.str(), error.what());
    return kCorruptRetry;
  }
  if (!std::exchange(told_, true))
    logger.info("timeline {}: WAL is away ({}); trying again", options_.name, error.what());
  if (damage) told_ = false;
  return std::min(kFirstRetry * (1 << std::min(outages_in_a_row_++, 10)), kLastRetry);
}

void WalReceiver::follow() {
  received_ = 0;
  begin_ = options_.begin();
  auto client = std::make_shared<net::ReplicationClient>(
      net::ReplicationClient::Options{.host = options_.host,
                                      .port = options_.port,
                                      .user = options_.name,
                                      .application_name = "halogen_pageserver",
                                      .password = options_.password()});
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    client_ = client;
  }
  client->connect(Deadline::after(kConnectTimeout));
  client->start_replication(begin_, "", Deadline::after(kConnectTimeout));
  received_ = begin_.value;
  if (std::exchange(told_, false)) logger.info("timeline {}: WAL is followed again", options_.name);
  logger.debug("timeline {}: following WAL from {}", options_.name, begin_.str());
  auto next_status = steady_clock::now();
  for (;;) {
    bool reply = false;
    take_messages(*client, reply);
    if (auto now = steady_clock::now(); reply || now >= next_status) {
      client->send_status(received(), received(), options_.durable());
      next_status = now + kStatusInterval;
      options_.tick();
    }
    client->receive(Deadline::after(kStatusInterval));
  }
}

void WalReceiver::take_messages(net::ReplicationClient& client, bool& reply) {
  while (auto message = client.next()) {
    outages_in_a_row_ = 0;
    reply = reply || message->reply_requested;
    if (message->kind != 'w') continue;
    if (message->start != received())
      throw Error(Errc::corrupt, "WAL at {} was sent where {} comes next", message->start.str(),
                  received().str());
    options_.feed(message->start, message->data);
    received_ += message->data.size();
    wal_bytes.add(static_cast<double>(message->data.size()));
  }
}

}  // namespace halogen::pageserver
