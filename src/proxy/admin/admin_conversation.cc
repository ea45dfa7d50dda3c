// The admin view's side of the protocol. Statements take no parameters.
#include <charconv>

#include "base/error.h"
#include "proxy/admin/admin.h"

namespace halogen::proxy {
namespace {

constexpr size_t kMaxMessage = 64 * 1024;
constexpr size_t kMostStatements = 100;
constexpr int16_t kBinary = 1;

int16_t format_of(std::span<const int16_t> formats, size_t column) {
  if (formats.empty()) return 0;
  return formats.size() == 1 ? formats[0] : column < formats.size() ? formats[column] : int16_t{0};
}

void put_columns(const std::vector<wire::Column>& columns, std::span<const int16_t> formats,
                 std::string& out) {
  Writer body;
  body.be_put(static_cast<uint16_t>(columns.size()));
  for (size_t i = 0; i < columns.size(); i++) {
    body.cstring(columns[i].name).be_put(uint32_t{0}).be_put(uint16_t{0});  // Of no table.
    body.be_put(columns[i].type).be_put(columns[i].type_size).be_put(int32_t{-1});
    body.be_put(format_of(formats, i));
  }
  wire::put_message(out, 'T', body.view());
}

// Text is the same in both formats.
std::string encoded(const wire::Column& column, const std::string& text, int16_t format) {
  if (format != kBinary || column.type_size < 0) return text;
  int64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  Writer bytes;
  if (column.type_size == 4)
    bytes.be_put(static_cast<int32_t>(number));
  else
    bytes.be_put(number);
  return std::string(bytes.view());
}

wire::ErrorFields error_of(std::string_view sqlstate, std::string_view message) {
  wire::ErrorFields fields;
  fields.sqlstate = sqlstate;
  fields.message = message;
  return fields;
}

}  // namespace

size_t AdminConversation::take(std::string_view bytes, const PoolerStatus& status,
                               std::string& to_client) {
  size_t used = 0;
  while (!ended_) {
    auto message = wire::parse_message(as_bytes(bytes.substr(used)), kMaxMessage);
    if (!message) break;
    used += message->size;
    take_message(*message, status, to_client);
  }
  return used;
}

void AdminConversation::take_message(const wire::Message& message, const PoolerStatus& status,
                                     std::string& out) {
  if (message.type == 'X') {
    ended_ = true;
    return;
  }
  if (message.type == 'S') {
    skipping_ = false;
    if (status_ == 'I') portals_.clear();
    wire::put_ready_for_query(out, status_);
    return;
  }
  if (skipping_) return;
  Reader body(message.body);
  switch (message.type) {
    case 'Q':
      return take_query(body.cstring(), status, out);
    case 'P': {
      std::string name(body.cstring());
      if (statements_.size() >= kMostStatements && !statements_.contains(name))
        return fail("53400", "too many prepared statements", out);
      statements_[name] = body.cstring();
      return wire::put_message(out, '1');
    }
    case 'B':
      return take_bind(message.body, out);
    case 'D':
      return take_describe(message.body, status, out);
    case 'E':
      return take_execute(message.body, status, out);
    case 'C':
      return take_close(message.body, out);
    case 'H':
      return;  // Nothing is held back.
    case 'F':
      fail("0A000", "the admin view has no functions", out);
      skipping_ = false;
      return wire::put_ready_for_query(out, status_);
    case 'd':
    case 'c':
    case 'f':
      return;  // As Postgres, outside of COPY.
    default:
      throw Error(Errc::corrupt, "invalid frontend message type {}",
                  static_cast<int>(message.type));
  }
}

void AdminConversation::take_query(std::string_view sql, const PoolerStatus& status,
                                   std::string& out) {
  bool any = false;
  while (!sql.empty()) {
    size_t end = sql.find(';');
    std::string_view command = sql.substr(0, end);
    sql.remove_prefix(end == sql.npos ? sql.size() : end + 1);
    if (command.find_first_not_of(" \t\r\n") == command.npos) continue;
    any = true;
    AdminAnswer answer = answer_admin(command, status, role_);
    put_answer(answer, {}, false, out);
    if (answer.error) break;
  }
  skipping_ = false;
  if (!any) wire::put_message(out, 'I');
  wire::put_ready_for_query(out, status_);
}

void AdminConversation::take_bind(Bytes body, std::string& out) {
  Reader in(body);
  std::string portal(in.cstring());
  auto statement = statements_.find(std::string(in.cstring()));
  if (statement == statements_.end())
    return fail("26000", "prepared statement does not exist", out);
  in.skip(size_t{in.be_get<uint16_t>()} * 2);
  if (in.be_get<uint16_t>() != 0) return fail("08P01", "the admin view takes no parameters", out);
  Portal made{statement->second, {}};
  for (auto count = in.be_get<uint16_t>(); count > 0; count--)
    made.formats.push_back(in.be_get<int16_t>());
  if (portals_.size() >= kMostStatements && !portals_.contains(portal))
    return fail("53400", "too many portals", out);
  portals_[portal] = std::move(made);
  wire::put_message(out, '2');
}

// A command, with or without its semicolon.
static std::string_view single(std::string_view sql) {
  size_t end = sql.find_last_not_of("; \t\r\n");
  return end == sql.npos ? std::string_view() : sql.substr(0, end + 1);
}

void AdminConversation::take_describe(Bytes body, const PoolerStatus& status, std::string& out) {
  Reader in(body);
  bool statement = in.get<char>() == 'S';
  std::string name(in.cstring());
  std::string command;
  std::vector<int16_t> formats;
  if (statement) {
    auto found = statements_.find(name);
    if (found == statements_.end()) return fail("26000", "prepared statement does not exist", out);
    command = found->second;
    wire::put_message(out, 't', std::string_view("\0\0", 2));
  } else {
    auto found = portals_.find(name);
    if (found == portals_.end()) return fail("34000", "portal does not exist", out);
    command = found->second.command;
    formats = found->second.formats;
  }
  AdminAnswer answer =
      single(command).empty() ? AdminAnswer{} : answer_admin(single(command), status, role_);
  if (answer.columns.empty())
    wire::put_message(out, 'n');
  else
    put_columns(answer.columns, formats, out);
}

void AdminConversation::take_execute(Bytes body, const PoolerStatus& status, std::string& out) {
  auto found = portals_.find(std::string(Reader(body).cstring()));
  if (found == portals_.end()) return fail("34000", "portal does not exist", out);
  std::string_view command = single(found->second.command);
  if (command.empty()) return wire::put_message(out, 'I');
  put_answer(answer_admin(command, status, role_), found->second.formats, true, out);
}

void AdminConversation::take_close(Bytes body, std::string& out) {
  Reader in(body);
  bool statement = in.get<char>() == 'S';
  std::string name(in.cstring());
  if (statement)
    statements_.erase(name);
  else
    portals_.erase(name);
  wire::put_message(out, '3');
}

// All rows, whatever number was asked for.
void AdminConversation::put_answer(const AdminAnswer& answer, std::span<const int16_t> formats,
                                   bool described, std::string& out) {
  if (answer.error) {
    wire::put_error(out, *answer.error);
    skipping_ = true;
    return;
  }
  if (!answer.notice.empty()) {
    wire::ErrorFields notice = error_of("00000", answer.notice);
    notice.severity = "NOTICE";
    wire::put_notice(out, notice);
  }
  if (!answer.columns.empty() && !described) put_columns(answer.columns, formats, out);
  for (wire::Row row : answer.rows) {
    for (size_t i = 0; i < row.size(); i++)
      if (row[i]) row[i] = encoded(answer.columns[i], *row[i], format_of(formats, i));
    wire::put_data_row(out, row);
  }
  wire::put_command_complete(out, answer.tag);
  if (answer.ends != 0) endings_.push_back(answer.ends);
  follow_transaction(answer);
}

void AdminConversation::follow_transaction(const AdminAnswer& answer) {
  if (answer.tag == "BEGIN") status_ = 'T';
  if (answer.tag == "COMMIT" || answer.tag == "ROLLBACK") status_ = 'I';
}

void AdminConversation::fail(std::string_view sqlstate, std::string_view message,
                             std::string& out) {
  wire::put_error(out, error_of(sqlstate, message));
  skipping_ = true;
}

}  // namespace halogen::proxy
