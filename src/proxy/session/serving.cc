// The session's third part: a compute, and the greeting.
#include "postgres/startup.h"
#include "protocol/session_state.h"
#include "proxy/session/session.h"

namespace halogen::proxy {
namespace {

constexpr std::chrono::milliseconds kRetryPause{100};
constexpr std::chrono::milliseconds kLookForEnd{250};
constexpr std::string_view kCannotConnectNow = "57P03";
constexpr std::string_view kTooManyConnections = "53300";

constexpr std::chrono::milliseconds kRoomTime{1000};
constexpr std::chrono::milliseconds kRoomPause{10};

// Parameters that say who and where, not how the session is set.
bool is_identity(std::string_view name) {
  return name == "user" || name == "database" || name == "replication";
}

// All that a startup packet sets, `options` taken apart.
wire::Parameters startup_settings(const wire::Parameters& parameters) {
  wire::Parameters settings;
  for (auto& [name, value] : parameters) {
    if (is_identity(name)) continue;
    if (name != "options") {
      settings.emplace_back(name, value);
      continue;
    }
    try {
      for (auto& setting : startup::option_settings(startup::split_options(value)))
        settings.push_back(std::move(setting));
    } catch (const Error& error) {
      throw Refused("42601", error.what());
    }
  }
  return settings;
}

}  // namespace

std::string_view Session::parameter(std::string_view name) const {
  for (auto& [key, value] : parameters_)
    if (key == name) return value;
  return {};
}

void Session::begin_use() {
  if (std::exchange(in_use_, true)) return;
  usable_ = shared_.endpoints.use_began(route_.endpoint);
}

void Session::end_use() {
  if (!std::exchange(in_use_, false)) return;
  usable_.reset();
  shared_.endpoints.use_ended(route_.endpoint);
}

Task<void> Session::serve() {
  std::string_view replication = parameter("replication");
  bool replicates = !replication.empty() && replication != "off" && replication != "false" &&
                    replication != "0" && replication != "no";
  if (replicates && route_.pooled)
    throw Refused("0A000", "replication needs a direct connection",
                  "Connect to the host name without \"-pooler\".");
  enter(State::waking);
  if (is_admin()) co_return co_await serve_admin();
  begin_use();
  auto since = steady_clock::now();
  if (replicates) {
    co_await relay(Deadline::after(shared_.options.wake_timeout));
    co_return;
  }
  talk_.emplace(conversation_options());
  co_await greet();
  shared_.metrics.wake_seconds.observe(
      std::chrono::duration<double>(steady_clock::now() - since).count());
  enter(State::active);
  begin_tally();
  co_await converse();
}

// A direct connection's server is opened with the client's own startup packet; servers of a pool
// with nothing in it but who they are for, so that any can be made any client's.
Conversation::Options Session::conversation_options() const {
  Conversation::Options options{shared_.texts};
  if (!route_.pooled) return options;
  options.startup = startup_items(startup_settings(parameters_));
  options.pooled = true;
  return options;
}

Task<void> Session::greet() {
  watch_client();
  if (route_.pooled) {
    std::string_view database = parameter("database");
    pool_ = shared_.pools.find_or_add(
        {route_.endpoint, std::string(database.empty() ? user_ : database), user_});
  }
  ReportedPtr reported = co_await first_report();
  watching_ = false;
  co_await greet_client(reported);
}

// What this client's session reports at its beginning. Many clients of a pool begin alike: one
// looks it up for all, as long as the compute runs.
Task<ReportedPtr> Session::first_report() {
  const std::string startup = talk_->startup();
  if (pool_ && usable_)
    if (std::optional<Greeting> known = shared_.pools.greeting(pool_, *usable_, startup)) {
      recognize(known->login);
      take_seats(known->login);
      talk_->begins_under(known->login.defaults);
      talk_->begins_with(known->reported);
      end_use();
      co_return known->reported;
    }
  std::string to_server;
  co_await attach(to_server);
  if (!server_) throw Refused(talk_->refusal());
  ServerPtr server = server_;
  take_seats(server->login);
  if (!to_server.empty()) {
    talk_->sync(to_server);
    spawn_server_loop();
    co_await send_to_server(to_server);
  }
  while (server_ == server && !talk_->at_rest())
    co_await wait_for_event(Deadline::after(shared_.options.wake_timeout));
  if (last_words_) throw Refused(*last_words_);
  ReportedPtr reported = server->state.reported;
  if (pool_) shared_.pools.set_greeting(pool_, server->start, startup, {reported, server->login});
  talk_->begins_with(reported);
  if (!pool_ && server_loops_ == 0) spawn_server_loop();
  settle();
  co_return reported;
}

Task<void> Session::greet_client(const ReportedPtr& reported) {
  // A direct client has a backend of its own and is told that one's pid.
  uint32_t pid = server_ && !pool_ ? server_->cancel_target->key.pid : 0;
  cancel_key_ = shared_.cancel_keys.add(cancel_secret_size(), route_.endpoint, cancels_by(), pid);
  if (server_) shared_.cancel_keys.point(*cancel_key_, server_->cancel_target);
  std::string out;
  wire::put_authentication_ok(out);
  for (auto& [name, value] : *reported) wire::put_parameter_status(out, name, value);
  wire::put_backend_key(out, cancel_key_->pid, cancel_key_->secret);
  wire::put_ready_for_query(out);
  co_await client_.write(out);
}

// A client may give up while it waits for a compute; then so do we.
void Session::watch_client() {
  watching_ = true;
  worker_.loop.spawn(watch(weak_from_this(), ++watches_));
}

// Looks on while the session waits, and may outlive it. What the client has sent meanwhile stays
// unread, so its end cannot be waited for behind that, and is looked for from time to time.
Task<void> Session::watch(std::weak_ptr<Session> weak, uint64_t number) {
  while (auto session = weak.lock()) {
    if (!session->watching_ || session->watches_ != number) co_return;
    if (session->client_.gone()) {
      session->client_left_ = true;
      session->signal_event();
      co_return;
    }
    Loop& loop = session->worker_.loop;
    bool unread = session->client_.has_unread();
    Watch::Wait readable = session->client_.readable();
    session.reset();
    if (unread)
      co_await pause(loop, kLookForEnd);
    else if (!co_await readable)
      co_return;
  }
}

Task<ComputeAddress> Session::wake(Deadline deadline) {
  auto answer = co_await answer_of<ComputeAddress>(
      [this](auto done) { shared_.endpoints.wake(route_.endpoint, std::move(done)); }, deadline);
  if (answer && answer->value) {
    usable_ = answer->value->start;
    if (shared_.pools.compute_is(route_.endpoint, *answer->value))
      shared_.listeners.compute_is(route_.endpoint, *answer->value);
    co_await listeners_ready(answer->value->start, deadline);
    co_return *answer->value;
  }
  shared_.metrics.wake_failures.add();
  constexpr std::string_view kHint = "Try again shortly; if it persists, see the platform's log.";
  if (!answer)
    throw Refused(kCannotConnectNow,
                  fmt::format("the compute of this endpoint did not start within {} s",
                              shared_.options.wake_timeout.count() / 1000),
                  kHint, Errc::timed_out);
  throw Refused(kCannotConnectNow,
                fmt::format("the compute of this endpoint could not be started: {}",
                            answer->error ? answer->error->what() : "unknown error"),
                kHint, Errc::unavailable);
}

// What there are too many connections for, in Postgres' words; else it is all of the server.
Pools::Full Session::full_of(const wire::ErrorFields& refused) const {
  Pools::Full full;
  if (refused.message.starts_with("too many connections for role")) full.role = user_;
  if (refused.message.starts_with("too many connections for database")) full.database = database();
  return full;
}

Task<ServerPtr> Session::connect(const wire::Parameters& parameters, Deadline deadline,
                                 bool pooled) {
  auto room_until = steady_clock::now();
  while (true) {
    ComputeAddress address = co_await wake(deadline);
    Opened opened = co_await open_server(worker_, address, parameters, deadline);
    if (opened.server) {
      shared_.pools.epoch_is(route_.endpoint, opened.server->start, opened.server->login.epoch);
      co_return std::move(opened.server);
    }
    if (opened.refused && opened.refused->sqlstate == kTooManyConnections) {
      // Idle servers are no users. A backend gives its place back a while after it was closed.
      Pools::Full full = full_of(*opened.refused);
      if (shared_.pools.make_room(route_.endpoint, full))
        room_until = steady_clock::now() + kRoomTime;
      bool at_limit = full.role || full.database;
      if (pooled && (state_ == State::active || !at_limit)) co_return nullptr;
      if (steady_clock::now() < room_until) {
        co_await wait_for_event(Deadline::after(kRoomPause));
        throw_if_ended();
        continue;
      }
    }
    if (opened.refused) throw Refused(*opened.refused);
    if (deadline.passed())
      throw Refused(kCannotConnectNow, "the compute of this endpoint takes no connections",
                    "Try again shortly; if it persists, see the platform's log.", Errc::timed_out);
    co_await wait_for_event(Deadline::after(kRetryPause));
    throw_if_ended();
  }
}

}  // namespace halogen::proxy
