#include "safekeeper/wal_session.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>

#include "base/error.h"
#include "base/log.h"

namespace halogen::safekeeper {
namespace {

const log::Logger logger("safekeeper");

constexpr std::chrono::seconds kStartupTimeout{5};
constexpr size_t kMaxPassword = 1000;
constexpr size_t kSendSize = 128 * 1024;  // As a walsender's largest message.
// A reader is woken at most this often while less than kSendSize is new: each wake costs the
// commit path a system call, and nobody needs single records sooner.
constexpr std::chrono::milliseconds kGather{10};
constexpr std::chrono::seconds kKeepalive{10};
constexpr std::chrono::seconds kAskForReply{30};
constexpr std::chrono::seconds kGiveUp{300};

constexpr const char* kServerVersion = "15.20";

int64_t now_for_wire() { return wire::postgres_time(std::chrono::system_clock::now()); }

// The message and SQLSTATE Postgres has for the same thing, where there is one.
wire::ErrorFields error_fields(const Error& error) {
  wire::ErrorFields fields{.message = error.what()};
  switch (error.code()) {
    case Errc::invalid_argument:
      fields.sqlstate = "42601";
      break;
    case Errc::not_found:
      fields.sqlstate = "3D000";
      break;
    case Errc::gone:
      fields.sqlstate = "58P01";
      break;
    case Errc::cancelled:
      fields.sqlstate = "57P01";
      break;
    case Errc::permission_denied:
      fields.sqlstate = "28000";
      break;
    case Errc::corrupt:
      fields.sqlstate = "08P01";
      break;
    default:
      break;
  }
  return fields;
}

bool is_true(std::string_view value) {
  return value == "true" || value == "on" || value == "yes" || value == "1";
}

}  // namespace

void WalSession::run() {
  try {
    if (!start_up()) return;
    while (handle(receive()) == Next::go_on) {
    }
  } catch (const Error& error) {
    if (error.code() == Errc::unavailable) throw;  // Nobody to tell.
    wire::ErrorFields fields = error_fields(error);
    fields.severity = "FATAL";
    send_error(fields);
    throw;
  }
}

// ---- Startup ----

// False if the client has left or only wanted to cancel something.
bool WalSession::start_up() {
  const Deadline deadline = Deadline::after(kStartupTimeout);
  for (;;) {
    std::optional<wire::Startup> startup = wire::parse_startup(as_bytes(input_));
    if (!startup) {
      std::byte piece[4096];
      size_t got = socket_.recv_some(piece, deadline);
      input_.append(as_text(Bytes(piece, got)));
      continue;
    }
    input_.erase(0, startup->size);
    if (startup->code == wire::kSslRequest || startup->code == wire::kGssRequest) {
      socket_.send_all("N", deadline);
      continue;
    }
    if (startup->code == wire::kCancelRequest) return false;
    if (startup->code >> 16 != 3)
      throw Error(Errc::corrupt, "unsupported frontend protocol {}.{}: server supports 3.0",
                  startup->code >> 16, startup->code & 0xFFFF);
    open_timeline(*startup, deadline);
    admitted_();
    send_greeting(*startup);
    return true;
  }
}

std::optional<Token> WalSession::ask_for_token(Deadline deadline) {
  if (!gate_.asks_for_token) return std::nullopt;
  wire::put_authentication_cleartext(output_);
  flush_output();
  wire::Message message = receive(kMaxPassword, deadline);
  if (message.type != 'p') throw Error(Errc::corrupt, "expected a password message");
  return Token::parse(Reader(message.body).cstring());
}

void WalSession::open_timeline(const wire::Startup& startup, Deadline deadline) {
  if (!is_true(startup.parameter("replication")))
    throw Error(Errc::permission_denied,
                "a safekeeper serves physical replication connections only (replication=true)");
  TimelineId id;
  try {
    id = TimelineId::parse(startup.parameter("user"));
  } catch (const Error&) {
    throw Error(Errc::permission_denied, "the user name must be a timeline id of 32 hex digits");
  }
  timeline_ = gate_.open(id, ask_for_token(deadline));
}

void WalSession::send_greeting(const wire::Startup& startup) {
  std::string_view encoding = startup.parameter("client_encoding");
  wire::put_authentication_ok(output_);
  const std::pair<std::string_view, std::string_view> parameters[] = {
      {"application_name", startup.parameter("application_name")},
      {"client_encoding", encoding.empty() ? "UTF8" : encoding},
      {"DateStyle", "ISO, MDY"},
      {"default_transaction_read_only", "off"},
      {"in_hot_standby", "off"},
      {"integer_datetimes", "on"},
      {"IntervalStyle", "postgres"},
      {"is_superuser", "off"},
      {"server_encoding", "UTF8"},
      {"server_version", kServerVersion},
      {"session_authorization", startup.parameter("user")},
      {"standard_conforming_strings", "on"},
      {"TimeZone", "Etc/UTC"},
  };
  for (const auto& [name, value] : parameters) wire::put_parameter_status(output_, name, value);
  wire::put_backend_key(output_, 1, 0);  // There is nothing that could be cancelled.
  wire::put_ready_for_query(output_);
  flush_output();
}

// ---- Commands ----

WalSession::Next WalSession::handle(const wire::Message& message) {
  switch (message.type) {
    case 'X':
      return Next::end;
    case 'Q':
      break;
    case 'd':  // The rest of a stream that an error has ended on our side.
    case 'c':
    case 'f':
      return Next::go_on;
    default:
      throw Error(Errc::corrupt, "only simple queries are possible in a replication connection");
  }
  try {
    execute(parse_replication_command(Reader(message.body).cstring()));
  } catch (const Error& error) {
    bool fatal = error.code() == Errc::unavailable || error.code() == Errc::cancelled ||
                 error.code() == Errc::corrupt || error.code() == Errc::io;
    if (fatal) throw;
    send_error(error_fields(error));
  }
  wire::put_ready_for_query(output_);
  flush_output();
  return Next::go_on;
}

void WalSession::execute(const ReplicationCommand& command) {
  using Kind = ReplicationCommand::Kind;
  switch (command.kind) {
    case Kind::empty:
      wire::put_message(output_, 'I');
      return;
    case Kind::identify_system:
      identify_system();
      return;
    case Kind::show:
      show(command.name);
      return;
    case Kind::read_replication_slot:
      read_slot();
      return;
    case Kind::start_replication:
      start_replication(command);
      return;
    case Kind::timeline_history:
      throw Error(Errc::invalid_argument,
                  "a safekeeper's WAL is all of timeline 1, which has no history file");
    case Kind::unsupported:
      throw Error(Errc::invalid_argument, "\"{}\" is not supported by a safekeeper", command.name);
  }
}

void WalSession::send_result(std::span<const wire::Column> columns, const wire::Row& row,
                             std::string_view tag) {
  wire::put_row_description(output_, columns);
  wire::put_data_row(output_, row);
  wire::put_command_complete(output_, tag);
}

void WalSession::identify_system() {
  const wire::Column columns[] = {{.name = "systemid"},
                                  {.name = "timeline", .type = 23, .type_size = 4},
                                  {.name = "xlogpos"},
                                  {.name = "dbname"}};
  WalStore& store = timeline_->store();
  send_result(columns,
              {std::to_string(store.identity().system_identifier), "1", store.flushed().str(),
               std::nullopt},
              "IDENTIFY_SYSTEM");
}

void WalSession::show(const std::string& setting) {
  std::string value;
  if (setting == "wal_segment_size")
    value = "16MB";
  else if (setting == "data_directory_mode")
    value = "0700";
  else if (setting == "server_version")
    value = kServerVersion;
  else if (setting == "integer_datetimes")
    value = "on";
  else
    throw Error(Errc::invalid_argument, "unrecognized configuration parameter \"{}\"", setting);
  const wire::Column columns[] = {{.name = setting}};
  send_result(columns, {value}, "SHOW");
}

// There are no slots, which Postgres reports as a row of nulls: WAL is kept until trimmed.
void WalSession::read_slot() {
  const wire::Column columns[] = {{.name = "slot_type"},
                                  {.name = "restart_lsn"},
                                  {.name = "restart_tli", .type = 20, .type_size = 8}};
  send_result(columns, {std::nullopt, std::nullopt, std::nullopt}, "READ_REPLICATION_SLOT");
}

void WalSession::start_replication(const ReplicationCommand& command) {
  if (command.timeline && *command.timeline != 1)
    throw Error(Errc::invalid_argument, "requested timeline {}, but a safekeeper has only 1",
                *command.timeline);
  WalStore::Reader reader(timeline_->store(), command.start);
  wire::put_copy_both_response(output_);
  flush_output();
  logger.info("{}: streaming WAL from {}", timeline_->store().identity().id.str(),
              command.start.str());
  stream(reader);
  wire::put_copy_done(output_);
  wire::put_command_complete(output_, "START_STREAMING");
}

// ---- Streaming ----

void WalSession::stream(WalStore::Reader& reader) {
  wal_.resize(wire::kWalHeaderSize + kSendSize);
  last_sent_ = last_received_ = steady_clock::now();
  while (take_messages()) {
    uint64_t ready = reader.available();
    auto now = steady_clock::now();
    if (ready >= kSendSize || (ready > 0 && now >= last_sent_ + kGather))
      send_wal(reader);
    else
      wait(reader);
  }
}

void WalSession::send_wal(WalStore::Reader& reader) {
  // The header's place is left free, so that both go out in one piece.
  const Lsn from = reader.position();
  const Lsn end = from + reader.available();
  size_t size = reader.read(std::span(wal_).subspan(wire::kWalHeaderSize));
  output_.clear();
  wire::put_wal_header(output_, from, end, now_for_wire(), size);
  std::memcpy(wal_.data(), output_.data(), wire::kWalHeaderSize);
  output_.clear();
  socket_.send_all(Bytes(wal_.data(), wire::kWalHeaderSize + size));
  last_sent_ = steady_clock::now();
}

void WalSession::wait(WalStore::Reader& reader) {
  auto now = steady_clock::now();
  bool gathering = now < last_sent_ + kGather;
  auto until = gathering ? last_sent_ + kGather : now + kKeepalive;
  reader.clear_event();
  reader.wake_at(reader.position() + (gathering ? kSendSize : 1));
  pollfd entries[2] = {{.fd = socket_.fd(), .events = POLLIN, .revents = 0},
                       {.fd = reader.event_fd(), .events = POLLIN, .revents = 0}};
  auto left = std::chrono::ceil<std::chrono::milliseconds>(until - now);
  int ready = ::poll(entries, 2, static_cast<int>(left.count()));
  if (ready < 0 && errno != EINTR) throw system_error(errno, "poll");
  if (ready == 0 && !gathering) keep_alive(reader);
}

void WalSession::keep_alive(WalStore::Reader& reader) {
  auto silent = steady_clock::now() - last_received_;
  if (silent > kGiveUp) throw Error(Errc::unavailable, "the client does not answer");
  bool ask = silent > kAskForReply && !reply_requested_;
  reply_requested_ |= ask;
  wire::put_keepalive(output_, reader.position(), now_for_wire(), ask);
  flush_output();
}

bool WalSession::take_messages() {
  consume_last();
  std::byte piece[4096];
  while (size_t got = socket_.recv_available(piece)) {
    input_.append(as_text(Bytes(piece, got)));
    last_received_ = steady_clock::now();
    reply_requested_ = false;
  }
  while (std::optional<wire::Message> message = next_message()) {
    switch (message->type) {
      case 'd':
        if (auto status = wire::parse_standby_message(message->body);
            status && status->reply_requested) {
          wire::put_keepalive(output_, timeline_->store().flushed(), now_for_wire(), false);
          flush_output();
        }
        break;
      case 'c':
        return false;
      case 'X':
        throw Error(Errc::unavailable, "the client has left");
      default:
        throw Error(Errc::corrupt, "unexpected message '{}' in a stream", message->type);
    }
  }
  return true;
}

// ---- Messages ----

void WalSession::send_error(const wire::ErrorFields& fields) {
  wire::put_error(output_, fields);
  try {
    flush_output();
  } catch (const Error&) {
    output_.clear();  // The client has gone; what went wrong is still reported by the caller.
  }
}

void WalSession::flush_output() {
  socket_.send_all(output_);
  output_.clear();
}

void WalSession::consume_last() {
  input_.erase(0, last_size_);
  last_size_ = 0;
}

std::optional<wire::Message> WalSession::next_message(size_t max_size) {
  consume_last();
  std::optional<wire::Message> message = wire::parse_message(as_bytes(input_), max_size);
  if (message) last_size_ = message->size;
  return message;
}

wire::Message WalSession::receive(size_t max_size, Deadline deadline) {
  for (;;) {
    if (std::optional<wire::Message> message = next_message(max_size)) return *message;
    std::byte piece[4096];
    size_t got = socket_.recv_some(piece, deadline);
    input_.append(as_text(Bytes(piece, got)));
  }
}

}  // namespace halogen::safekeeper
