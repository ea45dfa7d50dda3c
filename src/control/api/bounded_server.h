// bounded_server.h: the HTTP library's server, with bounds on what a client can ask of it.
//
// The library (0.11) reads headers without end, bodies without a length or compressed without a
// limit, and a request as slowly as the client likes, all before anybody could ask for a key; and
// it keeps a thread for each connection. So only its requests and answers are of use here:
// connections are ours (connections.h), have no thread until the head of a request is there, and
// are read through a stream that counts; a request is judged by its headers, before its body is
// read.
//
// TLS is begun by who begins with it. Without it only clients on this machine are answered.
#pragma once
#include <httplib.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "base/file.h"
#include "control/api/connections.h"

struct ssl_st;

namespace halogen::control::api {

constexpr size_t kMostHeaderBytes = 32 << 10;  // The request line with them.
constexpr size_t kMostHeaders = 100;
// The library matches paths by recursion, a character deep.
constexpr size_t kMostPath = 1024;
constexpr size_t kMostBody = 1 << 20;
constexpr std::chrono::seconds kIdleTime{60};   // Between requests of a connection.
constexpr std::chrono::seconds kHeaderTime{5};  // From the first byte to the end of the headers.
constexpr std::chrono::seconds kHandshakeTime{5};
constexpr std::chrono::seconds kRequestTime{30};  // From the first byte to the end of the body.

struct Refusal {
  int status;
  std::string message;
};
// What is wrong with a request, as far as its headers tell; nullopt: nothing. Pure.
std::optional<Refusal> refusal(const httplib::Request& request);

class BoundedServer : public httplib::Server {
 public:
  // So many requests are answered at once.
  explicit BoundedServer(size_t threads);
  ~BoundedServer() override;
  BoundedServer(const BoundedServer&) = delete;
  BoundedServer& operator=(const BoundedServer&) = delete;

  // Asked of each request before its body is read. What it refuses, the pre-routing handler must
  // answer; the connection is closed then, for the body has not been read. Before listening.
  using Judge = std::function<std::optional<Refusal>(const httplib::Request&)>;
  void set_judge(Judge judge) { judge_ = std::move(judge); }
  // Connections whose request `is_meant` are handed to `take`, with what has been read of them
  // since that request began: nothing of it has been judged or answered. Before listening.
  void set_diversion(std::function<bool(const httplib::Request&)> is_meant,
                     std::function<void(UniqueFd, ssl_st*, std::string)> take) {
    is_diverted_ = std::move(is_meant);
    take_ = std::move(take);
  }
  // What begins TLS on a socket (SqlDoor::begin_tls); none: there is no TLS here. Before serve().
  // Handlers find X-Forwarded-Proto set to "https" on what came by it.
  void set_tls(std::function<ssl_st*(int)> begin) { begin_tls_ = std::move(begin); }

  // In place of bind_to_port(): a socket that listens already.
  void take_listener(UniqueFd listener) { svr_sock_ = listener.release(); }

  // In place of listen_after_bind() and stop(): until end(), which any thread may call, before it
  // too.
  void serve();
  void end();

 private:
  class Client;
  class BoundedStream;

  bool begin(Client& client) const;
  Connections::Then serve_client(Client& client);
  Connections::Then serve_request(Client& client);
  void close_listener();

  Judge judge_;
  std::function<bool(const httplib::Request&)> is_diverted_;
  std::function<void(UniqueFd, ssl_st*, std::string)> take_;
  std::function<ssl_st*(int)> begin_tls_;
  std::unique_ptr<Connections> connections_;
};

}  // namespace halogen::control::api
