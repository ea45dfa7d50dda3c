// sql_request.h: what a POST to /sql asks for, and the messages of Postgres' protocol that do it.
// Pure; a stranger's bytes.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/http/connection_string.h"
#include "proxy/http/http_request.h"

namespace halogen::proxy {

struct SqlQuery {
  std::string text;
  std::vector<std::optional<std::string>> parameters;  // In Postgres' text; nullopt is NULL.
  bool array_mode = false;                             // Rows are arrays, not objects.
};

struct SqlRequest {
  ConnectionString to;
  bool raw_text = false;  // Values are strings as Postgres printed them.
  bool batch = false;     // The queries are one transaction.
  std::vector<SqlQuery> queries;
  std::string isolation;  // Of a batch, as the header said; "" is the default.
  bool read_only = false;
  bool deferrable = false;

  // What the answer says of the transaction.
  std::vector<std::pair<std::string, std::string>> echo() const;
};

// Throws HttpError. The request's body is used up.
SqlRequest parse_sql_request(HttpRequest& request);

// What a client says that connects, is asked for a password, and runs the queries; it has said all
// before it hears anything. The queries are used up.
std::string wire_messages(SqlRequest& request);
// How many statements that are.
size_t statement_count(const SqlRequest& request);

}  // namespace halogen::proxy
