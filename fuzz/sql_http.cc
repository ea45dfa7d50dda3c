// Everything that comes to the port for SQL over HTTP: heads and bodies of requests, connection
// strings, frames of WebSockets, and what a hostile compute says in answer to a query. Nothing may
// crash; what is made of it is valid JSON and whole messages.
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "postgres/wire.h"
#include "proxy/http/json_text.h"
#include "proxy/http/sql_answer.h"
#include "proxy/http/upgrade.h"
#include "proxy/io/web_socket_frames.h"

namespace {

using namespace halogen;
using namespace halogen::proxy;

constexpr size_t kMaxBody = 4096;

void check_messages(const std::string& messages) {
  size_t at = byteswap(load<uint32_t>(messages.data()));  // The startup packet.
  while (at < messages.size()) {
    auto message = wire::parse_message(as_bytes(std::string_view(messages).substr(at)));
    CHECK(message.has_value());
    at += message->size;
  }
}

void request(std::string_view text) {
  try {
    RequestReader reader(kMaxBody);
    size_t used = 0;
    while (used < text.size() && !reader.complete()) used += reader.take(text.substr(used, 7));
    CHECK(used <= text.size());
    if (!reader.complete()) return;
    HttpRequest whole = reader.take_request();
    CHECK(whole.body.size() <= kMaxBody && whole.path().size() <= whole.target.size());
    if (whole.upgrade) (void)answer_upgrade(whole);
    SqlRequest sql = parse_sql_request(whole);
    check_messages(wire_messages(sql));
  } catch (const HttpError& error) {
    CHECK(error.status() >= 400);
  }
}

void body(std::string_view text) {
  HttpRequest made;
  made.headers.emplace_back("neon-connection-string", "postgres://a:b@ep-c.localhost/d");
  made.body = text;
  try {
    SqlRequest sql = parse_sql_request(made);
    check_messages(wire_messages(sql));
  } catch (const HttpError& error) {
    CHECK(error.status() == 400);
  }
}

void connection_string(std::string_view text) {
  try {
    ConnectionString to = parse_connection_string(text);
    CHECK(!to.user.empty() && !to.password.empty() && !to.host.empty());
    CHECK((to.user + to.password + to.database).find('\0') == std::string::npos);
  } catch (const HttpError& error) {
    CHECK(error.status() == 400);
  }
}

void answer(std::string_view text) {
  HttpRequest made;
  made.headers.emplace_back("neon-connection-string", "postgres://a:b@ep-c.localhost/d");
  made.headers.emplace_back("neon-raw-text-output", "true");
  made.body = R"({"queries":[{"query":"a"},{"query":"b","arrayMode":true}]})";
  SqlAnswer answer(parse_sql_request(made));
  try {
    CHECK(answer.take(text) <= text.size());
    if (answer.error())
      CHECK(nlohmann::json::accept(*answer.error()));
    else if (answer.complete())
      (void)nlohmann::json::accept(answer.json());
  } catch (const Error& error) {
    CHECK(error.code() == Errc::corrupt);
  }
}

// By its grammar: a number may be larger than any of C++'s (JavaScript makes it Infinity).
bool is_json(std::string_view text) {
  try {
    (void)nlohmann::json::parse(text);
    return true;
  } catch (const nlohmann::json::out_of_range&) {
    return true;
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

void values(std::string_view text) {
  for (uint32_t type : {25, 23, 701, 1007, 1000, 1009}) {
    std::string out;
    put_json_value(out, text, type);
    CHECK(is_json(out));
  }
}

// The same, however they come.
void frames(std::string_view text) {
  FrameReader whole, pieces;
  std::string at_once(text), one_by_one;
  at_once.resize(whole.take(at_once));
  for (char c : text)
    if (pieces.take({&c, 1}) == 1) one_by_one.push_back(c);
  CHECK(at_once == one_by_one && whole.ended() == pieces.ended());
  CHECK(whole.has_ping() == pieces.has_ping() && whole.take_ping() == pieces.take_ping());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  request(text);
  body(text);
  connection_string(text);
  answer(text);
  values(text);
  frames(text);
  return 0;
}
