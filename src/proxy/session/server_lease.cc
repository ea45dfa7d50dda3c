#include "proxy/session/server_lease.h"

#include "base/error.h"

namespace halogen::proxy {

void ServerLease::set_key(CancelKeys::Told key) {
  key_.emplace(std::move(key));
  if (server_) key_->point(server_->cancel_target);
}

bool ServerLease::point_nowhere() { return !key_ || key_->point_nowhere(); }

void ServerLease::take(ServerPtr server, Slot slot) {
  server->move_to(client_.worker);
  server_ = std::move(server);
  slot_ = std::move(slot);
  finishing_ = false;
  if (key_) key_->point(server_->cancel_target);
}

bool ServerLease::send_at_once(std::string_view& bytes) {
  if (!server_) return true;
  if (sending_) return false;
  bytes.remove_prefix(server_->stream.write_what_fits(bytes));
  return bytes.empty();
}

Task<void> ServerLease::send(std::string_view bytes) {
  ServerPtr server = server_;
  while (sending_) co_await sent_;
  if (!server || server_ != server) co_return;
  sending_ = true;
  try {
    co_await server->stream.write(bytes);
  } catch (const Error& error) {
    client_.note(error.what());
    server->stream.cancel();
  }
  sending_ = false;
  sent_.signal();
}

void ServerLease::finish() {
  server_->stream.shutdown_send();
  finishing_ = true;
}

void ServerLease::give() {
  CHECK(!sending_, "invariant 3: a server is given on while bytes are on their way to it");
  ServerPtr server = std::move(server_);
  server->stream.interrupt();  // Whoever reads from it, if that one waits.
  bool reusable = point_nowhere() && !finishing_ && server->unread.empty();
  if (reusable)
    client_.shared.pools.give(std::move(server), std::move(slot_));
  else
    server->stream.cancel();
  slot_ = Slot();
}

void ServerLease::drop() {
  if (server_) server_->stream.cancel();
  server_.reset();
  point_nowhere();
  slot_ = Slot();
}

}  // namespace halogen::proxy
