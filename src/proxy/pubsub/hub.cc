#include "proxy/pubsub/hub.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "protocol/session_state.h"

namespace halogen::proxy {
namespace {

const log::Logger logger("proxy");

constexpr size_t kMaxMessage = 1 << 20;
constexpr std::chrono::seconds kConnectTime{10};
constexpr std::chrono::milliseconds kFirstRetry{50};
constexpr std::chrono::milliseconds kLastRetry{5000};
constexpr int kMostTriesInVain = 6;  // Where nothing answers: the compute has been suspended.
// What a backend says that ends in order. One whose postmaster has died says something else, with
// the same SQLSTATE. lc_messages is the superuser's.
constexpr std::string_view kEndsInOrder = "terminating connection due to administrator command";

std::string quoted(const std::string& channel) {
  std::string out = "\"";
  for (char c : channel) out.append(c == '"' ? 2 : 1, c);
  return out + "\"";
}

}  // namespace

Hub::Hub(ListeningPlace place, const std::shared_ptr<Worker>& worker,
         std::function<bool(Hub&)> retire)
    : place_(std::move(place)),
      worker_(worker),
      retire_(std::move(retire)),
      changed_(worker->loop),
      retry_(worker->loop),
      patience_(worker->loop) {}

void Hub::ask(std::function<void(Hub&)> what) {
  std::shared_ptr<Worker> worker = worker_.lock();
  if (!worker) return;
  asked_for_++;
  worker->loop.post([hub = shared_from_this(), what = std::move(what)] {
    what(*hub);
    hub->asked_for_--;
    hub->look_again();
  });
}

void Hub::listen(const ListenerPtr& listener, const std::string& role,
                 const std::vector<std::string>& channels) {
  auto known = std::find_if(heard_.begin(), heard_.end(),
                            [&](const Heard& one) { return one.listener.lock() == listener; });
  std::set<std::string> active;
  if (known != heard_.end()) {
    for (const std::string& channel : channels)
      if (known->active.contains(channel)) active.insert(channel);
    heard_.erase(known);
  }
  if (channels.empty()) return;
  heard_.push_back({listener, role, channels, std::move(active)});
  if (heard_.back().confirmed()) listener->confirmed(channels);
}

void Hub::notified(const NotifyingTransaction& transaction, uint32_t client_pid) {
  if (!server_) return;
  order_.attribute(transaction, client_pid);
  tell();
}

void Hub::when_told(const NotifyingTransaction& transaction, std::function<void()> done) {
  if (!server_ || order_.has_ended(transaction)) return done();
  told_waits_.emplace_back(transaction, std::move(done));
}

void Hub::compute_is(const ComputeAddress& address) {
  address_ = address;
  failures_ = 0;
  retry_.cancel();
}

void Hub::ready(uint64_t start, std::function<void()> done) {
  if (last_start_ >= start || tried_start_ >= start) return done();
  ready_waits_.emplace_back(start, std::move(done));
}

void Hub::stop() { stopping_ = true; }

// Something has changed: run() has a look, and begins if it does not run.
void Hub::look_again() {
  changed_.signal();
  if (server_ && !answer_due_) server_->stream.interrupt();
  std::shared_ptr<Worker> worker = worker_.lock();
  if (!running_ && worker && !std::exchange(running_, true))
    worker->loop.spawn(run(shared_from_this()));
}

bool Hub::is_needed() {
  std::erase_if(heard_, [](const Heard& one) { return one.listener.expired(); });
  return !stopping_ && !heard_.empty();
}

// `self` keeps it.
Task<void> Hub::run(std::shared_ptr<Hub> /*self*/) {
  while (is_needed() || (!stopping_ && !retire_(*this))) {
    bool there = false;
    try {
      there = co_await connect();
      if (there) co_await hear();
    } catch (const Error& error) {
      if (error.code() == Errc::cancelled) continue;
      logger.info("listening in {} of {}: {}", place_.database, place_.endpoint, error.what());
      lost();
      if (++failures_ > 1) try_later();
      continue;
    }
    if (!there) co_await changed_;
  }
  running_ = false;
  retry_.cancel();
  lost();
  let_wait_no_more(UINT64_MAX);
}

// False if there is no compute that we know of, or it is not to be tried now.
Task<bool> Hub::connect() {
  if (!address_ || !is_needed()) co_return false;
  if (server_) co_return true;  // Where the compute has been started anew: to its end.
  if (retry_.when() != steady_clock::time_point::max()) co_return false;
  const ComputeAddress address = *address_;
  if (tried_start_ == address.start && failures_ >= kMostTriesInVain) co_return false;
  std::shared_ptr<Worker> worker = worker_.lock();
  // Any of those that listen will do: roles come and go.
  const std::string role = heard_[static_cast<size_t>(failures_) % heard_.size()].role;
  Opened opened = co_await open_server(
      *worker, address,
      {{"user", role}, {"database", place_.database}, {"client_encoding", place_.encoding}},
      Deadline::after(kConnectTime));
  if (opened.server)
    connected(std::move(opened.server));
  else
    cannot_connect(opened);
  co_return server_ != nullptr;
}

void Hub::connected(ServerPtr server) {
  // What was notified since the last connection to this start ended was not heard.
  bool gap = last_start_ == server->start || tried_start_ == server->start;
  told_to_go_ = false;
  server_ = std::move(server);
  if (gap) missed();
}

void Hub::cannot_connect(const Opened& opened) {
  if (opened.refused && failures_ == 0)
    logger.warn("cannot listen in {} of {}, will try again: {}", place_.database, place_.endpoint,
                opened.refused->message);
  tried_start_ = address_->start;
  let_wait_no_more(address_->start);
  // A refusal comes from a compute that runs: it is tried for ever.
  failures_ = opened.refused ? std::min(failures_ + 1, kMostTriesInVain - 1) : failures_ + 1;
  try_later();
}

void Hub::try_later() {
  auto time = std::min<std::chrono::milliseconds>(kFirstRetry * (1 << failures_), kLastRetry);
  retry_.set(steady_clock::now() + time, [this] { changed_.signal(); });
}

std::set<std::string> Hub::wanted() {
  std::set<std::string> channels{kNotifyChannel};
  for (const Heard& one : heard_) channels.insert(one.channels.begin(), one.channels.end());
  return channels;
}

// What is to be said next; nullopt if there is nothing to do before something changes.
std::optional<std::string> Hub::next_query() {
  asked_ = wanted();
  std::string query;
  for (const std::string& channel : asked_)
    if (!listening_.contains(channel)) query += "LISTEN " + quoted(channel) + ";";
  for (const std::string& channel : listening_)
    if (!asked_.contains(channel)) query += "UNLISTEN " + quoted(channel) + ";";
  if (query.empty()) return std::nullopt;
  return query;
}

// Asks for what is missing, and hears what comes; returns, or is interrupted, for another look.
Task<void> Hub::hear() {
  ServerPtr server = server_;
  if (!answer_due_ && server->start == address_->start) {
    if (std::optional<std::string> query = next_query()) {
      std::string message;
      wire::put_query(message, *query);
      answer_due_ = true;
      co_await server->stream.write(message);
    } else {
      settled();
    }
  }
  char piece[16384];
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
  tell();
}

// False at the connection's end.
bool Hub::take(const wire::Message& message, std::string_view whole) {
  switch (message.type) {
    case 'A':
      order_.arrived(whole, steady_clock::now());
      return true;
    case 'E':
      told_to_go_ = wire::parse_error(message.body).message == kEndsInOrder;
      return false;
    case 'Z':
      answer_due_ = false;
      listening_ = asked_;
      settled();
      return true;
    default:
      return true;
  }
}

// Tells what has been heard, to each listener all of its own at once.
void Hub::tell() {
  std::map<ListenerPtr, std::vector<MessagePtr>> told;
  std::vector<NotifyingTransaction> ended;
  for (NotificationOrder::Heard& one : order_.take(steady_clock::now())) {
    if (one.ended) ended.push_back(*one.ended);
    for (const Heard& heard : heard_) {
      if (!one.message || !heard.active.contains(one.channel)) continue;
      if (ListenerPtr alive = heard.listener.lock()) told[std::move(alive)].push_back(one.message);
    }
  }
  for (auto& [listener, messages] : told) listener->notified(messages);
  for (const NotifyingTransaction& transaction : ended) tell_ended(transaction);
  if (auto when = order_.patience_ends())
    patience_.set(*when, [this] { tell(); });
  else
    patience_.cancel();
}

void Hub::tell_ended(const NotifyingTransaction& transaction) {
  std::erase_if(told_waits_, [&](auto& wait) {
    bool over =
        wait.first.backend == transaction.backend && wait.first.number <= transaction.number;
    if (over) wait.second();
    return over;
  });
}

// All that can be listened to is listened to: whoever waits for that is told.
void Hub::settled() {
  for (Heard& one : heard_) {
    if (one.confirmed()) continue;
    for (const std::string& channel : one.channels)
      if (listening_.contains(channel)) one.active.insert(channel);
    if (ListenerPtr alive = one.listener.lock(); alive && one.confirmed())
      alive->confirmed(one.channels);
  }
  failures_ = 0;
  tried_start_ = 0;
  last_start_ = server_->start;
  let_wait_no_more(last_start_);
}

void Hub::let_wait_no_more(uint64_t start) {
  std::erase_if(ready_waits_, [&](auto& wait) {
    bool over = wait.first <= start;
    if (over) wait.second();
    return over;
  });
}

// The connection has ended. Of a Postgres that is stopping all has been heard; another that ended
// may have taken with it what it had not told yet.
void Hub::lost() {
  if (!server_) return;
  if (last_start_ != server_->start) tried_start_ = server_->start;
  server_.reset();
  listening_.clear();
  answer_due_ = false;
  order_ = {};
  patience_.cancel();
  if (!told_to_go_) missed();
  for (auto& [transaction, done] : std::exchange(told_waits_, {})) done();
}

void Hub::missed() {
  auto deaf = std::partition(heard_.begin(), heard_.end(),
                             [](const Heard& one) { return one.active.empty(); });
  std::vector<Heard> told(deaf, heard_.end());
  heard_.erase(deaf, heard_.end());
  for (const Heard& one : told)
    if (ListenerPtr alive = one.listener.lock()) alive->missed();
}

}  // namespace halogen::proxy
