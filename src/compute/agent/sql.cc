#include "compute/agent/sql.h"

#include <libpq-fe.h>
#include <poll.h>

#include <cerrno>
#include <optional>

#include "base/error.h"
#include "protocol/login_secret.h"

namespace halogen::compute {
namespace {

std::string trimmed(const char* text) {
  std::string out = text == nullptr ? "" : text;
  while (!out.empty() && (out.back() == '\n' || out.back() == ' ')) out.pop_back();
  return out;
}

Errc code_of(std::string_view state) {
  if (state == "42710" || state == "42P04" || state == "42P06" || state == "42P07")
    return Errc::already_exists;
  if (state == "42704" || state == "3D000" || state == "42P01") return Errc::not_found;
  if (state == "42501" || state.starts_with("28")) return Errc::permission_denied;
  if (state.starts_with("55") || state.starts_with("2B")) return Errc::conflict;
  if (state == "57014") return Errc::timed_out;
  if (state.starts_with("57") || state.starts_with("08") || state.starts_with("53"))
    return Errc::unavailable;
  if (state.starts_with("42") || state.starts_with("22") || state.starts_with("23"))
    return Errc::invalid_argument;
  return Errc::internal;
}

Error error_of(const PGresult* result) {
  const char* state = ::PQresultErrorField(result, PG_DIAG_SQLSTATE);
  if (state == nullptr)  // Not an answer of the server: the connection broke.
    return Error(Errc::unavailable, "postgres: {}", trimmed(::PQresultErrorMessage(result)));
  const char* primary = ::PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  const char* detail = ::PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
  std::string text = trimmed(primary);
  if (detail != nullptr) text += " (" + trimmed(detail) + ")";
  return Error(code_of(state), "postgres: {} [{}]", text, state);
}

std::vector<SqlRow> rows_of(const PGresult* result) {
  std::vector<SqlRow> rows(static_cast<size_t>(::PQntuples(result)));
  for (size_t r = 0; r < rows.size(); ++r)
    for (int c = 0; c < ::PQnfields(result); ++c)
      rows[r].push_back(::PQgetvalue(result, static_cast<int>(r), c));
  return rows;
}

struct ClearResult {
  void operator()(PGresult* result) const { ::PQclear(result); }
};
using Result = std::unique_ptr<PGresult, ClearResult>;

void cancel(pg_conn* connection) {
  PGcancel* cancel = ::PQgetCancel(connection);
  if (cancel == nullptr) return;
  char why[256];
  ::PQcancel(cancel, why, sizeof why);
  ::PQfreeCancel(cancel);
}

}  // namespace

SqlConnection::SqlConnection(const ComputeAddress& address, const std::string& database,
                             Deadline deadline) {
  std::string port = std::to_string(address.port);
  // Whatever a user has set for all sessions must not get in our way.
  constexpr std::string_view kOptions =
      "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 "
      "-c idle_session_timeout=0 -c default_transaction_read_only=off -c synchronous_commit=on "
      "-c search_path=pg_catalog,pg_temp";
  const std::string options = with_login_secret(address.login_secret, kOptions);
  const char* keys[] = {"host", "port", "user", "dbname", "application_name", "options", nullptr};
  const char* values[] = {address.socket_folder.c_str(),
                          port.c_str(),
                          kSuperuser,
                          database.c_str(),
                          "halogen_agent",
                          options.c_str(),
                          nullptr};
  connection_ = ::PQconnectStartParams(keys, values, 0);
  try {
    if (connection_ == nullptr) throw Error(Errc::internal, "libpq: out of memory");
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    while (::PQstatus(connection_) != CONNECTION_BAD && state != PGRES_POLLING_OK) {
      wait_socket(state == PGRES_POLLING_READING, state == PGRES_POLLING_WRITING, deadline);
      state = ::PQconnectPoll(connection_);
      if (state == PGRES_POLLING_FAILED) break;
    }
    if (::PQstatus(connection_) != CONNECTION_OK)
      throw Error(Errc::unavailable, "postgres: {}", trimmed(::PQerrorMessage(connection_)));
    ::PQsetnonblocking(connection_, 1);
    ::PQsetNoticeProcessor(connection_, [](void*, const char*) {}, nullptr);
  } catch (...) {
    ::PQfinish(connection_);
    throw;
  }
}

SqlConnection::~SqlConnection() { ::PQfinish(connection_); }

void SqlConnection::wait_socket(bool readable, bool writable, Deadline deadline) {
  pollfd poll{::PQsocket(connection_), 0, 0};
  if (readable) poll.events |= POLLIN;
  if (writable) poll.events |= POLLOUT;
  for (;;) {
    int ready = ::poll(&poll, 1, static_cast<int>(deadline.left().count()));
    if (ready > 0) return;
    if (ready < 0 && errno != EINTR) throw system_error(errno, "poll");
    if (deadline.passed()) throw Error(Errc::timed_out, "postgres did not answer in time");
  }
}

void SqlConnection::send(const std::string& sql, Deadline deadline) {
  if (::PQsendQuery(connection_, sql.c_str()) != 1)
    throw Error(Errc::unavailable, "postgres: {}", trimmed(::PQerrorMessage(connection_)));
  for (;;) {
    int left = ::PQflush(connection_);
    if (left == 0) return;
    if (left < 0)
      throw Error(Errc::unavailable, "postgres: {}", trimmed(::PQerrorMessage(connection_)));
    wait_socket(true, true, deadline);
    ::PQconsumeInput(connection_);
  }
}

std::vector<SqlRow> SqlConnection::query(const std::string& sql, Deadline deadline) {
  auto all = query_all(sql, deadline);
  return all.empty() ? std::vector<SqlRow>() : std::move(all.back());
}

std::vector<std::vector<SqlRow>> SqlConnection::query_all(const std::string& sql,
                                                          Deadline deadline) {
  send(sql, deadline);
  std::vector<std::vector<SqlRow>> all;
  std::optional<Error> error;
  for (;;) {
    while (::PQisBusy(connection_)) {
      try {
        wait_socket(true, false, deadline);
      } catch (const Error&) {
        cancel(connection_);
        throw;
      }
      if (::PQconsumeInput(connection_) != 1)
        throw Error(Errc::unavailable, "postgres: {}", trimmed(::PQerrorMessage(connection_)));
    }
    Result result(::PQgetResult(connection_));
    if (!result) break;
    switch (::PQresultStatus(result.get())) {
      case PGRES_TUPLES_OK:
        all.push_back(rows_of(result.get()));
        break;
      case PGRES_COMMAND_OK:
      case PGRES_EMPTY_QUERY:
        all.emplace_back();
        break;
      case PGRES_COPY_IN:
      case PGRES_COPY_OUT:
      case PGRES_COPY_BOTH:
        throw Error(Errc::invalid_argument, "COPY to or from the client does not work here");
      default:
        if (!error) error = error_of(result.get());
        if (::PQstatus(connection_) == CONNECTION_BAD) throw *error;
    }
  }
  if (error) throw *error;
  return all;
}

// The epoch first, which takes no snapshot: a change in between then counts as one after both.
RoleList read_roles(SqlConnection& connection, Deadline deadline) {
  auto answers = connection.query_all(
      "SHOW halogen.epoch;"
      "SELECT rolname, rolpassword, rolcanlogin, oid, CASE WHEN pg_catalog.isfinite(rolvaliduntil) "
      "THEN (EXTRACT(epoch FROM rolvaliduntil) * 1000000)::pg_catalog.int8 "
      "WHEN rolvaliduntil < pg_catalog.now() THEN 0 END "
      "FROM pg_catalog.pg_authid WHERE rolname !~ '^pg_' ORDER BY rolname",
      deadline);
  RoleList list;
  const std::string& epoch = answers.at(0).at(0).at(0);
  if (!epoch.empty()) list.epoch = std::stoull(epoch);
  for (const SqlRow& row : answers.at(1)) {
    StoredRole role{row[0], row[1], row[2] == "t", static_cast<uint32_t>(std::stoul(row[3]))};
    if (!row[4].empty()) role.valid_until = std::stoll(row[4]);
    list.roles.push_back(std::move(role));
  }
  return list;
}

std::vector<StoredDatabase> read_databases(SqlConnection& connection, Deadline deadline) {
  std::vector<StoredDatabase> databases;
  for (const SqlRow& row : connection.query(
           "SELECT datname, pg_catalog.pg_get_userbyid(datdba) FROM pg_catalog.pg_database "
           "WHERE NOT datistemplate AND datname <> 'postgres' ORDER BY datname",
           deadline))
    databases.push_back({row[0], row[1]});
  return databases;
}

}  // namespace halogen::compute
