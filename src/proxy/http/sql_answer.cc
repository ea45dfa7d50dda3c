#include "proxy/http/sql_answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "base/error.h"
#include "postgres/wire.h"
#include "proxy/http/json_text.h"

namespace halogen::proxy {
namespace {

using wire::Backend;

struct ErrorField {
  std::string_view name;
  char code;
};
// In the order of the answer, as node-postgres names them.
constexpr ErrorField kErrorFields[] = {
    {"message", 'M'},       {"code", 'C'},       {"detail", 'D'},
    {"hint", 'H'},          {"position", 'P'},   {"internalPosition", 'p'},
    {"internalQuery", 'q'}, {"severity", 'V'},   {"where", 'W'},
    {"table", 't'},         {"column", 'c'},     {"schema", 's'},
    {"dataType", 'd'},      {"constraint", 'n'}, {"file", 'F'},
    {"line", 'L'},          {"routine", 'R'}};

using Fields = std::map<char, std::string_view>;

std::string error_json(const Fields& fields) {
  std::string json;
  for (const ErrorField& field : kErrorFields) {
    json.push_back(json.empty() ? '{' : ',');
    put_json_string(json, field.name);
    json.push_back(':');
    auto found = fields.find(field.code);
    if (found == fields.end())
      json += "null";
    else
      put_json_string(json, found->second);
  }
  return json + "}";
}

Fields error_fields(Bytes body) {
  Fields fields;
  Reader reader(body);
  while (char code = reader.get<char>()) fields[code] = reader.cstring();
  return fields;
}

// Of "INSERT 0 5" and "SELECT 3" the number at the end; nullopt where there is none.
std::optional<uint64_t> row_count(std::string_view tag) {
  std::string_view word = tag.substr(tag.rfind(' ') + 1);
  uint64_t count = 0;
  auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), count);
  if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
  return count;
}

}  // namespace

std::string error_json(std::string_view message, std::string_view code) {
  Fields fields{{'M', message}};
  if (!code.empty()) fields['C'] = code;
  return error_json(fields);
}

SqlAnswer::SqlAnswer(const SqlRequest& request)
    : raw_text_(request.raw_text), batch_(request.batch), statements_(statement_count(request)) {
  for (const SqlQuery& query : request.queries) array_modes_.push_back(query.array_mode);
  if (batch_) json_ = "{\"results\":[";
}

std::string SqlAnswer::take_json() {
  taken_ += json_.size();
  return std::exchange(json_, std::string());
}

// What begins and ends a batch's transaction is ours.
bool SqlAnswer::is_shown() const {
  size_t around = batch_ ? 1 : 0;
  return statement_ >= around && statement_ + around < statements_;
}

bool SqlAnswer::array_mode() const { return array_modes_.at(statement_ - (batch_ ? 1 : 0)); }

void SqlAnswer::begin_result() {
  if (part_ != Part::nothing) throw Error(Errc::corrupt, "a result is described twice");
  columns_.clear();
  json_ += batch_ && statement_ > 1 ? ",{\"fields\":[" : "{\"fields\":[";
  part_ = Part::head;
}

size_t SqlAnswer::take(std::string_view bytes) {
  size_t used = 0;
  while (!complete()) {
    std::optional<wire::Message> message = wire::parse_message(as_bytes(bytes.substr(used)));
    if (!message) break;
    used += message->size;
    take_message(message->type, message->body);
  }
  return used;
}

void SqlAnswer::take_message(char type, Bytes body) {
  switch (static_cast<Backend>(type)) {
    case Backend::backend_key_data:
      cancel_key_ = as_text(body);
      break;
    case Backend::ready_for_query:
      status_ = Reader(body).get<char>();
      ready_++;
      if (ready_ == kReadyAtEnd && batch_ && !error_) json_ += "]}";
      break;
    case Backend::row_description:
      describe(Reader(body));
      break;
    case Backend::no_data:
      if (!is_shown() || error_) break;
      begin_result();
      json_.push_back(']');
      break;
    case Backend::data_row:
      if (!error_) row(Reader(body));
      break;
    case Backend::command_complete:
      complete_statement(Reader(body).cstring());
      break;
    case Backend::empty_query:
      complete_statement("");
      break;
    case Backend::error:
      fail(body);
      break;
    case Backend::copy_in_response:
      wants_copy_ = true;
      break;
    case Backend::copy_out_response:
    case Backend::copy_both_response:
      // Only the end of the session would stop it.
      fail_with("0A000", "COPY TO STDOUT cannot be answered over HTTP");
      fatal_ = true;
      break;
    default:
      break;
  }
}

