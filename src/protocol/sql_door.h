// sql_door.h: what the API's server has of the proxy: the certificate, and a place for connections
// that ask for SQL over HTTP or a WebSocket, which are served as those that come to the proxy's own
// port.
#pragma once
#include <string>

#include "base/file.h"

struct ssl_st;

namespace halogen {

class SqlDoor {
 public:
  virtual ~SqlDoor() = default;

  // The server's side of TLS over this socket, before its handshake, with the platform's
  // certificate and for HTTP/1.1; the caller's (SSL_free), and over before the proxy is. nullptr if
  // there is no such thing now. Safe from any thread.
  virtual ssl_st* begin_tls(int socket) = 0;
  // Takes a connection of HTTP/1.1 for one request, which begins with `heard`; the rest of it comes
  // from the socket, by `tls` unless that is nullptr. Closes it if nobody is served any more.
  // Returns at once. Safe from any thread.
  virtual void take_in(UniqueFd socket, ssl_st* tls, std::string heard) = 0;
};

}  // namespace halogen
