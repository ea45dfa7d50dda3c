// sql.h: SQL to a compute's own Postgres, over its unix socket, as its superuser.
//
// Used by one thread at a time. Every wait ends at its deadline: Errc::timed_out.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "protocol/compute_host.h"

struct pg_conn;

namespace halogen::compute {

inline constexpr const char* kSuperuser = "cloud_admin";

using SqlRow = std::vector<std::string>;  // NULL is an empty string.

class SqlConnection {
 public:
  // unavailable if nobody listens there, or Postgres refuses.
  SqlConnection(const ComputeAddress& address, const std::string& database, Deadline deadline);
  ~SqlConnection();
  SqlConnection(const SqlConnection&) = delete;
  SqlConnection& operator=(const SqlConnection&) = delete;

  // Runs one statement or several (then as one transaction); the rows of the last one. Throws what
  // Postgres answers, its SQLSTATE turned into the nearest Errc.
  std::vector<SqlRow> query(const std::string& sql, Deadline deadline);
  // The rows of each.
  std::vector<std::vector<SqlRow>> query_all(const std::string& sql, Deadline deadline);

 private:
  // Waits until the socket is readable (or writable); throws timed_out.
  void wait_socket(bool readable, bool writable, Deadline deadline);
  void send(const std::string& sql, Deadline deadline);

  pg_conn* connection_;
};

RoleList read_roles(SqlConnection& connection, Deadline deadline);
std::vector<StoredDatabase> read_databases(SqlConnection& connection, Deadline deadline);

}  // namespace halogen::compute
