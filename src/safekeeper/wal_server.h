// wal_server.h: serves flushed WAL to anyone who speaks the standard replication protocol
// (pageserver, pg_receivewal, ...), on a unix socket where Postgres clients look for one. The user
// name of a connection is the timeline's id in hex.
//
// Threads: one per connection, and one that accepts.
#pragma once
#include <string>

#include "net/socket.h"
#include "safekeeper/wal_session.h"

namespace halogen::safekeeper {

class WalServer {
 public:
  // `find` throws not_found; its answer stays alive for as long as it is served.
  WalServer(const std::string& socket_folder, int port, WalSession::Find find)
      : find_(std::move(find)),
        listener_({.name = "safekeeper WAL server",
                   .socket = net::listen_unix(net::postgres_socket_path(socket_folder, port))},
                  [this](net::Socket& socket) { WalSession(socket, find_).run(); }) {}

  void stop() { listener_.stop(); }

 private:
  const WalSession::Find find_;
  net::Listener listener_;
};

}  // namespace halogen::safekeeper
