// What a request over HTTP says, what is made of it, and what is made of the answer. Pure.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "postgres/wire.h"
#include "proxy/http/json_text.h"
#include "proxy/http/sql_answer.h"
#include "proxy/http/upgrade.h"

namespace halogen::proxy {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr size_t kMaxBody = 1000;

// ---- Requests ----

HttpRequest read(const std::string& text, size_t piece = 1) {
  RequestReader reader(kMaxBody);
  for (size_t at = 0; at < text.size() && !reader.complete();)
    at += reader.take(std::string_view(text).substr(at, piece));
  EXPECT_TRUE(reader.complete());
  return reader.take_request();
}

int status_of(const std::string& text) {
  RequestReader reader(kMaxBody);
  try {
    (void)reader.take(text);
  } catch (const HttpError& error) {
    return error.status();
  }
  return 0;
}

TEST(RequestReader, ARequestIsTheSameInWhateverPiecesItComes) {
  std::string text =
      "POST /sql?x=1 HTTP/1.1\r\nHost: api.localhost\r\nNeon-Array-Mode:  true \r\n"
      "Content-Length: 5\r\n\r\nhello";
  for (size_t piece : {size_t{1}, size_t{13}, text.size()}) {
    HttpRequest request = read(text, piece);
    EXPECT_EQ(request.method, "POST");
    EXPECT_EQ(request.path(), "/sql");
    EXPECT_EQ(request.body, "hello");
    EXPECT_TRUE(request.keep_alive);
    EXPECT_TRUE(request.is_true("neon-array-mode"));
    EXPECT_EQ(request.header("none"), "");
  }
}

TEST(RequestReader, WhatFollowsARequestIsLeft) {
  std::string one = "POST /sql HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
  RequestReader reader(kMaxBody);
  EXPECT_EQ(reader.take(one + one), one.size());
  EXPECT_EQ(reader.take_request().body, "ab");
}

TEST(RequestReader, WhatIsTooLargeOrNoHttpIsRefused) {
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n"), 413);
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" +
                      std::string(1001, 'x')),
            413);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nX: " + std::string(70'000, 'x')), 431);
  EXPECT_EQ(status_of("HELLO\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/2.0\r\n\r\n"), 400);
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
            400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"), 400);
}

