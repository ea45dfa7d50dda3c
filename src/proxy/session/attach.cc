// How a session comes by a server, and lets it go.
#include "base/error.h"
#include "base/log.h"
#include "protocol/session_state.h"
#include "proxy/session/session.h"

namespace halogen::proxy {
namespace {

const log::Logger logger("proxy");

constexpr std::chrono::milliseconds kNoRoomPause{50};
constexpr std::string_view kSequence = "sequence";

wire::ErrorFields waited_in_vain(std::chrono::milliseconds waited, const PoolStatus& pool) {
  wire::ErrorFields fields;
  fields.sqlstate = "53300";
  fields.message = fmt::format("no server connection came free within {:.1f} s",
                               std::chrono::duration<double>(waited).count());
  fields.detail = fmt::format(
      "{} of at most {} server connections for database \"{}\" and role \"{}\" are in use.",
      pool.used, pool.size, pool.key.database, pool.key.role);
  fields.hint =
      "Shorten transactions, or raise the endpoint's pool_size, its max_connections, or "
      "query_wait_timeout.";
  return fields;
}

// Role, password, database or CONNECT: it will be the same at the next attempt.
bool lets_nobody_in(std::string_view sqlstate) {
  return sqlstate.starts_with("28") || sqlstate == "3D000" || sqlstate == "42501" ||
         sqlstate == "55000";
}

// Says that a session waits, and counts how long.
class Waiting {
 public:
  Waiting(std::optional<steady_clock::time_point>& since, const TallyPtr& tally)
      : since_(since), tally_(tally) {
    since_ = steady_clock::now();
  }
  ~Waiting() {
    if (tally_) tally_->totals.wait_time += steady_clock::now() - *since_;
    since_.reset();
  }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  std::optional<steady_clock::time_point>& since_;
  const TallyPtr& tally_;
};

}  // namespace

// Without waiting: an idle server of the pool, or the one a direct session has. False if there is
// none; begin_use() has been called in any case.
bool Session::attach_at_once(std::string& to_server) {
  begin_use();
  if (!usable_ || !pool_) return false;
  std::optional<Grant> grant = shared_.pools.take_idle(pool_, wanted());
  if (!grant || !is_mine(grant->server->login)) return false;
  slot_ = std::move(grant->slot);
  adopt(std::move(grant->server), to_server);
  spawn_server_loop();
  return true;
}

Wanted Session::wanted() const {
  Wanted wanted{*usable_, talk_->startup(), talk_->id(), &worker_, {}};
  if (state_ == State::active) wanted.as_of = rights_.as_of;
  return wanted;
}

// Waits for a server as long as that may take. Where none comes free in time the next request of
// the client is refused; throws where there can be none at all.
Task<void> Session::attach(std::string& to_server) {
  begin_use();
  cancel_asked_ = false;
  Waiting waiting(waits_since_, tally_);
  if (!pool_) {
    ServerPtr server = co_await connect(session_parameters(),
                                        Deadline::after(shared_.options.wake_timeout), false);
    co_await check_rights();
    recognize(server->login);
    adopt(std::move(server), to_server);
    co_return;
  }
  PoolSettings settings = shared_.endpoints.pool_settings(route_.endpoint);
  shared_.pools.set_settings(route_.endpoint, settings);
  auto since = steady_clock::now();
  bool bounded = settings.query_wait_timeout.count() > 0;
  Deadline deadline = bounded ? Deadline::after(settings.query_wait_timeout) : Deadline::never();
  while (!deadline.passed()) {
    if (!usable_) co_await wake(Deadline::after(shared_.options.wake_timeout));
    co_await check_rights();
    std::optional<Grant> grant = co_await wait_in_line(deadline);
    if (!grant) break;
    co_await check_rights();  // It may have been a long time.
    if (!grant->server)
      grant->server = co_await connect(session_parameters(),
                                       Deadline::after(shared_.options.wake_timeout), true);
    if (grant->server && cancel_asked_)
      shared_.pools.give(std::move(grant->server), std::move(grant->slot));
    throw_if_ended();
    if (grant->server) {
      recognize(grant->server->login);
      slot_ = std::move(grant->slot);
      adopt(std::move(grant->server), to_server);
      co_return;
    }
    // Others than pools have taken the room: direct clients, or who goes past us. Nothing says when
    // the compute has a place again: a backend gives its own back a while after it was closed.
    grant.reset();
    co_await wait_for_event(Deadline::after(kNoRoomPause));
    throw_if_ended();
  }
  auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - since);
  shared_.metrics.queue_timeouts.add();
  talk_->refuse(waited_in_vain(waited, shared_.pools.status_of(pool_)));
  end_use();
}

