// connection_string.h: postgres://user:password@host/database?parameters, as a request over HTTP
// names whom it is for. Pure; a stranger's bytes.
#pragma once
#include <string>
#include <string_view>

#include "postgres/wire.h"

namespace halogen::proxy {

struct ConnectionString {
  std::string user;
  std::string password;
  std::string host;
  std::string database;         // "" is the user's name.
  wire::Parameters parameters;  // What a startup packet says of them: others mean nothing to us.
};

// Throws HttpError in the words of docs/serverless.md.
ConnectionString parse_connection_string(std::string_view text);

}  // namespace halogen::proxy
