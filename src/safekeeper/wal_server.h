// wal_server.h: serves flushed WAL by the standard replication protocol (to a pageserver,
// pg_receivewal, ...), on a unix socket where Postgres clients look for one. The user name of a
// connection is the timeline's id in hex, the password a token for it (wal_access.h).
//
// Threads: one per connection, and one that accepts.
#pragma once
#include <string>

#include "net/socket.h"
#include "safekeeper/wal_session.h"

namespace halogen::safekeeper {

class WalServer {
 public:
  WalServer(const std::string& socket_folder, int port, WalGate gate)
      : gate_(std::move(gate)),
        listener_({.name = "safekeeper WAL server",
                   .socket = net::listen_unix(net::postgres_socket_path(socket_folder, port)),
                   .max_newcomers = 512},
                  [this](net::Socket& socket, const std::function<void()>& admitted) {
                    WalSession(socket, gate_, admitted).run();
                  }) {}

  void stop() { listener_.stop(); }

 private:
  const WalGate gate_;
  net::Listener listener_;
};

}  // namespace halogen::safekeeper
