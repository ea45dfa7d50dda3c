// How a session comes by a server, and lets it go.
#include "protocol/session_state.h"
#include "proxy/session/session.h"

namespace halogen::proxy {
namespace {

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

}  // namespace

// Without waiting: an idle server of the pool, or the one a direct session has. False if there is
// none; use_.begin() has been called in any case.
bool Session::attach_at_once(std::string& to_server) {
  use_.begin();
  if (!use_.start() || !pool_) return false;
  std::optional<Grant> grant = shared_.pools.take_idle(pool_, wanted());
  if (!grant || !rights_.cover(grant->server->login)) return false;
  adopt(std::move(*grant), to_server);
  spawn_server_loop();
  return true;
}

Wanted Session::wanted() const {
  Wanted wanted{*use_.start(), talk_->startup(), talk_->id(), &worker_, {}};
  if (state_ == State::active) wanted.as_of = rights_.as_of();
  return wanted;
}

// Waits for a server as long as that may take. Where none comes free in time the next request of
// the client is refused; throws where there can be none at all.
Task<void> Session::attach(std::string& to_server) {
  use_.begin();
  client_.cancel_asked = false;
  RequestStats::Waiting waiting(stats_);
  if (!pool_) {
    ServerPtr server =
        co_await use_.connect(session_parameters(), Deadline::after(shared_.options.wake_timeout),
                              ComputeUse::For::session);
    co_await check_rights();
    rights_.recognize(server->login);
    adopt({std::move(server), Slot()}, to_server);
    co_return;
  }
  PoolSettings settings = shared_.endpoints.pool_settings(login_.route.endpoint);
  shared_.pools.set_settings(login_.route.endpoint, settings);
  auto since = steady_clock::now();
  bool bounded = settings.query_wait_timeout.count() > 0;
  Deadline deadline = bounded ? Deadline::after(settings.query_wait_timeout) : Deadline::never();
  while (!deadline.passed()) {
    if (!use_.start()) co_await use_.wake(Deadline::after(shared_.options.wake_timeout));
    co_await check_rights();
    std::optional<Grant> grant = co_await wait_in_line(deadline);
    if (!grant) break;
    co_await check_rights();  // It may have been a long time.
    if (!grant->server)
      grant->server = co_await use_.connect(
          session_parameters(), Deadline::after(shared_.options.wake_timeout),
          state_ == State::active ? ComputeUse::For::pool : ComputeUse::For::newcomer_to_pool);
    if (grant->server && client_.cancel_asked)
      shared_.pools.give(std::move(grant->server), std::move(grant->slot));
    client_.throw_if_ended();
    if (grant->server) {
      rights_.recognize(grant->server->login);
      adopt(std::move(*grant), to_server);
      co_return;
    }
    // Others than pools have taken the room: direct clients, or who goes past us. Nothing says when
    // the compute has a place again: a backend gives its own back a while after it was closed.
    grant.reset();
    co_await client_.wait_for_event(Deadline::after(kNoRoomPause));
    client_.throw_if_ended();
  }
  auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - since);
  shared_.metrics.queue_timeouts.add();
  talk_->refuse(waited_in_vain(waited, shared_.pools.status_of(pool_)));
  use_.end();
}

// A client that is in already keeps its connection, whatever becomes of this request; unless it
// would not be let in any more.
Task<void> Session::attach_or_refuse(std::string& to_server) {
  try {
    co_await attach(to_server);
  } catch (const Refused& refused) {
    if (refused.code() == Errc::cancelled) throw;
    client_.log_end(refused.what());
    wire::ErrorFields why = refused.fields();
    if (lets_nobody_in(why.sqlstate)) {
      client_.dismiss(why);
      use_.end();
      co_return;
    }
    why.severity = "ERROR";
    talk_->refuse(why);
    use_.end();
  }
}

// What a server is opened with. That of a pool says nothing of this client.
wire::Parameters Session::session_parameters() const {
  wire::Parameters parameters;
  if (pool_) {
    const PoolKey& key = shared_.pools.key_of(pool_);
    parameters = {{"user", key.role}, {"database", key.database}};
  } else {
    parameters = login_.parameters;
  }
  parameters.emplace_back(kReportSessionSetting, "on");
  return parameters;
}

Task<std::optional<Grant>> Session::wait_in_line(Deadline deadline) {
  auto granted = std::make_shared<std::optional<Grant>>();
  auto take = client_.later([this, line = std::weak_ptr(granted)](std::shared_ptr<Grant> grant) {
    auto waits = line.lock();
    if (!waits) return;  // Not any more: the grant goes back with `grant`.
    *waits = std::move(*grant);
    client_.signal();
  });
  auto waiter = std::make_shared<Waiter>();
  waiter->worker = &worker_;
  waiter->granted = [take](Grant grant) { take(std::make_shared<Grant>(std::move(grant))); };
  std::optional<Grant> at_once = shared_.pools.acquire(pool_, wanted(), waiter);
  if (at_once) co_return at_once;
  shared_.metrics.waiting.add();
  auto since = steady_clock::now();
  while (!*granted && !deadline.passed() && !client_.must_end() && !client_.cancel_asked)
    co_await client_.wait_for_event(deadline);
  shared_.metrics.waiting.sub();
  shared_.metrics.queue_seconds.observe(
      std::chrono::duration<double>(steady_clock::now() - since).count());
  shared_.pools.withdraw(pool_, waiter);
  std::optional<Grant> grant = std::exchange(*granted, std::nullopt);  // Goes back if we throw.
  client_.throw_if_ended();
  co_return grant;
}

void Session::adopt(Grant grant, std::string& to_server) {
  server_.take(std::move(grant.server), std::move(grant.slot));
  use_.starts_as(server_->start);
  talk_->begins_under(server_->login.defaults);
  talk_->attach(server_->state, to_server);
}

Task<void> Session::check_rights() {
  if (state_ == State::active) co_await rights_.check();
}

// Called whenever something has come to an end: is the server still needed?
void Session::settle() {
  if (!server_ || !talk_->attached()) return;
  Conversation::Counts counts = talk_->take_counts();
  shared_.metrics.queries.add(static_cast<double>(counts.queries));
  shared_.metrics.transactions.add(static_cast<double>(counts.transactions));
  stats_.completed(counts.queries, counts.transactions);
  if (server_.is_sending()) return;  // Whoever sends comes here again.
  if (!talk_->movable()) {
    if (talk_->nothing_under_way()) watch_pin();
    return;
  }
  if (pool_) {
    give_server();
    return;
  }
  pin_.releases();
  use_.end();
}

void Session::give_server() {
  pin_.releases();
  talk_->detach();
  server_.give();
  use_.end();
}

void Session::drop_server() {
  pin_.releases();
  server_.drop();
  use_.end();
}

// What sequences gave is kept for the session as long as nobody else has need of its server: then
// it is given, and currval is an error, as in a new session.
void Session::lend() {
  auto lender = std::make_shared<Lender>();
  lender->asked = client_.later([this] {
    if (!pin_.is_lent() || !server_ || client_.is_telling() || server_.is_sending()) return;
    if (talk_->at_rest() && talk_->pinned_by() == kSequence) give_server();
  });
  shared_.pools.can_lend(pool_, lender);
  pin_.lends(std::move(lender));
}

void Session::watch_pin() {
  std::string_view reason = talk_->pinned_by();
  if (pool_ && reason == kSequence && talk_->at_rest()) lend();
  pin_.keeps(reason.empty() ? "transaction" : reason);
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
