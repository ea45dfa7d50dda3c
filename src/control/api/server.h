// server.h: the HTTP server of the API: routes, keys, errors.
//
// Threads: its own; handlers run on them and may block. The port is bound by the constructor, so
// that a taken one is known before anything else starts; answers begin with start().
#pragma once
#include <memory>
#include <string>

#include "base/file.h"
#include "control/api/http.h"

namespace halogen::control::api {

class Server {
 public:
  // Port 0 = any free one. Throws unavailable if it cannot be bound. `listener`, if valid, listens
  // there already.
  Server(const std::string& host, int port, UniqueFd listener = {});
  ~Server();

  int port() const;
  // `services` must outlive stop().
  void start(Services& services);
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace halogen::control::api
