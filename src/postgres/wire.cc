#include "postgres/wire.h"

#include "base/error.h"

namespace halogen::wire {
namespace {

template <typename T>
void append_be(std::string& out, T value) {
  value = byteswap(value);
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append_cstring(std::string& out, std::string_view text) { out.append(text).push_back('\0'); }

// Begins a message; finish() fills in its length.
class MessageBuilder {
 public:
  MessageBuilder(std::string& out, char type) : out_(out) {
    out_.push_back(type);
    length_at_ = out_.size();
    append_be<uint32_t>(out_, 0);
  }
  ~MessageBuilder() {
    store(out_.data() + length_at_, byteswap(static_cast<uint32_t>(out_.size() - length_at_)));
  }
  MessageBuilder(const MessageBuilder&) = delete;
  MessageBuilder& operator=(const MessageBuilder&) = delete;

 private:
  std::string& out_;
  size_t length_at_;
};

std::string with_length(std::string_view body) {
  std::string out;
  append_be(out, static_cast<uint32_t>(body.size() + 4));
  return out.append(body);
}

void put_fields(std::string& out, char type, const ErrorFields& fields) {
  MessageBuilder message(out, type);
  auto field = [&out](char code, std::string_view value) {
    if (value.empty()) return;
    out.push_back(code);
    append_cstring(out, value);
  };
  field('S', fields.severity);
  field('V', fields.severity);
  field('C', fields.sqlstate);
  field('M', fields.message);
  field('D', fields.detail);
  field('H', fields.hint);
  field('F', fields.file);
  field('L', fields.line);
  field('R', fields.routine);
  out.push_back('\0');
}

}  // namespace

std::optional<size_t> message_size(Bytes buffer, size_t max_size) {
  if (buffer.size() < 5) return std::nullopt;
  uint32_t length = byteswap(load<uint32_t>(buffer.data() + 1));
  if (length < 4 || length > max_size)
    throw Error(Errc::corrupt, "protocol message of length {}", length);
  return size_t{length} + 1;
}

std::optional<Message> parse_message(Bytes buffer, size_t max_size) {
  std::optional<size_t> size = message_size(buffer, max_size);
  if (!size || *size > buffer.size()) return std::nullopt;
  return Message{static_cast<char>(buffer[0]), buffer.subspan(5, *size - 5), *size};
}

void put_message(std::string& out, char type, std::string_view body) {
  MessageBuilder message(out, type);
  out.append(body);
}

std::string_view Startup::parameter(std::string_view name) const {
  for (const auto& [key, value] : parameters) {
    if (key == name) return value;
  }
  return {};
}

std::optional<Startup> parse_startup(Bytes buffer) {
  if (buffer.size() < 4) return std::nullopt;
  uint32_t length = byteswap(load<uint32_t>(buffer.data()));
  if (length < 8 || length > kMaxStartupSize)
    throw Error(Errc::corrupt, "startup packet of length {}", length);
  if (buffer.size() < length) return std::nullopt;
  Reader in(buffer.subspan(4, length - 4));
  Startup startup;
  startup.size = length;
  startup.code = in.be_get<uint32_t>();
  if (startup.code == kCancelRequest) {
    startup.cancel_pid = in.be_get<uint32_t>();
    startup.cancel_key = in.be_get<uint32_t>();
  } else if (startup.code >> 16 == 3) {
    for (std::string_view name = in.cstring(); !name.empty(); name = in.cstring())
      startup.parameters.emplace_back(name, in.cstring());
    if (!in.empty()) throw Error(Errc::corrupt, "startup packet with bytes behind its end");
  }
  return startup;
}

std::string startup_packet(const Parameters& parameters) {
  std::string body;
  append_be(body, kProtocol3);
  for (const auto& [name, value] : parameters) {
    append_cstring(body, name);
    append_cstring(body, value);
  }
  body.push_back('\0');
  return with_length(body);
}

std::string ssl_request() {
  std::string body;
  append_be(body, kSslRequest);
  return with_length(body);
}

std::string cancel_request(uint32_t pid, uint32_t key) {
  std::string body;
  append_be(body, kCancelRequest);
  append_be(body, pid);
  append_be(body, key);
  return with_length(body);
}

void put_query(std::string& out, std::string_view sql) {
  MessageBuilder message(out, 'Q');
  append_cstring(out, sql);
}

void put_password(std::string& out, std::string_view password) {
  put_message(out, 'p', std::string(password) + '\0');
}
void put_terminate(std::string& out) { put_message(out, 'X'); }
void put_copy_data(std::string& out, std::string_view data) { put_message(out, 'd', data); }
void put_copy_done(std::string& out) { put_message(out, 'c'); }

void put_authentication_cleartext(std::string& out) {
  put_message(out, 'R', std::string_view("\0\0\0\3", 4));
}

void put_authentication_ok(std::string& out) {
  MessageBuilder message(out, 'R');
  append_be<uint32_t>(out, 0);
}

void put_parameter_status(std::string& out, std::string_view name, std::string_view value) {
  MessageBuilder message(out, 'S');
  append_cstring(out, name);
  append_cstring(out, value);
}

void put_backend_key(std::string& out, uint32_t pid, uint32_t key) {
  MessageBuilder message(out, 'K');
  append_be(out, pid);
  append_be(out, key);
}

void put_backend_key(std::string& out, uint32_t pid, std::string_view key) {
  MessageBuilder message(out, 'K');
  append_be(out, pid);
  out.append(key);
}

void put_ready_for_query(std::string& out, char status) {
  put_message(out, 'Z', std::string_view(&status, 1));
}

void put_error(std::string& out, const ErrorFields& fields) { put_fields(out, 'E', fields); }
void put_notice(std::string& out, const ErrorFields& fields) { put_fields(out, 'N', fields); }

void put_row_description(std::string& out, std::span<const Column> columns) {
  MessageBuilder message(out, 'T');
  append_be(out, static_cast<uint16_t>(columns.size()));
  for (const Column& column : columns) {
    append_cstring(out, column.name);
    append_be<uint32_t>(out, 0);  // No table,
    append_be<uint16_t>(out, 0);  // no column of it.
    append_be(out, column.type);
    append_be(out, column.type_size);
    append_be<int32_t>(out, -1);  // Type modifier.
    append_be<uint16_t>(out, 0);  // Text format.
  }
}

void put_data_row(std::string& out, const Row& values) {
  MessageBuilder message(out, 'D');
  append_be(out, static_cast<uint16_t>(values.size()));
  for (const std::optional<std::string>& value : values) {
    append_be(out, value ? static_cast<int32_t>(value->size()) : int32_t{-1});
    if (value) out.append(*value);
  }
}

void put_command_complete(std::string& out, std::string_view tag) {
  MessageBuilder message(out, 'C');
  append_cstring(out, tag);
}

void put_copy_both_response(std::string& out) {
  MessageBuilder message(out, 'W');
  out.push_back('\0');
  append_be<uint16_t>(out, 0);
}

ErrorFields parse_error(Bytes body) {
  Reader in(body);
  ErrorFields fields;
  for (char code = in.get<char>(); code != 0; code = in.get<char>()) {
    std::string_view value = in.cstring();
    switch (code) {
      case 'S':
        fields.severity = value;
        break;
      case 'V':
        fields.severity = value;
        break;  // Behind 'S', and not localised.
      case 'C':
        fields.sqlstate = value;
        break;
      case 'M':
        fields.message = value;
        break;
      case 'D':
        fields.detail = value;
        break;
      case 'H':
        fields.hint = value;
        break;
      case 'F':
        fields.file = value;
        break;
      case 'L':
        fields.line = value;
        break;
      case 'R':
        fields.routine = value;
        break;
      default:
        break;
    }
  }
  return fields;
}

std::vector<std::string> parse_row_description(Bytes body) {
  Reader in(body);
  std::vector<std::string> names;
  for (uint16_t left = in.be_get<uint16_t>(); left > 0; --left) {
    names.emplace_back(in.cstring());
    in.skip(18);
  }
  return names;
}

Row parse_data_row(Bytes body) {
  Reader in(body);
  Row row;
  for (uint16_t left = in.be_get<uint16_t>(); left > 0; --left) {
    int32_t length = in.be_get<int32_t>();
    if (length < -1) throw Error(Errc::corrupt, "data row with a value of length {}", length);
    if (length < 0)
      row.emplace_back(std::nullopt);
    else
      row.emplace_back(std::string(as_text(in.take(static_cast<size_t>(length)))));
  }
  return row;
}

std::pair<std::string_view, std::string_view> parse_parameter_status(Bytes body) {
  Reader in(body);
  std::string_view name = in.cstring();
  return {name, in.cstring()};
}

uint32_t parse_authentication(Bytes body) { return Reader(body).be_get<uint32_t>(); }

int64_t postgres_time(std::chrono::system_clock::time_point at) {
  constexpr int64_t kEpochSeconds = 946684800;  // 2000-01-01 in Unix time.
  auto since_unix = std::chrono::duration_cast<std::chrono::microseconds>(at.time_since_epoch());
  return since_unix.count() - kEpochSeconds * 1'000'000;
}

void put_wal_header(std::string& out, Lsn start, Lsn end, int64_t sent_at, size_t size) {
  out.push_back('d');
  append_be(out, static_cast<uint32_t>(kWalHeaderSize - 1 + size));
  out.push_back('w');
  append_be(out, start.value);
  append_be(out, end.value);
  append_be(out, sent_at);
}

void put_keepalive(std::string& out, Lsn end, int64_t sent_at, bool reply_requested) {
  MessageBuilder message(out, 'd');
  out.push_back('k');
  append_be(out, end.value);
  append_be(out, sent_at);
  out.push_back(reply_requested ? 1 : 0);
}

void put_standby_status(std::string& out, const StandbyStatus& status) {
  MessageBuilder message(out, 'd');
  out.push_back('r');
  append_be(out, status.write.value);
  append_be(out, status.flush.value);
  append_be(out, status.apply.value);
  append_be(out, status.sent_at);
  out.push_back(status.reply_requested ? 1 : 0);
}

WalMessage parse_wal_message(Bytes copy_data) {
  Reader in(copy_data);
  WalMessage message;
  message.kind = in.get<char>();
  if (message.kind == 'w') {
    message.start = Lsn(in.be_get<uint64_t>());
    message.end = Lsn(in.be_get<uint64_t>());
    message.sent_at = in.be_get<int64_t>();
    message.data = in.rest();
  } else if (message.kind == 'k') {
    message.end = Lsn(in.be_get<uint64_t>());
    message.sent_at = in.be_get<int64_t>();
    message.reply_requested = in.get<char>() != 0;
  } else {
    throw Error(Errc::corrupt, "replication message of unknown kind {}", int{message.kind});
  }
  return message;
}

std::optional<StandbyStatus> parse_standby_message(Bytes copy_data) {
  Reader in(copy_data);
  if (in.get<char>() != 'r') return std::nullopt;
  StandbyStatus status;
  status.write = Lsn(in.be_get<uint64_t>());
  status.flush = Lsn(in.be_get<uint64_t>());
  status.apply = Lsn(in.be_get<uint64_t>());
  status.sent_at = in.be_get<int64_t>();
  status.reply_requested = in.get<char>() != 0;
  return status;
}

}  // namespace halogen::wire