// A client that is in already keeps its connection, whatever becomes of this request; unless it
// would not be let in any more.
Task<void> Session::attach_or_refuse(std::string& to_server) {
  try {
    co_await attach(to_server);
  } catch (const Refused& refused) {
    if (refused.code() == Errc::cancelled) throw;
    log_end(refused.what());
    wire::ErrorFields why = refused.fields();
    if (lets_nobody_in(why.sqlstate)) {
      last_words_ = std::make_unique<wire::ErrorFields>(why);
      end_use();
      co_return;
    }
    why.severity = "ERROR";
    talk_->refuse(why);
    end_use();
  }
}

// What a server is opened with. That of a pool says nothing of this client.
wire::Parameters Session::session_parameters() const {
  wire::Parameters parameters;
  if (pool_) {
    const PoolKey& key = shared_.pools.key_of(pool_);
    parameters = {{"user", key.role}, {"database", key.database}};
  } else {
    parameters = parameters_;
  }
  parameters.emplace_back(kReportSessionSetting, "on");
  return parameters;
}

Task<std::optional<Grant>> Session::wait_in_line(Deadline deadline) {
  auto waiter = std::make_shared<Waiter>();
  waiter->worker = &worker_;
  waiter->granted = [worker = worker_.weak_from_this(), weak = weak_from_this()](Grant grant) {
    std::shared_ptr<Worker> alive = worker.lock();
    if (!alive) return;
    auto held = std::make_shared<Grant>(std::move(grant));
    alive->loop.post([weak, held] {
      auto session = weak.lock();
      if (!session || !session->in_line_) return;  // The grant goes back with `held`.
      session->grant_ = std::move(*held);
      session->signal_event();
    });
  };
  std::optional<Grant> grant = shared_.pools.acquire(pool_, wanted(), waiter);
  if (grant) co_return grant;
  grant_.reset();
  in_line_ = true;
  shared_.metrics.waiting.add();
  auto since = steady_clock::now();
  while (!grant_ && !deadline.passed() && !must_end() && !cancel_asked_)
    co_await wait_for_event(deadline);
  shared_.metrics.waiting.sub();
  shared_.metrics.queue_seconds.observe(
      std::chrono::duration<double>(steady_clock::now() - since).count());
  in_line_ = false;
  shared_.pools.withdraw(pool_, waiter);
  grant = std::exchange(grant_, std::nullopt);  // Goes back if we throw.
  throw_if_ended();
  co_return grant;
}

void Session::adopt(ServerPtr server, std::string& to_server) {
  server->move_to(worker_);
  server_ = std::move(server);
  usable_ = server_->start;
  talk_->begins_under(server_->login.defaults);
  talk_->attach(server_->state, to_server);
  if (cancel_key_) shared_.cancel_keys.point(*cancel_key_, server_->cancel_target);
}

// Which start of the compute takes queries now.
std::optional<uint64_t> Session::current_start() {
  std::optional<uint64_t> start = shared_.endpoints.use_began(route_.endpoint);
  shared_.endpoints.use_ended(route_.endpoint);
  return start;
}

// Called whenever something has come to an end: is the server still needed?
void Session::settle() {
  if (!server_ || !talk_->attached()) return;
  Conversation::Counts counts = talk_->take_counts();
  shared_.metrics.queries.add(static_cast<double>(counts.queries));
  shared_.metrics.transactions.add(static_cast<double>(counts.transactions));
  queries_ += counts.queries;
  transactions_ += counts.transactions;
  if (tally_) {
    tally_->totals.queries += counts.queries;
    tally_->totals.transactions += counts.transactions;
  }
  if (sending_) return;  // What is on its way must not reach its next owner.
  if (!talk_->movable()) {
    if (talk_->nothing_under_way()) watch_pin();
    return;
  }
  if (pool_) {
    give_server();
    return;
  }
  set_pin({});
  end_use();
}

