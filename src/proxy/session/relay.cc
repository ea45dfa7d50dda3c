#include "proxy/session/relay.h"

namespace halogen::proxy {

Relay::Relay(ClientSide& client, ServerPtr server)
    : client_(client), kept_(std::move(server)), server_(kept_->stream) {
  client_.shared.replicating++;
}

Relay::~Relay() { client_.shared.replicating--; }

Task<void> Relay::carry() {
  client_.worker.loop.spawn(client_to_server(), [this](const std::exception_ptr&) {
    upstream_done_ = true;
    client_.signal();
  });
  co_await server_to_client();
  client_.stream.cancel();
  server_.cancel();
  while (!upstream_done_) co_await client_.wait_for_event(Deadline::never());

  if (client_.has_left()) co_return;
  if (client_.must_end() && from_server_.at_boundary()) throw Error(Errc::cancelled, "cancelled");
  // Postgres says why it ends a session: an error and then nothing more. Where it could not, we do.
  client_.stream.allow();
  if (!client_.stream.can_talk() || !from_server_.at_boundary() || from_server_.last_type() == 'E')
    co_return;
  throw Refused(
      "57P01", "terminating connection because the compute has stopped unexpectedly",
      "Connect again and retry: the compute is started again on the next connection. A "
      "transaction that was open has been rolled back, unless its commit was acknowledged.",
      Errc::unavailable);
}

Task<void> Relay::client_to_server() {
  try {
    co_await carry_from_client();
  } catch (const Error& error) {
    client_.note(error.what());
  }
}

Task<void> Relay::server_to_client() {
  try {
    co_await carry_from_server();
  } catch (const Error& error) {
    client_.note(error.what());
  }
}

// Ends when the client has sent its last, or the server takes no more (which the other direction
// finds out about by itself).
Task<void> Relay::carry_from_client() {
  Io state = Io::want_read;
  while (true) {
    if (state == Io::want_write || !client_.stream.buffered())
      co_await client_.stream.wait(state);
    else
      co_await client_.worker.loop.next_round();
    state = Io::want_read;
    Buffer buffer(client_.worker.buffers);
    size_t size = 0;
    IoResult result;
    do {
      result = client_.stream.read_now(buffer.span().subspan(size));
      if (result.state == Io::done) size += result.size;
    } while (result.state == Io::done && client_.stream.buffered() &&
             size < BufferPool::kBufferSize);

    if (size > 0) {
      std::string_view bytes(buffer.data(), size);
      from_client_.feed(bytes);
      client_.shared.metrics.bytes_in.add(static_cast<double>(size));
      if (from_client_.at_boundary() && from_client_.last_type() == 'X') client_.end(End::left);
      co_await server_.write(bytes);
    }
    if (result.state == Io::want_write) state = Io::want_write;
    if (result.state == Io::closed) {
      client_.end(End::left);
      server_.shutdown_send();
      co_return;
    }
    if (result.state == Io::failed) {
      client_.end(End::left);
      server_.cancel();  // Nobody is there for what it may still say.
      co_return;
    }
  }
}

Task<void> Relay::carry_from_server() {
  while (true) {
    co_await server_.wait(Io::want_read);
    Buffer buffer(client_.worker.buffers);
    IoResult result = server_.read_now(buffer.span());
    if (result.state == Io::want_read) continue;
    if (result.state != Io::done) co_return;
    std::string_view bytes(buffer.data(), result.size);
    from_server_.feed(bytes);
    client_.shared.metrics.bytes_out.add(static_cast<double>(result.size));
    co_await client_.stream.write(bytes);
  }
}

}  // namespace halogen::proxy
