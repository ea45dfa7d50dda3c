// proxy.h: where clients arrive: TLS, the endpoint they mean, SCRAM, a compute woken for them, and
// then their bytes carried both ways until one side leaves. They come to one port as Postgres
// clients do, or to another by HTTP: with single queries, or in WebSockets.
//
// Threads: one event loop per two cores; a session stays on the one it was given. start() and
// stop() are called from one other thread. The process ignores SIGPIPE from start() on.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "protocol/endpoints.h"
#include "protocol/pooler_status.h"
#include "protocol/sql_door.h"
#include "proxy/session/options.h"

namespace halogen::proxy {

class Proxy : public Pooler, public SqlDoor {
 public:
  using Options = ProxyOptions;

  // `endpoints` outlives the proxy.
  Proxy(Options options, Endpoints& endpoints);
  ~Proxy() override;

  // Makes certificates, listens, and returns. Throws unavailable if the port is taken, io.
  void start();
  // Ends listening, and every session once it has nothing under way; waits for that as long as
  // `patience` and `goes_on()` let it. For replication it does not wait. stop() must follow.
  void drain(std::chrono::milliseconds patience, const std::function<bool()>& goes_on);
  // Ends listening, tells every client that it is terminated (57P01), closes, and returns when all
  // are gone or 5 s have passed. Idempotent.
  void stop();
  // Safe from any thread.
  PoolerStatus pooler_status(const std::string& endpoint_id, bool details) override;
  std::map<std::string, uint64_t> bytes_sent() override;
  bool end_client(const std::string& endpoint_id, uint64_t client_id) override;
  ssl_st* begin_tls(int socket) override;
  void take_in(UniqueFd socket, ssl_st* tls, std::string heard) override;
  // The ports listened on: for Postgres' protocol, and for HTTP.
  int port() const;
  int sql_port() const;
  // How many clients there are file descriptors for. After start().
  size_t room_for_clients() const;
  // Bytes of large messages, and of bodies and answers over HTTP, that are held in memory.
  size_t held_bytes() const;
  // What clients give as sslrootcert for sslmode=verify-full.
  fs::path ca_file() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace halogen::proxy
