#include "proxy/pubsub/hub.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"

namespace halogen::proxy {
namespace {

const log::Logger logger("proxy");

constexpr size_t kMaxMessage = 1 << 20;
constexpr std::chrono::seconds kConnectTime{10};

std::string quoted(const std::string& channel) {
  std::string out = "\"";
  for (char c : channel) out.append(c == '"' ? 2 : 1, c);
  return out + "\"";
}

}  // namespace

void Hub::listen(const ListenerPtr& listener, const std::vector<std::string>& channels) {
  {
    MutexLock lock(mutex_);
    std::erase_if(heard_, [&](const Heard& one) {
      ListenerPtr alive = one.listener.lock();
      return !alive || alive == listener;
    });
    if (!channels.empty()) heard_.push_back({listener, channels});
  }
  poke();
}

void Hub::compute_is(const ComputeAddress& address) {
  {
    MutexLock lock(mutex_);
    address_ = address;
  }
  poke();
}

void Hub::ready(uint64_t start, std::function<void()> done) {
  bool already;
  {
    MutexLock lock(mutex_);
    already = ready_start_ >= start;
    if (!already) waiting_.emplace_back(start, std::move(done));
  }
  if (already) return done();
  poke();
}

void Hub::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  poke();
}

// Has the worker look at what has changed.
void Hub::poke() {
  std::shared_ptr<Worker> worker = worker_.lock();
  if (!worker) return;
  worker->loop.post([hub = shared_from_this(), worker = worker.get()] {
    if (hub->event_ != nullptr) hub->event_->signal();
    if (hub->server_ && !hub->answer_due_) hub->server_->stream.interrupt();
    bool running;
    {
      MutexLock lock(hub->mutex_);
      running = std::exchange(hub->running_, true);
    }
    if (!running) worker->loop.spawn(hub->run(hub));
  });
}

std::set<std::string> Hub::wanted() {
  std::set<std::string> channels;
  std::erase_if(heard_, [](const Heard& one) { return one.listener.expired(); });
  for (const Heard& one : heard_) channels.insert(one.channels.begin(), one.channels.end());
  return channels;
}

std::optional<std::string> Hub::next_query() {
  MutexLock lock(mutex_);
  asked_ = wanted();
  std::string query;
  for (const std::string& channel : asked_)
    if (!listening_.contains(channel)) query += "LISTEN " + quoted(channel) + ";";
  for (const std::string& channel : listening_)
    if (!asked_.contains(channel)) query += "UNLISTEN " + quoted(channel) + ";";
  if (query.empty()) return std::nullopt;
  return query;
}

// `self` keeps it.
Task<void> Hub::run(std::shared_ptr<Hub> /*self*/) {
  std::shared_ptr<Worker> worker = worker_.lock();
  Event event(worker->loop);
  event_ = &event;
  while (true) {
    bool there = false;
    try {
      there = co_await connect();
      if (there) co_await hear();
    } catch (const Error& error) {
      if (error.code() != Errc::cancelled)
        logger.info("listening in {} of {}: {}", key_.database, key_.endpoint, error.what());
      if (error.code() != Errc::cancelled) lost();
    }
    {
      MutexLock lock(mutex_);
      if (stopping_ || (wanted().empty() && waiting_.empty())) {
        running_ = false;
        break;
      }
    }
    if (there) continue;
    settled();
    co_await event;
  }
  event_ = nullptr;
  server_.reset();
  listening_.clear();
  answer_due_ = false;
}

// False if there is no compute that we know of, or nothing to listen for.
Task<bool> Hub::connect() {
  ComputeAddress address;
  {
    MutexLock lock(mutex_);
    if (!address_ || wanted().empty() || stopping_) co_return false;
    if (server_ && server_->start == address_->start) co_return true;
    if (address_->start == failed_start_) co_return false;
    address = *address_;
  }
  lost();
  std::shared_ptr<Worker> worker = worker_.lock();
  Opened opened =
      co_await open_server(*worker, address, {{"user", key_.role}, {"database", key_.database}},
                           Deadline::after(kConnectTime));
  if (opened.refused)
    logger.warn("cannot listen in {} of {}: {}", key_.database, key_.endpoint,
                opened.refused->message);
  if (!opened.server) {
    MutexLock lock(mutex_);
    failed_start_ = address.start;
    co_return false;
  }
  server_ = std::move(opened.server);
  co_return true;
}

// Asks for what is missing, and hears what comes; returns, or is interrupted, for another look.
Task<void> Hub::hear() {
  ServerPtr server = server_;
  if (!answer_due_) {
    if (std::optional<std::string> query = next_query()) {
      std::string message;
      wire::put_query(message, *query);
      answer_due_ = true;
      co_await server->stream.write(message);
    } else {
      settled();
    }
  }
  char piece[4096];
  size_t size = co_await server->stream.read_some(piece);
  if (size == 0) throw Error(Errc::unavailable, "the compute closed the connection");
  std::string& in = server->unread;
  in.append(piece, size);
  size_t used = 0;
  while (auto message = wire::parse_message(as_bytes(in).subspan(used), kMaxMessage)) {
    std::string_view whole = std::string_view(in).substr(used, message->size);
    used += message->size;
    if (!take(*message, whole)) throw Error(Errc::unavailable, "the compute ended the connection");
  }
  in.erase(0, used);
}

bool Hub::take(const wire::Message& message, std::string_view whole) {
  switch (message.type) {
    case 'A':
      dispatch(message, whole);
      return true;
    case 'E':
      return wire::parse_error(message.body).severity == "ERROR";
    case 'Z':
      answer_due_ = false;
      listening_ = asked_;
      settled();
      return true;
    default:
      return true;
  }
}

void Hub::dispatch(const wire::Message& message, std::string_view whole) {
  Reader body(message.body);
  body.skip(4);
  std::string channel(body.cstring());
  std::vector<ListenerPtr> listeners;
  {
    MutexLock lock(mutex_);
    for (const Heard& one : heard_)
      if (one.confirmed &&
          std::find(one.channels.begin(), one.channels.end(), channel) != one.channels.end())
        if (ListenerPtr alive = one.listener.lock()) listeners.push_back(std::move(alive));
  }
  std::string text(whole);
  for (const ListenerPtr& listener : listeners) listener->notified(text);
}

// All that can be listened to is listened to: whoever waits for that is told.
void Hub::settled() {
  std::vector<std::pair<ListenerPtr, std::vector<std::string>>> confirmed;
  Callbacks ready;
  {
    MutexLock lock(mutex_);
    bool there = server_ != nullptr && !answer_due_;
    bool never = heard_.empty() || stopping_;
    uint64_t failed = failed_start_;
    if (there) ready_start_ = server_->start;
    for (Heard& one : heard_) {
      if (one.confirmed || !there) continue;
      one.confirmed = std::all_of(one.channels.begin(), one.channels.end(),
                                  [&](auto& channel) { return listening_.contains(channel); });
      if (ListenerPtr alive = one.listener.lock(); alive && one.confirmed)
        confirmed.emplace_back(std::move(alive), one.channels);
    }
    std::erase_if(waiting_, [&](auto& waiter) {
      bool here = there && server_->start >= waiter.first;
      bool over = here || never || failed >= waiter.first;
      if (over) ready.push_back(std::move(waiter.second));
      return over;
    });
  }
  for (auto& [listener, channels] : confirmed) listener->confirmed(channels);
  for (auto& done : ready) done();
}

void Hub::lost() {
  server_.reset();
  listening_.clear();
  answer_due_ = false;
}

}  // namespace halogen::proxy
