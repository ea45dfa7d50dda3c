// wire.h: PostgreSQL's protocol version 3, built into and parsed out of buffers. No I/O.
//
// put_* append one whole message to `out`. Parsers take bytes from outside: they throw
// Errc::corrupt on anything malformed, never read out of bounds, and what they return as views
// points into the given buffer.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/lsn.h"

namespace halogen::wire {

// The first word of the packet that opens a connection.
constexpr uint32_t kProtocol3 = 3u << 16;
constexpr uint32_t kCancelRequest = 80877102;
constexpr uint32_t kSslRequest = 80877103;
constexpr uint32_t kGssRequest = 80877104;

// What a server asks for in an authentication message.
constexpr uint32_t kAuthenticationOk = 0;
constexpr uint32_t kAuthenticationCleartext = 3;

constexpr size_t kMaxStartupSize = 10000;  // Postgres' own limit.
constexpr size_t kMaxMessageSize = 1u << 30;

using Parameters = std::vector<std::pair<std::string, std::string>>;

// ---- Messages in general ----

// Types of messages a client sends.
enum class Frontend : char {
  bind = 'B',
  close = 'C',
  copy_data = 'd',
  copy_done = 'c',
  copy_fail = 'f',
  describe = 'D',
  execute = 'E',
  flush = 'H',
  function_call = 'F',
  parse = 'P',
  query = 'Q',
  sync = 'S',
  terminate = 'X',
};

// Types of messages a server sends.
enum class Backend : char {
  backend_key_data = 'K',
  bind_complete = '2',
  close_complete = '3',
  command_complete = 'C',
  copy_both_response = 'W',
  copy_data = 'd',
  copy_done = 'c',
  copy_in_response = 'G',
  copy_out_response = 'H',
  data_row = 'D',
  empty_query = 'I',
  error = 'E',
  function_result = 'V',
  no_data = 'n',
  notice = 'N',
  notification = 'A',
  parameter_description = 't',
  parameter_status = 'S',
  parse_complete = '1',
  portal_suspended = 's',
  ready_for_query = 'Z',
  row_description = 'T',
};

struct Message {
  char type = 0;
  Bytes body;       // Without type and length.
  size_t size = 0;  // Of the whole message: what to consume.
};

// The first message in `buffer`; nullopt while it is incomplete.
std::optional<Message> parse_message(Bytes buffer, size_t max_size = kMaxMessageSize);
// How many bytes the first message needs in all, or nullopt before its header is there.
std::optional<size_t> message_size(Bytes buffer, size_t max_size = kMaxMessageSize);

void put_message(std::string& out, char type, std::string_view body = {});
inline void put_message(std::string& out, Frontend type, std::string_view body = {}) {
  put_message(out, static_cast<char>(type), body);
}

// ---- The opening packet ----

struct Startup {
  uint32_t code = 0;  // kProtocol3 or one of the requests above, or a version we do not know.
  Parameters parameters;
  uint32_t cancel_pid = 0;
  uint32_t cancel_key = 0;
  size_t size = 0;  // What to consume.

  // "" if not given.
  std::string_view parameter(std::string_view name) const;
};

std::optional<Startup> parse_startup(Bytes buffer);
std::string startup_packet(const Parameters& parameters);
std::string ssl_request();
std::string cancel_request(uint32_t pid, uint32_t key);

// ---- From the client ----

void put_query(std::string& out, std::string_view sql);
void put_password(std::string& out, std::string_view password);
void put_terminate(std::string& out);
void put_copy_data(std::string& out, std::string_view data);
void put_copy_done(std::string& out);

// ---- From the server ----

struct ErrorFields {
  std::string severity = "ERROR";  // Not localised.
  std::string sqlstate = "XX000";
  std::string message;
  std::string detail;
  std::string hint;
  std::string file{};  // Of PostgreSQL's source; clients know some errors by these.
  std::string line{};
  std::string routine{};
};

// A result column in text format; type 25 is text.
struct Column {
  std::string name;
  uint32_t type = 25;
  int16_t type_size = -1;
};

using Row = std::vector<std::optional<std::string>>;

void put_authentication_ok(std::string& out);
void put_authentication_cleartext(std::string& out);  // Asks for a password message.
void put_parameter_status(std::string& out, std::string_view name, std::string_view value);
void put_backend_key(std::string& out, uint32_t pid, uint32_t key);
void put_backend_key(std::string& out, uint32_t pid, std::string_view key);  // Raw bytes.
// 'I' idle, 'T' in a transaction, 'E' in a failed one.
void put_ready_for_query(std::string& out, char status = 'I');
void put_error(std::string& out, const ErrorFields& fields);
void put_notice(std::string& out, const ErrorFields& fields);
void put_row_description(std::string& out, std::span<const Column> columns);
void put_data_row(std::string& out, const Row& values);
void put_command_complete(std::string& out, std::string_view tag);
// With no columns, as walsenders send it.
void put_copy_both_response(std::string& out);

ErrorFields parse_error(Bytes body);
std::vector<std::string> parse_row_description(Bytes body);
Row parse_data_row(Bytes body);
std::pair<std::string_view, std::string_view> parse_parameter_status(Bytes body);
// 0 is AuthenticationOk, 10 is SASL.
uint32_t parse_authentication(Bytes body);

// ---- Streaming replication: the payload of CopyData ----

// Microseconds since 2000-01-01, as Postgres counts.
int64_t postgres_time(std::chrono::system_clock::time_point at);

// What a walsender sends: WAL ('w') or a keepalive ('k').
struct WalMessage {
  char kind = 0;
  Lsn start;  // Of `data`, if kind is 'w'.
  Lsn end;    // The server's current end of WAL.
  int64_t sent_at = 0;
  bool reply_requested = false;
  Bytes data;
};

// What a standby answers ('r').
struct StandbyStatus {
  Lsn write;
  Lsn flush;
  Lsn apply;
  int64_t sent_at = 0;
  bool reply_requested = false;
};

constexpr size_t kWalHeaderSize = 30;  // CopyData's 5 bytes and the 25 of 'w'.

// A complete CopyData message but for the `size` bytes of WAL that the caller sends behind it.
void put_wal_header(std::string& out, Lsn start, Lsn end, int64_t sent_at, size_t size);
void put_keepalive(std::string& out, Lsn end, int64_t sent_at, bool reply_requested);
void put_standby_status(std::string& out, const StandbyStatus& status);

WalMessage parse_wal_message(Bytes copy_data);
// nullopt for the other kinds a standby sends (hot standby feedback).
std::optional<StandbyStatus> parse_standby_message(Bytes copy_data);

}  // namespace halogen::wire
