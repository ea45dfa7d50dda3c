// The session's third part: a compute, and the greeting.
#include "postgres/startup.h"
#include "protocol/session_state.h"
#include "proxy/session/session.h"

namespace halogen::proxy {
namespace {

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

Task<void> Session::serve() {
  std::string_view replication = login_.parameter("replication");
  bool replicates = !replication.empty() && replication != "off" && replication != "false" &&
                    replication != "0" && replication != "no";
  if (replicates && login_.route.pooled)
    throw Refused("0A000", "replication needs a direct connection",
                  "Connect to the host name without \"-pooler\".");
  enter(State::waking);
  if (AdminSession::is_wanted(login_)) co_return co_await serve_admin();
  use_.begin();
  auto since = steady_clock::now();
  if (replicates) co_return co_await replicate();
  talk_.emplace(conversation_options());
  co_await greet();
  shared_.metrics.wake_seconds.observe(
      std::chrono::duration<double>(steady_clock::now() - since).count());
  enter(State::active);
  TallyPtr& tally = worker_.tallies[{login_.route.endpoint, login_.database()}];
  if (!tally) tally = std::make_shared<Tally>();
  stats_.begin(tally);
  co_await converse();
}

Task<void> Session::serve_admin() {
  co_await greet_client(AdminSession::reported(login_));
  enter(State::active);
  co_await AdminSession(client_, stats_).serve();
}

Task<void> Session::replicate() {
  ServerPtr server;
  {
    EndWatch watch(client_);
    server = co_await use_.connect(login_.parameters, Deadline::after(shared_.options.wake_timeout),
                                   ComputeUse::For::session);
  }
  server_.take(server, Slot());
  co_await greet_client(server->state.reported);
  relay_ = std::make_unique<Relay>(client_, std::move(server));
  enter(State::active);
  co_await relay_->carry();
}

// A direct connection's server is opened with the client's own startup packet; servers of a pool
// with nothing in it but who they are for, so that any can be made any client's.
Conversation::Options Session::conversation_options() const {
  Conversation::Options options{shared_.texts};
  if (!login_.route.pooled) return options;
  options.startup = startup_items(startup_settings(login_.parameters));
  options.pooled = true;
  return options;
}

Task<void> Session::greet() {
  if (login_.route.pooled)
    pool_ = shared_.pools.find_or_add({login_.route.endpoint, login_.database(), login_.user});
  ReportedPtr reported;
  {
    EndWatch watch(client_);  // A client may give up while it waits for a compute; so do we.
    reported = co_await first_report();
  }
  co_await greet_client(reported);
}

// What this client's session reports at its beginning. Many clients of a pool begin alike: one
// looks it up for all, as long as the compute runs.
Task<ReportedPtr> Session::first_report() {
  const std::string startup = talk_->startup();
  if (pool_ && use_.start())
    if (std::optional<Greeting> known = shared_.pools.greeting(pool_, *use_.start(), startup)) {
      rights_.recognize(known->login);
      rights_.take_seats(known->login);
      talk_->begins_under(known->login.defaults);
      talk_->begins_with(known->reported);
      use_.end();
      co_return known->reported;
    }
  ServerPtr server = co_await first_server();
  rights_.take_seats(server->login);
  ReportedPtr reported = server->state.reported;
  if (pool_) shared_.pools.set_greeting(pool_, server->start, startup, {reported, server->login});
  talk_->begins_with(reported);
  if (!pool_ && server_loops_ == 0) spawn_server_loop();
  settle();
  co_return reported;
}

// One that has been made this client's. Where it is lost before it has said so, another: what it
// reported last may be its client's before.
Task<ServerPtr> Session::first_server() {
  while (true) {
    std::string to_server;
    co_await attach(to_server);
    if (!server_) throw Refused(talk_->refusal());
    ServerPtr server = server_.get();
    if (!to_server.empty()) {
      talk_->sync(to_server);
      spawn_server_loop();
      co_await send_to_server(to_server);
    }
    while (server_.get() == server && !talk_->at_rest())
      co_await client_.wait_for_event(Deadline::after(shared_.options.wake_timeout));
    if (client_.is_dismissed()) throw Refused(client_.last_words());
    if (server_.get() == server) co_return server;
  }
}

Task<void> Session::greet_client(const ReportedPtr& reported) {
  size_t secret_size = login_.minor >= 2 ? kLongSecret : kShortSecret;
  // A direct client has a backend of its own and is told that one's pid.
  uint32_t pid = server_ && !pool_ ? server_->cancel_target->key.pid : 0;
  server_.set_key(shared_.cancel_keys.add(secret_size, login_.route.endpoint, cancels_by(), pid));
  std::string out;
  wire::put_authentication_ok(out);
  for (auto& [name, value] : *reported) wire::put_parameter_status(out, name, value);
  wire::put_backend_key(out, server_.key()->pid, server_.key()->secret);
  wire::put_ready_for_query(out);
  co_await client_.stream.write(out);
}

}  // namespace halogen::proxy
