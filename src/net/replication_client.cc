#include "net/replication_client.h"

#include <cstring>

#include "base/error.h"

namespace halogen::net {
namespace {

[[noreturn]] void throw_server_error(Bytes body) {
  wire::ErrorFields fields = wire::parse_error(body);
  Errc code = Errc::conflict;
  // 57P0x: starting up, shutting down; 53300: too many connections; 55006: the slot is in use.
  // 53400, a limit in the configuration, does not pass by itself.
  const bool passes =
      fields.sqlstate.starts_with("53") ? fields.sqlstate != "53400" : fields.sqlstate == "55006";
  if (fields.sqlstate.starts_with("57P") || passes) {
    code = Errc::unavailable;
  } else if (fields.sqlstate == "42704" || fields.sqlstate == "58P01") {
    code = Errc::not_found;
  } else if (fields.sqlstate == "42710") {
    code = Errc::already_exists;
  } else if (fields.sqlstate.starts_with("28")) {
    code = Errc::permission_denied;
  }
  throw Error(code, "{} ({}){}{}", fields.message, fields.sqlstate,
              fields.detail.empty() ? "" : ": ", fields.detail);
}

}  // namespace

ReplicationClient::ReplicationClient(Options options)
    : options_(std::move(options)), buffer_(new std::byte[options_.buffer_size]) {}

void ReplicationClient::connect(Deadline deadline) {
  throw_if_interrupted();
  Socket fresh = options_.host.starts_with('/')
                     ? connect_unix(postgres_socket_path(options_.host, options_.port), deadline)
                     : connect_tcp(options_.host, options_.port, deadline);
  {
    MutexLock lock(mutex_);
    if (interrupted_) throw Error(Errc::cancelled, "replication interrupted");
    socket_ = std::move(fresh);
    connected_ = true;
    begin_ = end_ = 0;
  }
  wire::Parameters parameters = {{"user", options_.user},
                                 {"replication", "true"},
                                 {"application_name", options_.application_name}};
  if (!options_.startup_options.empty())
    parameters.emplace_back("options", options_.startup_options);
  socket_.send_all(wire::startup_packet(parameters), deadline);
  finish_startup(deadline);
}

void ReplicationClient::finish_startup(Deadline deadline) {
  for (;;) {
    wire::Message message = wait_message(deadline);
    switch (message.type) {
      case 'R':
        authenticate(wire::parse_authentication(message.body), deadline);
        break;
      case 'E':
        throw_server_error(message.body);
      case 'S':
      case 'K':
      case 'N':
        break;
      case 'Z':
        return;
      default:
        throw Error(Errc::corrupt, "unexpected message '{}' at startup", message.type);
    }
  }
}

void ReplicationClient::authenticate(uint32_t request, Deadline deadline) {
  if (request == wire::kAuthenticationOk) return;
  if (request != wire::kAuthenticationCleartext || options_.password.empty())
    throw Error(Errc::permission_denied, "the server asks for what we do not have (request {})",
                request);
  outgoing_.clear();
  wire::put_password(outgoing_, options_.password);
  socket_.send_all(outgoing_, deadline);
}

std::vector<wire::Row> ReplicationClient::command(const std::string& text, Deadline deadline) {
  outgoing_.clear();
  wire::put_query(outgoing_, text);
  socket_.send_all(outgoing_, deadline);
  std::vector<wire::Row> rows;
  std::string error;
  for (;;) {
    wire::Message message = wait_message(deadline);
    switch (message.type) {
      case 'D':
        rows.push_back(wire::parse_data_row(message.body));
        break;
      case 'E':
        error = as_text(message.body);
        break;
      case 'T':
      case 'C':
      case 'S':
      case 'N':
        break;
      case 'Z':
        if (!error.empty()) throw_server_error(as_bytes(error));
        return rows;
      default:
        throw Error(Errc::corrupt, "unexpected answer '{}' to {}", message.type, text);
    }
  }
}

void ReplicationClient::start_replication(Lsn from, const std::string& slot, Deadline deadline) {
  std::string slot_clause = slot.empty() ? "" : fmt::format("SLOT \"{}\" ", slot);
  start_streaming(fmt::format("START_REPLICATION {}PHYSICAL {}", slot_clause, from.str()),
                  deadline);
}

void ReplicationClient::start_streaming(const std::string& text, Deadline deadline) {
  outgoing_.clear();
  wire::put_query(outgoing_, text);
  socket_.send_all(outgoing_, deadline);
  for (;;) {
    wire::Message message = wait_message(deadline);
    if (message.type == 'W') return;
    if (message.type == 'E') throw_server_error(message.body);
    if (message.type != 'S' && message.type != 'N')
      throw Error(Errc::corrupt, "unexpected answer '{}' to {}", message.type, text);
  }
}

bool ReplicationClient::receive(Deadline deadline) {
  // Only the tail of an incomplete message is moved, and mostly there is none.
  if (begin_ == end_) {
    begin_ = end_ = 0;
  } else if (begin_ > 0) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == options_.buffer_size)
    throw Error(Errc::corrupt, "a replication message is longer than {} bytes", end_);
  try {
    end_ += receive_into({buffer_.get() + end_, options_.buffer_size - end_}, deadline);
    return true;
  } catch (const Error& error) {
    if (error.code() == Errc::timed_out) return false;
    throw_if_interrupted();
    throw;
  }
}

size_t ReplicationClient::receive_into(std::span<std::byte> into, Deadline deadline) {
  if (!socket_.valid()) throw Error(Errc::unavailable, "not connected");
  return socket_.recv_some(into, deadline);
}

std::optional<wire::Message> ReplicationClient::next_message() {
  std::optional<wire::Message> message =
      wire::parse_message({buffer_.get() + begin_, end_ - begin_}, options_.buffer_size);
  if (message) begin_ += message->size;
  return message;
}

wire::Message ReplicationClient::wait_message(Deadline deadline) {
  for (;;) {
    if (std::optional<wire::Message> message = next_message()) return *message;
    if (!receive(deadline)) throw Error(Errc::timed_out, "the server did not answer in time");
  }
}

std::optional<wire::WalMessage> ReplicationClient::next() {
  for (;;) {
    std::optional<wire::Message> message = next_message();
    if (!message) return std::nullopt;
    switch (message->type) {
      case 'd':
        return wire::parse_wal_message(message->body);
      case 'S':
      case 'N':
        break;
      case 'E':
        throw_server_error(message->body);
      case 'c':
      case 'C':
      case 'Z':
        throw Error(Errc::unavailable, "the server ended the stream");
      default:
        throw Error(Errc::corrupt, "unexpected message '{}' in a WAL stream", message->type);
    }
  }
}

void ReplicationClient::send_status(Lsn write, Lsn flush, Lsn apply, bool reply_requested) {
  outgoing_.clear();
  wire::put_standby_status(outgoing_,
                           {.write = write,
                            .flush = flush,
                            .apply = apply,
                            .sent_at = wire::postgres_time(std::chrono::system_clock::now()),
                            .reply_requested = reply_requested});
  socket_.send_all(outgoing_);
}

void ReplicationClient::interrupt() {
  MutexLock lock(mutex_);
  interrupted_ = true;
  if (connected_) socket_.shutdown();
}

void ReplicationClient::throw_if_interrupted() {
  MutexLock lock(mutex_);
  if (interrupted_) throw Error(Errc::cancelled, "replication interrupted");
}

}  // namespace halogen::net
