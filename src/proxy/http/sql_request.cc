#include "proxy/http/sql_request.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/bytes.h"

namespace halogen::proxy {
namespace {

using json = nlohmann::ordered_json;

constexpr size_t kMostNested = 128;
constexpr size_t kMostParameters = 65'535;  // Bind counts them in 16 bits.

struct Isolation {
  std::string_view header;
  std::string_view sql;
};
constexpr Isolation kIsolations[] = {{"ReadUncommitted", "READ UNCOMMITTED"},
                                     {"ReadCommitted", "READ COMMITTED"},
                                     {"RepeatableRead", "REPEATABLE READ"},
                                     {"Serializable", "SERIALIZABLE"}};

[[noreturn]] void unreadable(std::string_view why) {
  throw HttpError(400, fmt::format("could not parse the HTTP request body: {}", why));
}

// The library walks a value by recursion.
size_t deepest(std::string_view text) {
  size_t depth = 0, most = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); i++) {
    char c = text[i];
    if (in_string) {
      if (c == '\\')
        i++;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      most = std::max(most, ++depth);
    } else if ((c == '}' || c == ']') && depth > 0) {
      depth--;
    }
  }
  return most;
}

// What is no UTF-8 cannot get here: the parser refuses it.
std::string text_of(const json& value) { return value.dump(); }

// Inside an array's text.
void put_quoted(std::string& out, std::string_view text) {
  out.push_back('"');
  for (char c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  out.push_back('"');
}

void put_array(std::string& out, const json& array) {
  out.push_back('{');
  bool first = true;
  for (const json& element : array) {
    if (!std::exchange(first, false)) out.push_back(',');
    if (element.is_null())
      out += "NULL";
    else if (element.is_array())
      put_array(out, element);
    else if (element.is_string())
      put_quoted(out, element.get_ref<const std::string&>());
    else if (element.is_object())
      put_quoted(out, text_of(element));
    else
      out += text_of(element);
  }
  out.push_back('}');
}

std::optional<std::string> parameter_of(json& value) {
  if (value.is_null()) return std::nullopt;
  if (value.is_string()) return std::move(value.get_ref<std::string&>());
  if (!value.is_array()) return text_of(value);
  std::string text;
  put_array(text, value);
  return text;
}

SqlQuery query_of(json& value, bool array_mode) {
  if (!value.is_object()) unreadable("a query is not an object");
  auto text = value.find("query");
  if (text == value.end() || !text->is_string()) unreadable("\"query\" is not a string");
  SqlQuery query;
  query.text = std::move(text->get_ref<std::string&>());
  if (query.text.find('\0') != std::string::npos) unreadable("a zero byte in a query");
  query.array_mode = array_mode;
  if (auto mode = value.find("arrayMode"); mode != value.end() && !mode->is_null()) {
    if (!mode->is_boolean()) unreadable("\"arrayMode\" is not a boolean");
    query.array_mode = mode->get<bool>();
  }
  if (auto given = value.find("params"); given != value.end()) {
    if (!given->is_array()) unreadable("\"params\" is not an array");
    if (given->size() > kMostParameters) unreadable("too many parameters");
    for (json& one : *given) query.parameters.push_back(parameter_of(one));
  }
  return query;
}

void parse_body(SqlRequest& into, std::string body, bool array_mode) {
  if (deepest(body) > kMostNested) unreadable("recursion limit exceeded");
  json value;
  try {
    value = json::parse(body);
  } catch (const json::exception&) {  // Which quotes the body.
    unreadable("not JSON");
  }
  body = std::string();
  if (!value.is_object()) unreadable("not an object");
  auto queries = value.find("queries");
  into.batch = queries != value.end();
  if (!into.batch) {
    into.queries.push_back(query_of(value, array_mode));
    return;
  }
  if (!queries->is_array()) unreadable("\"queries\" is not an array");
  for (json& one : *queries) into.queries.push_back(query_of(one, array_mode));
}

std::string_view isolation_sql(std::string_view header) {
  for (const Isolation& known : kIsolations)
    if (known.header == header) return known.sql;
  throw HttpError(400, "invalid isolation level");
}

std::string begin_text(const SqlRequest& request) {
  std::string text = "START TRANSACTION";
  if (!request.isolation.empty())
    text += fmt::format(" ISOLATION LEVEL {}", isolation_sql(request.isolation));
  if (request.read_only) text += " READ ONLY";
  if (request.deferrable) text += " DEFERRABLE";
  return text;
}

// Parameters' types are Postgres' to find out, all values are text.
void put_statement(std::string& out, const SqlQuery& query) {
  using wire::Frontend;
  Writer parse;
  parse.cstring("").cstring(query.text).be_put(uint16_t{0});
  wire::put_message(out, Frontend::parse, parse.view());
  Writer bind;
  bind.cstring("").cstring("").be_put(uint16_t{0});
  bind.be_put(static_cast<uint16_t>(query.parameters.size()));
  for (const auto& parameter : query.parameters) {
    bind.be_put(parameter ? static_cast<int32_t>(parameter->size()) : int32_t{-1});
    if (parameter) bind.text(*parameter);
  }
  bind.be_put(uint16_t{0});
  wire::put_message(out, Frontend::bind, bind.view());
  Writer describe;
  describe.text("P").cstring("");
  wire::put_message(out, Frontend::describe, describe.view());
  Writer execute;
  execute.cstring("").be_put(uint32_t{0});
  wire::put_message(out, Frontend::execute, execute.view());
}

wire::Parameters startup_parameters(const ConnectionString& to) {
  wire::Parameters parameters{{"user", to.user}};
  if (!to.database.empty()) parameters.emplace_back("database", to.database);
  parameters.emplace_back("client_encoding", "UTF8");
  for (const auto& parameter : to.parameters) parameters.push_back(parameter);
  return parameters;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> SqlRequest::echo() const {
  std::vector<std::pair<std::string, std::string>> headers;
  if (!batch) return headers;
  if (!isolation.empty()) headers.emplace_back("Neon-Batch-Isolation-Level", isolation);
  if (read_only) headers.emplace_back("Neon-Batch-Read-Only", "true");
  if (deferrable) headers.emplace_back("Neon-Batch-Deferrable", "true");
  return headers;
}

SqlRequest parse_sql_request(HttpRequest& request) {
  std::string_view to = request.header("neon-connection-string");
  if (to.empty()) throw HttpError(400, "invalid header: neon-connection-string");
  SqlRequest sql;
  sql.to = parse_connection_string(to);
  sql.raw_text = request.is_true("neon-raw-text-output");
  sql.isolation = request.header("neon-batch-isolation-level");
  sql.read_only = request.is_true("neon-batch-read-only");
  sql.deferrable = request.is_true("neon-batch-deferrable");
  if (!sql.isolation.empty()) (void)isolation_sql(sql.isolation);
  parse_body(sql, std::move(request.body), request.is_true("neon-array-mode"));
  return sql;
}

std::string wire_messages(SqlRequest& request) {
  std::string out = wire::startup_packet(startup_parameters(request.to));
  wire::put_password(out, request.to.password);
  if (request.batch) put_statement(out, {begin_text(request), {}, false});
  for (SqlQuery& query : request.queries) {
    put_statement(out, query);
    query.text = std::string();
    query.parameters.clear();
  }
  if (request.batch) put_statement(out, {"COMMIT", {}, false});
  wire::put_message(out, wire::Frontend::sync);
  return out;
}

size_t statement_count(const SqlRequest& request) {
  return request.queries.size() + (request.batch ? 2 : 0);
}

}  // namespace halogen::proxy