TEST(RequestReader, AClientThatAsksBeforeItSendsABodyIsTold) {
  RequestReader reader(kMaxBody);
  (void)reader.take("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
  EXPECT_TRUE(reader.take_expects_continue());
  EXPECT_FALSE(reader.take_expects_continue());
}

TEST(Upgrade, KeysAreAnsweredAsTheStandardSays) {
  std::string head =
      "GET /v2 HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: ";
  HttpRequest request = read(head + "13\r\n\r\n");
  EXPECT_TRUE(request.upgrade);
  std::string text = response_text(answer_upgrade(request), false);
  EXPECT_THAT(text, HasSubstr("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
  EXPECT_THAT(text, Not(HasSubstr("Content-Length")));
  EXPECT_EQ(answer_upgrade(read(head + "8\r\n\r\n")).status, 426);
  EXPECT_EQ(host_name("EP-a.EU.localhost:4444"), "ep-a.eu.localhost");
}

// ---- Whom it is for ----

std::string why_not(const std::string& text) {
  try {
    (void)parse_connection_string(text);
  } catch (const HttpError& error) {
    return error.what();
  }
  return "";
}

TEST(ConnectionString, ItsPartsAreDecoded) {
  ConnectionString to = parse_connection_string(
      "postgresql://al%40ice:p%3Ass%2Fw%25rd%ff@ep-a-pooler.eu.localhost:5432/my%20db?"
      "sslmode=require&application_name=pkg%3Anpm%2F%2540neondatabase&options=-c+a%3D1#x");
  EXPECT_EQ(to.user, "al@ice");
  EXPECT_EQ(to.password, "p:ss/w%rd\xff");
  EXPECT_EQ(to.host, "ep-a-pooler.eu.localhost");
  EXPECT_EQ(to.database, "my db");
  EXPECT_THAT(to.parameters, ElementsAre(std::pair("application_name", "pkg:npm/%40neondatabase"),
                                         std::pair("options", "-c a=1")));
}

TEST(ConnectionString, WhatIsMissingIsNamed) {
  EXPECT_THAT(why_not("nonsense"), HasSubstr("invalid connection string: "));
  EXPECT_EQ(why_not("mysql://a:b@c/d"), "incorrect scheme");
  EXPECT_EQ(why_not("postgres://ep-a.localhost/d"), "missing username");
  EXPECT_EQ(why_not("postgres://a@ep-a.localhost/d"),
            "missing authentication credentials: required password");
  EXPECT_EQ(why_not("postgres://a:b@/d"), "missing hostname");
  EXPECT_EQ(why_not("postgres://a:b@127.0.0.1/d"), "missing hostname");
  EXPECT_EQ(why_not("postgres://a:b@[::1]/d"), "missing hostname");
  EXPECT_THAT(why_not("postgres://a:b%00c@ep-a.localhost/d"), HasSubstr("zero byte"));
}

// ---- What it asks for ----

SqlRequest sql(const std::string& body, wire::Parameters headers = {}) {
  HttpRequest request;
  request.headers = std::move(headers);
  request.headers.emplace_back("neon-connection-string", "postgres://a:b@ep-a.localhost/d");
  request.body = body;
  return parse_sql_request(request);
}

std::string refused(const std::string& body, wire::Parameters headers = {}) {
  try {
    (void)sql(body, std::move(headers));
  } catch (const HttpError& error) {
    return error.what();
  }
  return "";
}

TEST(SqlRequest, ParametersBecomeTheTextThatPostgresReads) {
  SqlRequest request = sql(R"({"query":"q","params":[null,"s",true,1.5,12,{"a":[1,"x"]},
      [1,null,true,"a\"b\\c",{"k":"v"},[2,"é"]],[]]})");
  EXPECT_THAT(request.queries.at(0).parameters,
              ElementsAre(std::nullopt, "s", "true", "1.5", "12", R"({"a":[1,"x"]})",
                          R"({1,NULL,true,"a\"b\\c","{\"k\":\"v\"}",{2,"é"}})", "{}"));
  EXPECT_FALSE(request.batch);
}

TEST(SqlRequest, AQueryMaySayOtherwiseThanTheHeader) {
  SqlRequest request =
      sql(R"({"queries":[{"query":"a"},{"query":"b","arrayMode":false,"params":[]}]})",
          {{"neon-array-mode", "true"},
           {"neon-batch-isolation-level", "RepeatableRead"},
           {"neon-batch-read-only", "true"},
           {"neon-batch-deferrable", "True"}});
  EXPECT_TRUE(request.queries.at(0).array_mode);
  EXPECT_FALSE(request.queries.at(1).array_mode);
  EXPECT_THAT(request.echo(), ElementsAre(std::pair("Neon-Batch-Isolation-Level", "RepeatableRead"),
                                          std::pair("Neon-Batch-Read-Only", "true")));
  EXPECT_THAT(wire_messages(request),
              HasSubstr("START TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY\0"));
}

TEST(SqlRequest, WhatCannotBeReadIsRefused) {
  for (const std::string& body :
       {std::string(), std::string("{"), std::string("[]"), std::string("{}"),
        std::string(R"({"query":1})"), std::string(R"({"query":"a","params":{}})"),
        std::string(R"({"queries":{}})"), std::string(R"({"query":"a\u0000b"})"),
        std::string("{\"query\":\"\xff\"}"),
        R"({"query":"a","params":[)" + std::string(100'000, '[') + "]}"})
    EXPECT_THAT(refused(body), HasSubstr("could not parse the HTTP request body: ")) << body;
  EXPECT_EQ(refused("{}", {{"neon-batch-isolation-level", "serializable"}}),
            "invalid isolation level");
  HttpRequest request;
  EXPECT_THROW((void)parse_sql_request(request), HttpError);
  EXPECT_THAT(refused(R"({"query":"secret)"), Not(HasSubstr("secret")));
}

// ---- The answer ----

std::string value(std::string_view text, uint32_t type) {
  std::string out;
  put_json_value(out, text, type);
  return out;
}

TEST(JsonText, ValuesAreAsNearToTheirTypeAsJsonIs) {
  EXPECT_EQ(value("t", 16), "true");
  EXPECT_EQ(value("-7", 23), "-7");
  EXPECT_EQ(value("1e+20", 701), "1e+20");
  EXPECT_EQ(value("NaN", 701), "\"NaN\"");
  EXPECT_EQ(value("-Infinity", 700), "\"-Infinity\"");
  EXPECT_EQ(value("9007199254740993", 20), "\"9007199254740993\"");
  EXPECT_EQ(value("1.10", 1700), "\"1.10\"");
  EXPECT_EQ(value(R"({"a": 1})", 3802), R"({"a": 1})");
  EXPECT_EQ(value("\\x01", 17), R"("\\x01")");
  EXPECT_EQ(value("[0:1]={1,NULL}", 1007), "[1,null]");
  EXPECT_EQ(value("{{t,f},{f,t}}", 1000), "[[true,false],[false,true]]");
  EXPECT_EQ(value(R"({a,"b,\"c\\",NULL,"NULL",""})", 1009), R"(["a","b,\"c\\",null,"NULL",""])");
  EXPECT_EQ(value(R"({"{\"a\": [1]}"})", 3807), R"([{"a": [1]}])");
  EXPECT_EQ(value("{}", 1007), "[]");
  EXPECT_EQ(value("{1,2", 1007), "\"{1,2\"");
  EXPECT_EQ(value("{{{{{{{1}}}}}}}", 1007), "\"{{{{{{{1}}}}}}}\"");
}

TEST(JsonText, AnyBytesBecomeAValidString) {
  std::string bytes;
  for (int i = 0; i < 256; i++) bytes.push_back(static_cast<char>(i));
  bytes += "\xed\xa0\x80\xf5\xe2\x82";
  std::string out;
  put_json_string(out, bytes);
  std::string read_back = json::parse(out);
  EXPECT_EQ(read_back.substr(0, 128), bytes.substr(0, 128));
  out.clear();
  put_json_string(out, "grüße \xf0\x9f\x98\x80");
  EXPECT_EQ(json::parse(out), "grüße \xf0\x9f\x98\x80");
}

struct ServerSays {
  std::string text;
  ServerSays() {
    wire::put_authentication_ok(text);
    wire::put_backend_key(text, 7, 9);
    wire::put_ready_for_query(text);
  }
  ServerSays& rows(std::vector<wire::Column> columns, const std::vector<wire::Row>& given,
                   std::string_view tag) {
    wire::put_row_description(text, columns);
    for (const wire::Row& row : given) wire::put_data_row(text, row);
    return done(tag);
  }
  ServerSays& nothing(std::string_view tag) {
    wire::put_message(text, 'n');
    return done(tag);
  }
  ServerSays& done(std::string_view tag) {
    wire::put_command_complete(text, tag);
    return *this;
  }
  std::string end(char status = 'I') {
    wire::put_ready_for_query(text, status);
    return text;
  }
};

json answer_of(const SqlRequest& request, const std::string& server) {
  for (size_t piece : {server.size(), size_t{1}}) {
    SqlAnswer answer(request);
    std::string held;
    for (size_t at = 0; at < server.size(); at += piece) {
      held += server.substr(at, piece);
      held.erase(0, answer.take(held));
    }
    EXPECT_TRUE(answer.complete());
    EXPECT_FALSE(answer.in_transaction());
    if (piece == 1) return json::parse(answer.error() ? *answer.error() : answer.json());
  }
  return {};
}

TEST(SqlAnswer, OneQueryIsOneResult) {
  std::string server =
      ServerSays().rows({{"n", 23, 4}, {"s"}}, {{"42", std::nullopt}}, "SELECT 1").end();
  EXPECT_EQ(answer_of(sql(R"({"query":"q"})"), server), json::parse(R"({"fields":[
     {"name":"n","dataTypeID":23,"tableID":0,"columnID":0,"dataTypeSize":4,
      "dataTypeModifier":-1,"format":"text"},
     {"name":"s","dataTypeID":25,"tableID":0,"columnID":0,"dataTypeSize":-1,
      "dataTypeModifier":-1,"format":"text"}],
     "rows":[{"n":42,"s":null}],"command":"SELECT","rowCount":1,"rowAsArray":false})"));
  EXPECT_EQ(answer_of(sql(R"({"query":"q","arrayMode":true})", {{"neon-raw-text-output", "true"}}),
                      server)["rows"],
            json::parse(R"([["42",null]])"));
}

TEST(SqlAnswer, OfColumnsOfOneNameTheLastCounts) {
  std::string server =
      ServerSays().rows({{"a"}, {"b"}, {"a"}}, {{"1", "2", "3"}}, "SELECT 1").end();
  SqlAnswer answer(sql(R"({"query":"q"})"));
  (void)answer.take(server);
  EXPECT_THAT(answer.json(), HasSubstr(R"("rows":[{"b":"2","a":"3"}])"));
}

TEST(SqlAnswer, RowsAreCountedWhereTheTagSaysHowMany) {
  for (auto [tag, command, count] :
       {std::tuple("INSERT 0 5", "INSERT", json(5)), std::tuple("CREATE TABLE", "CREATE", json()),
        std::tuple("SET", "SET", json()), std::tuple("DELETE 0", "DELETE", json(0))}) {
    json answer = answer_of(sql(R"({"query":"q"})"), ServerSays().nothing(tag).end());
    EXPECT_EQ(answer["command"], command);
    EXPECT_EQ(answer["rowCount"], count);
    EXPECT_EQ(answer["fields"], json::array());
    EXPECT_EQ(answer["rows"], json::array());
  }
}

TEST(SqlAnswer, ABatchShowsItsQueriesAndNotItsTransaction) {
  SqlRequest two = sql(R"({"queries":[{"query":"a"},{"query":"b"}]})");
  ServerSays server;
  server.nothing("START TRANSACTION").nothing("CREATE TABLE").rows({{"a"}}, {{"1"}}, "SELECT 1");
  json answer = answer_of(two, server.nothing("COMMIT").end());
  ASSERT_EQ(answer["results"].size(), 2U);
  EXPECT_EQ(answer["results"][0]["command"], "CREATE");
  EXPECT_EQ(answer["results"][1]["rows"], json::parse(R"([{"a":"1"}])"));
  SqlRequest none = sql(R"({"queries":[]})");
  EXPECT_EQ(answer_of(none, ServerSays().nothing("START TRANSACTION").nothing("COMMIT").end()),
            json::parse(R"({"results":[]})"));
}

TEST(SqlAnswer, AnErrorHasAllFieldsAsStringsAndCountsBeforeAllElse) {
  ServerSays server;
  server.rows({{"a"}}, {{"1"}}, "SELECT 1");
  using namespace std::string_literals;
  std::string body = "SERROR\0VERROR\0C42703\0Mno such column\0P18\0Ffile.c\0L3676\0Rroutine\0\0"s;
  wire::put_message(server.text, 'E', body);
  json error = answer_of(sql(R"({"query":"q"})"), server.end());
  EXPECT_EQ(error, json::parse(R"({"message":"no such column","code":"42703","detail":null,
      "hint":null,"position":"18","internalPosition":null,"internalQuery":null,"severity":"ERROR",
      "where":null,"table":null,"column":null,"schema":null,"dataType":null,"constraint":null,
      "file":"file.c","line":"3676","routine":"routine"})"));
}

TEST(SqlAnswer, ASessionThatIsRefusedIsAnError) {
  std::string server;
  wire::put_error(server, {.severity = "FATAL",
                           .sqlstate = "28P01",
                           .message = "password authentication failed for user \"x\""});
  SqlAnswer answer(sql(R"({"query":"q"})"));
  (void)answer.take(server);
  EXPECT_TRUE(answer.complete());
  EXPECT_EQ(json::parse(*answer.error())["message"], "password authentication failed for user 'x'");
}

TEST(SqlAnswer, AServerThatLiesIsFoundOut) {
  for (std::string text : {ServerSays().done("SELECT 1").end(),
                           ServerSays().rows({{"a"}}, {{"1", "2"}}, "SELECT 1").end(),
                           ServerSays().rows({{"a"}}, {}, "SELECT 0").nothing("SET").end()}) {
    SqlAnswer answer(sql(R"({"query":"q"})"));
    EXPECT_THROW((void)answer.take(text), Error);
  }
}

}  // namespace
}  // namespace halogen::proxy
