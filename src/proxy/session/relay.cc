// Replication connections: bytes both ways, with no look at what they say. They cannot be moved.
#include "base/log.h"
#include "proxy/session/session.h"

namespace halogen::proxy {
namespace {

const log::Logger logger("proxy");

}  // namespace

Task<void> Session::relay(Deadline deadline) {
  watch_client();
  server_ = co_await connect(parameters_, deadline, false);
  watching_ = false;
  co_await greet_client(server_->state.reported);
  relay_ = &server_->stream;
  shared_.replicating++;
  enter(State::active);
  co_await carry_both_ways();
}

Task<void> Session::carry_both_ways() {
  auto self = shared_from_this();
  worker_.loop.spawn(client_to_server(), [self](const std::exception_ptr&) {
    self->upstream_done_ = true;
    self->signal_event();
  });
  co_await server_to_client();
  client_.cancel();
  relay_->cancel();
  while (!upstream_done_) co_await wait_for_event(Deadline::never());

  if (client_left_) co_return;
  if (must_end() && from_server_.at_boundary()) throw Error(Errc::cancelled, "cancelled");
  // Postgres says why it ends a session: an error and then nothing more. Where it could not, we do.
  client_.allow();
  if (!client_.can_talk() || !from_server_.at_boundary() || from_server_.last_type() == 'E')
    co_return;
  throw Refused(
      "57P01", "terminating connection because the compute has stopped unexpectedly",
      "Connect again and retry: the compute is started again on the next connection. A "
      "transaction that was open has been rolled back, unless its commit was acknowledged.",
      Errc::unavailable);
}

Task<void> Session::client_to_server() {
  try {
    co_await carry_from_client();
  } catch (const Error& error) {
    logger.debug("client {}: {}", peer_, error.what());
  }
}

Task<void> Session::server_to_client() {
  try {
    co_await carry_from_server();
  } catch (const Error& error) {
    logger.debug("client {}: {}", peer_, error.what());
  }
}

// Ends when the client has sent its last, or the server takes no more (which the other direction
// finds out about by itself).
Task<void> Session::carry_from_client() {
  Io state = Io::want_read;
  while (true) {
    if (state == Io::want_write || !client_.buffered())
      co_await client_.wait(state);
    else
      co_await worker_.loop.next_round();
    state = Io::want_read;
    Buffer buffer(worker_.buffers);
    size_t size = 0;
    IoResult result;
    do {
      result = client_.read_now(buffer.span().subspan(size));
      if (result.state == Io::done) size += result.size;
    } while (result.state == Io::done && client_.buffered() && size < BufferPool::kBufferSize);

    if (size > 0) {
      std::string_view bytes(buffer.data(), size);
      from_client_.feed(bytes);
      shared_.metrics.bytes_in.add(static_cast<double>(size));
      if (from_client_.at_boundary() && from_client_.last_type() == 'X') client_left_ = true;
      co_await relay_->write(bytes);
    }
    if (result.state == Io::want_write) state = Io::want_write;
    if (result.state == Io::closed) {
      client_left_ = true;
      relay_->shutdown_send();
      co_return;
    }
    if (result.state == Io::failed) {
      client_left_ = true;
      relay_->cancel();  // Nobody is there for what it may still say.
      co_return;
    }
  }
}

Task<void> Session::carry_from_server() {
  while (true) {
    co_await relay_->wait(Io::want_read);
    Buffer buffer(worker_.buffers);
    IoResult result = relay_->read_now(buffer.span());
    if (result.state == Io::want_read) continue;
    if (result.state != Io::done) co_return;
    std::string_view bytes(buffer.data(), result.size);
    from_server_.feed(bytes);
    shared_.metrics.bytes_out.add(static_cast<double>(result.size));
    co_await client_.write(bytes);
  }
}

}  // namespace halogen::proxy
