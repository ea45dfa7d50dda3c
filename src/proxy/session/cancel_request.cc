#include "proxy/session/cancel_request.h"

#include <cerrno>

#include "base/log.h"
#include "net/socket.h"

namespace halogen::proxy {
namespace {

const log::Logger logger("proxy");

constexpr std::chrono::seconds kCancelTime{10};
constexpr std::chrono::milliseconds kCancelPause{10};

Task<void> deliver(ClientSide& client, const CancelTarget& target) {
  Deadline deadline = Deadline::after(kCancelTime);
  UniqueFd socket = net::try_connect_unix(target.socket);
  while (!socket.valid() && errno == EAGAIN && !deadline.passed() && !client.must_end()) {
    co_await client.wait_for_event(Deadline::after(kCancelPause));  // Many are being cancelled.
    socket = net::try_connect_unix(target.socket);
  }
  if (!socket.valid()) co_return;
  Stream stream(client.worker.loop, std::move(socket));
  Timer limit(client.worker.loop);
  limit.set(deadline.at(), [&stream] { stream.cancel(); });
  co_await stream.write(wire::cancel_request(target.key.pid, target.key.key));
  char byte;
  while (co_await stream.read_some({&byte, 1}) > 0) {
  }
}

}  // namespace

Task<void> forward_cancel(ClientSide& client, ClientKey key) {
  Shared& shared = client.shared;
  std::optional<WaitingClient> waiting = shared.cancel_keys.waiting_client(key);
  if (!waiting) co_return;
  client.charge.give_back();
  bool allowed = shared.endpoints.address_allowed(waiting->endpoint, client.address);
  (allowed ? shared.metrics.cancels : shared.metrics.not_allowed).add();
  if (!allowed) co_return;
  auto waited = co_await client.answer_of<bool>(
      [&](auto done) { waiting->cancel([done](bool was) { done(Outcome<bool>{.value = was}); }); },
      Deadline::after(kCancelTime));
  if (waited && *waited->value) co_return;
  std::optional<CancelTarget> target = shared.cancel_keys.begin(key);
  if (!target) co_return;
  try {
    co_await deliver(client, *target);
  } catch (const Error& error) {
    logger.debug("cancel request of {}: {}", client.peer, error.what());
  }
  shared.cancel_keys.end(key);
}

}  // namespace halogen::proxy
