// bounded_server.h: the HTTP library's server, with bounds on what a client can ask of it.
//
// The library (0.11) reads headers without end, bodies without a length or compressed without a
// limit, and a request as slowly as the client likes, all before anybody could ask for a key. So
// connections are read through a stream that counts, and a request is judged when its headers are
// there, before its body is read.
#pragma once
#include <httplib.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "base/file.h"

namespace halogen::control::api {

constexpr size_t kMostHeaderBytes = 32 << 10;  // The request line with them.
constexpr size_t kMostHeaders = 100;
// The library matches paths by recursion, a character deep.
constexpr size_t kMostPath = 1024;
constexpr size_t kMostBody = 1 << 20;
constexpr std::chrono::seconds kIdleTime{5};      // Between requests of a connection.
constexpr std::chrono::seconds kHeaderTime{5};    // From the first byte to the end of the headers.
constexpr std::chrono::seconds kRequestTime{30};  // From the first byte to the end of the body.

struct Refusal {
  int status;
  std::string message;
};
// What is wrong with a request, as far as its headers tell; nullopt: nothing. Pure.
std::optional<Refusal> refusal(const httplib::Request& request);

class BoundedServer : public httplib::Server {
 public:
  // Asked of each request before its body is read. What it refuses, the pre-routing handler must
  // answer; the connection is closed then, for the body has not been read. Before listening.
  using Judge = std::function<std::optional<Refusal>(const httplib::Request&)>;
  void set_judge(Judge judge) { judge_ = std::move(judge); }
  // Connections whose request `is_meant` are handed to `take`, with what has been read of them
  // since that request began: nothing of it has been judged or answered. Before listening.
  void set_diversion(std::function<bool(const httplib::Request&)> is_meant,
                     std::function<void(UniqueFd, std::string)> take) {
    is_diverted_ = std::move(is_meant);
    take_ = std::move(take);
  }

 private:
  bool process_and_close_socket(socket_t socket) override;

  Judge judge_;
  std::function<bool(const httplib::Request&)> is_diverted_;
  std::function<void(UniqueFd, std::string)> take_;
};

}  // namespace halogen::control::api