void Session::give_server() {
  CHECK(!sending_);
  set_pin({});
  talk_->detach();
  ServerPtr server = std::move(server_);
  server->stream.interrupt();  // Our loop, if it waits.
  bool clean = !cancel_key_ || shared_.cancel_keys.point_nowhere(*cancel_key_);
  if (!clean) server->stream.cancel();
  if (clean && server->unread.empty()) shared_.pools.give(std::move(server), std::move(slot_));
  slot_ = Slot();
  end_use();
}

// It is gone, or of no use.
void Session::drop_server() {
  set_pin({});
  if (server_) server_->stream.cancel();
  server_.reset();
  if (cancel_key_) shared_.cancel_keys.point_nowhere(*cancel_key_);
  slot_ = Slot();
  end_use();
}

// What sequences gave is kept for the session as long as nobody else has need of its server: then
// it is given, and currval is an error, as in a new session.
void Session::lend() {
  lender_ = std::make_shared<Lender>();
  lender_->asked = [worker = worker_.weak_from_this(), weak = weak_from_this()] {
    std::shared_ptr<Worker> alive = worker.lock();
    if (!alive) return;
    alive->loop.post([weak] {
      auto session = weak.lock();
      if (!session || !session->lender_ || !session->server_ || session->telling_ ||
          session->sending_)
        return;
      if (session->talk_->at_rest() && session->talk_->pinned_by() == kSequence)
        session->give_server();
    });
  };
  shared_.pools.can_lend(pool_, lender_);
}

// The session does nothing, but holds what cannot be moved: for so long, and no longer. In a
// transaction that is after each statement: the timer stays set, and looks when it fires.
void Session::watch_pin() {
  std::string_view reason = talk_->pinned_by();
  if (pool_ && reason == kSequence && talk_->at_rest()) lend();
  if (pin_.empty())
    pin_bound_ = shared_.endpoints.pool_settings(route_.endpoint).pinned_idle_timeout;
  set_pin(reason.empty() ? "transaction" : reason);
  unused_since_ = steady_clock::now();
  auto end = *unused_since_ + pin_bound_;
  if (pin_bound_.count() > 0 && end < pin_timer_.when()) look_at_pin(end);
}

void Session::look_at_pin(steady_clock::time_point when) {
  pin_timer_.set(when, [this] {
    if (unused_since_ && server_) end_pin();
  });
}

// If it is time.
void Session::end_pin() {
  if (pin_bound_.count() == 0) return;
  auto end = *unused_since_ + pin_bound_;
  if (steady_clock::now() < end) {
    look_at_pin(end);
    return;
  }
  log_end(fmt::format("held its compute for {} s without using it ({}): its server is closed",
                      pin_bound_.count() / 1000, pin_));
  pin_expired_ = true;
  server_->stream.cancel();
}

void Session::set_pin(std::string_view reason) {
  if (pin_ == reason) return;
  if (!pin_.empty()) {
    shared_.metrics.pinned(pin_).sub();
    unused_since_.reset();
    lender_.reset();
  }
  pin_ = reason;
  if (pin_.empty()) return;
  shared_.metrics.pinned(pin_).add();
  logger.debug("client {} of {}: keeps its server: {}", peer_, route_.endpoint, pin_);
}

wire::ErrorFields Session::loss(std::string_view why) const {
  wire::ErrorFields fields;
  fields.sqlstate = "57P01";
  fields.message = why;
  std::string_view held = talk_->pinned_by();
  if (!held.empty())
    fields.detail = fmt::format("What this session held there is lost: {}.", held);
  else if (talk_->transaction_status() == 'I')
    fields.detail = "Whether the statement took effect is not known.";
  else
    fields.detail = "The transaction has been rolled back.";
  fields.hint = "Retry: this connection can be used again, and the compute is started when needed.";
  return fields;
}

}  // namespace halogen::proxy