void SqlAnswer::describe(Reader body) {
  if (!is_shown() || error_) return;
  begin_result();
  auto count = body.be_get<uint16_t>();
  for (uint16_t i = 0; i < count; i++) {
    Column column;
    put_json_string(column.key, body.cstring());
    auto table = body.be_get<uint32_t>();
    auto number = body.be_get<int16_t>();
    column.type = body.be_get<uint32_t>();
    auto size = body.be_get<int16_t>();
    auto modifier = body.be_get<int32_t>();
    auto format = body.be_get<int16_t>();
    json_ += fmt::format(
        "{}{{\"name\":{},\"dataTypeID\":{},\"tableID\":{},\"columnID\":{},\"dataTypeSize\":{},"
        "\"dataTypeModifier\":{},\"format\":\"{}\"}}",
        i == 0 ? "" : ",", column.key, column.type, table, number, size, modifier,
        format == 0 ? "text" : "binary");
    columns_.push_back(std::move(column));
  }
  json_.push_back(']');
  if (!array_mode()) {
    std::set<std::string_view> later;
    for (size_t i = columns_.size(); i-- > 0;)
      columns_[i].left_out = !later.insert(columns_[i].key).second;
  }
}

void SqlAnswer::begin_rows() {
  if (part_ == Part::rows) return;
  if (part_ != Part::head) throw Error(Errc::corrupt, "a row of a result that was not described");
  json_ += ",\"rows\":[";
  part_ = Part::rows;
  first_row_ = true;
}

void SqlAnswer::row(Reader body) {
  if (!is_shown()) return;
  begin_rows();
  if (body.be_get<uint16_t>() != columns_.size())
    throw Error(Errc::corrupt, "a row of another number of columns");
  if (!std::exchange(first_row_, false)) json_.push_back(',');
  bool arrays = array_mode();
  json_.push_back(arrays ? '[' : '{');
  bool first = true;
  for (const Column& column : columns_) {
    auto size = body.be_get<int32_t>();
    std::string_view value = size < 0 ? "" : as_text(body.take(static_cast<size_t>(size)));
    if (column.left_out) continue;
    if (!std::exchange(first, false)) json_.push_back(',');
    if (!arrays) json_.append(column.key).push_back(':');
    if (size < 0)
      json_ += "null";
    else if (raw_text_)
      put_json_string(json_, value);
    else
      put_json_value(json_, value, column.type);
  }
  json_.push_back(arrays ? ']' : '}');
}

void SqlAnswer::complete_statement(std::string_view tag) {
  if (is_shown() && !error_) {
    begin_rows();
    json_ += "],\"command\":";
    put_json_string(json_, tag.substr(0, tag.find(' ')));
    std::optional<uint64_t> count = row_count(tag);
    json_ += fmt::format(",\"rowCount\":{},\"rowAsArray\":{}}}",
                         count ? fmt::to_string(*count) : "null", array_mode());
  }
  part_ = Part::nothing;
  statement_++;
  if (statement_ > statements_) throw Error(Errc::corrupt, "more results than statements");
}

// The first counts. A session that is refused ends without being ready.
void SqlAnswer::fail(Bytes body) {
  Fields fields = error_fields(body);
  std::string_view severity = fields.contains('V') ? fields['V'] : fields['S'];
  fields['V'] = severity;
  if (severity == "FATAL" || severity == "PANIC") fatal_ = true;
  if (error_) return;
  // As the driver's own server says it.
  std::string message(fields['M']);
  if (fields['C'] == "28P01") std::replace(message.begin(), message.end(), '"', '\'');
  fields['M'] = message;
  error_ = error_json(fields);
}

void SqlAnswer::fail_with(std::string_view code, std::string_view message) {
  if (!error_) error_ = error_json(Fields{{'M', message}, {'C', code}, {'V', "ERROR"}});
}

}  // namespace halogen::proxy
