// sql_door.h: where the API's server takes connections that ask for SQL over HTTP or a WebSocket:
// the proxy serves them as it serves those that came to its own port.
#pragma once
#include <string>

#include "base/file.h"

namespace halogen {

class SqlDoor {
 public:
  virtual ~SqlDoor() = default;

  // Takes a connection of HTTP/1.1 for one request, which begins with `heard`; the rest of it comes
  // from the socket. Closes it if nobody is served any more. Returns at once. Safe from any thread.
  virtual void take_in(UniqueFd socket, std::string heard) = 0;
};

}  // namespace halogen
