#include "proxy/session/client_side.h"

#include "base/log.h"
#include "proxy/auth/auth_limits.h"

namespace halogen::proxy {
namespace {

const log::Logger logger("proxy");

constexpr std::chrono::milliseconds kTurn{200};  // Until one that waits for its turn asks again.
constexpr std::chrono::milliseconds kWatchAfter{50};
constexpr std::chrono::milliseconds kLookForEnd{250};

}  // namespace

std::string_view Login::parameter(std::string_view name) const {
  for (const auto& [key, value] : parameters)
    if (key == name) return value;
  return {};
}

std::string Login::database() const {
  std::string_view given = parameter("database");
  return std::string(given.empty() ? user : given);
}

ClientSide::ClientSide(Shared& the_shared, Worker& the_worker, Connection connection, Origin origin)
    : shared(the_shared),
      worker(the_worker),
      id(the_shared.next_client++),
      peer(std::move(origin.peer)),
      address(origin.address),
      tunnel(std::move(origin.tunnel)),
      stream(the_worker.loop, std::move(connection)),
      startup_deadline(Deadline::after(the_shared.options.startup_timeout)),
      charge(the_shared.work_limits, address),
      event_(the_worker.loop),
      told_(the_worker.loop) {}

void ClientSide::belongs_to(const std::shared_ptr<void>& session) {
  self_ = std::shared_ptr<ClientSide>(session, this);
}

void ClientSide::end(End why) {
  if (end_ == End::none) end_ = why;
}

void ClientSide::dismiss(const wire::ErrorFields& last_words) {
  if (end_ == End::dismissed) return;
  end_ = End::dismissed;
  last_words_ = std::make_unique<wire::ErrorFields>(last_words);
}

void ClientSide::throw_if_ended() {
  if (must_end()) throw Error(Errc::cancelled, "cancelled");
  if (std::exchange(cancel_asked, false))
    throw Refused("57014", "canceling statement due to user request");
}

void ClientSide::log_end(std::string_view what) const {
  int held_back = shared.log_limit.admit();
  if (held_back < 0) return;
  log::Trace trace(id_text());
  std::string more = held_back > 0 ? fmt::format(" ({} such lines left out)", held_back) : "";
  if (login.route.endpoint.empty())
    logger.info("client {}: {}{}", peer, what, more);
  else
    logger.info("client {} of {} as \"{}\": {}{}", peer, login.route.endpoint, login.user, what,
                more);
}

void ClientSide::note(std::string_view what) const {
  log::Trace trace(id_text());
  logger.debug("client {}: {}", peer, what);
}

bool ClientSide::tell_at_once(std::string_view& bytes) {
  if (telling_) return false;
  size_t size = stream.write_what_fits(bytes);
  shared.metrics.bytes_out.add(static_cast<double>(size));
  bytes.remove_prefix(size);
  return bytes.empty();
}

Task<void> ClientSide::tell(std::string_view bytes) {
  while (telling_) co_await told_;
  telling_ = true;
  shared.metrics.bytes_out.add(static_cast<double>(bytes.size()));
  std::exception_ptr failure;
  try {
    co_await stream.write(bytes);
  } catch (...) {
    failure = std::current_exception();
  }
  telling_ = false;
  told_.signal();
  if (failure) std::rethrow_exception(failure);
}

Task<void> ClientSide::wait_for_event(Deadline deadline) {
  Timer timer(worker.loop);
  timer.set(deadline.at(), [this] { signal(); });
  co_await event_;
}

Task<void> ClientSide::charge_work() {
  while (!charge.take(steady_clock::now())) {
    if (shared.work_limits.is_empty(address, steady_clock::now())) {
      shared.metrics.auth_limited.add();
      throw spent_all();
    }
    co_await wait_for_event(Deadline::after(kTurn));
    throw_if_ended();
  }
}

// Most waits are over sooner than it begins: a server comes free.
EndWatch::EndWatch(ClientSide& client) : client_(client), begins_(client.worker.loop) {
  begins_.set(steady_clock::now() + kWatchAfter, [&client] {
    client.watch_ = ++client.watches_;
    client.worker.loop.spawn(ClientSide::watch(client.worker.loop, client.self_, client.watch_));
  });
}

// May outlive the session. What the client has sent meanwhile stays unread, so its end cannot be
// waited for behind that, and is looked for from time to time.
Task<void> ClientSide::watch(Loop& loop, std::weak_ptr<ClientSide> weak, uint64_t number) {
  while (auto client = weak.lock()) {
    if (client->watch_ != number) co_return;
    if (client->stream.gone()) {
      client->end(End::left);
      client->signal();
      co_return;
    }
    bool unread = client->stream.has_unread();
    Watch::Wait readable = client->stream.readable();
    client.reset();
    if (unread)
      co_await pause(loop, kLookForEnd);
    else if (!co_await readable)
      co_return;
  }
}

}  // namespace halogen::proxy
