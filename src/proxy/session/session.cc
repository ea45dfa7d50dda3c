#include "proxy/session/session.h"

#include "proxy/session/authenticator.h"
#include "proxy/session/handshake.h"

namespace halogen::proxy {
namespace {

constexpr std::chrono::seconds kFarewellTime{5};        // To take our last words.
constexpr std::chrono::milliseconds kLingerTime{2000};  // To close its side.
constexpr std::chrono::milliseconds kLingerTimeAtStop{300};

Refused going_down() {
  return Refused("57P01", "terminating connection due to administrator command",
                 "The platform is being stopped. Connect again when it is back.");
}

}  // namespace

Session::Session(Shared& shared, Worker& worker, Connection connection, Origin origin)
    : client_(shared, worker, std::move(connection), std::move(origin)),
      shared_(shared),
      worker_(worker),
      login_(client_.login),
      deadline_timer_(worker_.loop),
      rights_(client_),
      server_(client_),
      use_(client_),
      held_(shared.held_bytes),
      pin_(client_, [this] { server_->stream.cancel(); }),
      stats_(client_.since),
      listening_(client_, {[this] { return talk_ && state_ == State::active; },
                           [this] { tell_notifications(); },
                           [this](const Refused& why) { end_with(why); }}) {
  worker_.sessions.insert(this);
  newcomer_ = worker_.newcomers.insert(worker_.newcomers.end(), this);
  shared_.sessions++;
  shared_.unauthenticated++;
  shared_.metrics.starting.add();
}

Session::~Session() {
  worker_.sessions.erase(this);
  leave_newcomers();
  shared_.metrics.of(state_).sub();
  relay_.reset();  // First: the replicating are sessions, too.
  shared_.sessions--;
}

void Session::leave_newcomers() {
  if (state_ != State::starting) return;
  shared_.unauthenticated--;
  worker_.newcomers.erase(newcomer_);
}

void Session::enter(State state) {
  leave_newcomers();
  shared_.metrics.of(state_).sub();
  state_ = state;
  shared_.metrics.of(state_).add();
}

void Session::start() {
  client_.belongs_to(shared_from_this());
  deadline_timer_.set(client_.startup_deadline.at(), [this] {
    if (state_ == State::starting) cut_off(End::timed_out);
  });
  worker_.loop.spawn(run(shared_from_this()));
}

// A newcomer.
void Session::cut_off(End why) {
  client_.end(why);
  client_.stream.cancel();
  client_.signal();
}

bool Session::is_ending() const { return client_.is_dismissed() || state_ == State::closing; }

bool Session::has_work() const {
  if (state_ != State::active || !talk_) return false;
  return client_.is_telling() || stats_.waits_since() || !heard_.empty() ||
         client_.stream.buffered() || !talk_->at_rest();
}

void Session::retire() {
  if (is_ending() || relay_ != nullptr || has_work()) return;
  shared_.drained++;
  end_with(going_down());
}

void Session::lose_endpoint() {
  if (is_ending()) return;
  end_with(Refused("57P04", "terminating connection because its endpoint has been deleted"));
}

void Session::kill() {
  if (is_ending()) return;
  client_.log_end("ended by an administrator");
  end_with(Refused("57P01", "terminating connection due to administrator command"));
}

void Session::end_with(const Refused& why) {
  client_.dismiss(why.fields());
  interrupt();
}

void Session::terminate() {
  if (has_work()) shared_.cut_off++;
  interrupt();
}

void Session::interrupt() {
  client_.stream.cancel();
  if (server_) server_->stream.cancel();
  if (relay_ != nullptr) relay_->cancel();
  client_.signal();
}

bool Session::give_way(steady_clock::time_point since) {
  if (client_.waits_for_us || client_.ended() == End::crowded_out || client_.since > since)
    return false;
  shared_.metrics.crowded_out.add();
  cut_off(End::crowded_out);
  return true;
}

// What the client is to be told; nullopt where there is nobody to tell.
std::optional<wire::ErrorFields> Session::explain(const Error& error) {
  if (auto* refused = dynamic_cast<const Refused*>(&error)) {
    if (error.code() != Errc::cancelled) client_.log_end(error.what());
    return refused->fields();
  }
  if (client_.has_left()) return std::nullopt;
  if (client_.is_dismissed()) return client_.last_words();
  if (shared_.stopping) return going_down().fields();
  if (client_.ended() != End::none) return explain_cut_off();
  if (error.code() == Errc::corrupt || error.code() == Errc::permission_denied) {
    client_.log_end(error.what());
    return Refused(error.code() == Errc::corrupt ? "08P01" : "28000", error.what()).fields();
  }
  if (error.code() != Errc::cancelled && error.code() != Errc::unavailable)
    client_.log_end(error.what());
  else
    client_.note(error.what());
  return std::nullopt;
}

// A newcomer that has kept others waiting. It counts as a failed attempt, so that nobody does so
// for long.
wire::ErrorFields Session::explain_cut_off() {
  shared_.auth_limits.end({client_.address, "", login_.user}, AuthLimits::Result::wrong,
                          steady_clock::now());
  if (client_.ended() == End::crowded_out) {
    client_.log_end("cut off before it was authenticated: others wait for its place");
    return too_many_newcomers().fields();
  }
  client_.log_end("timed out before it was authenticated");
  return Refused("08006", "canceling authentication due to timeout").fields();
}

// False if there is nothing to serve: it was a cancel request.
Task<bool> Session::log_in() {
  std::optional<startup::Packet> packet = co_await Handshake(client_).receive_startup();
  if (!packet) co_return false;
  rights_.note(co_await Authenticator(client_).authenticate(std::move(*packet)));
  client_.charge.give_back();
  deadline_timer_.cancel();
  co_return true;
}

Task<std::optional<wire::ErrorFields>> Session::live() {
  try {
    if (co_await log_in()) co_await serve();
    co_return std::nullopt;
  } catch (const Error& error) {
    co_return explain(error);
  } catch (const std::exception& error) {
    client_.log_end(error.what());
    co_return std::nullopt;
  }
}

// `self` keeps it.
Task<void> Session::run(std::shared_ptr<Session> /*self*/) {
  std::optional<wire::ErrorFields> reason = co_await live();
  client_.charge.spend();
  enter(State::closing);
  if (talk_) drop_server();
  listening_.leave();
  use_.end();
  try {
    co_await say_goodbye(reason);
  } catch (const std::exception& error) {
    client_.note(error.what());
  }
  deadline_timer_.cancel();
}

// Closing a socket with unread bytes in it sends a reset, which can overtake our last words: so we
// end our side, and give the client a little time to end its own.
Task<void> Session::say_goodbye(const std::optional<wire::ErrorFields>& reason) {
  auto limit = [this](std::chrono::milliseconds time) {
    deadline_timer_.set(steady_clock::now() + time, [this] { client_.stream.cancel(); });
  };
  client_.stream.allow();
  if (reason && client_.understands && client_.stream.can_talk()) {
    std::string message;
    wire::put_error(message, *reason);
    limit(kFarewellTime);
    co_await client_.stream.write(message);
  }
  client_.stream.shutdown_send();
  limit(shared_.draining ? kLingerTimeAtStop : kLingerTime);
  char unwanted[512];
  while (co_await client_.stream.read_some(unwanted) > 0) {
  }
}

// What cancel requests for this client ask first, from their own threads.
CancelWaiting Session::cancels_by() {
  return [worker = worker_.weak_from_this(), weak = weak_from_this()](auto done) {
    std::shared_ptr<Worker> alive = worker.lock();
    if (!alive) return done(false);
    alive->loop.post([weak, done] {
      auto session = weak.lock();
      done(session && session->cancel_waiting());
    });
  };
}

// Cancels the request that waits for a server, if one does: it is answered with an error, and never
// sent. Returns whether one did.
bool Session::cancel_waiting() {
  if (state_ != State::active || !stats_.waits_since()) return false;
  client_.cancel_asked = true;
  client_.signal();
  return true;
}

}  // namespace halogen::proxy
