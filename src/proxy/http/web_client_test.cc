// Queries over HTTP through a real proxy and a real server: how answers come, and what is not done
// for strangers. Drivers' own tests are in tests/drivers/test_serverless.py.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "proxy/testing/raw_client.h"
#include "proxy/testing/test_world.h"

namespace halogen::proxy {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::string_view kEnd = "\r\n0\r\n\r\n";

class WebClientTest : public ProxyTest {
 protected:
  std::string request(const std::string& sql, const std::string& password = kPassword) const {
    std::string body = nlohmann::json{{"query", sql}}.dump();
    return fmt::format(
        "POST /sql HTTP/1.1\r\nHost: api.eu.localhost\r\nNeon-Connection-String: "
        "postgres://alice:{}@ep-test.eu.localhost/postgres\r\nContent-Length: {}\r\n\r\n{}",
        password, body.size(), body);
  }
  // All that comes until the connection is closed, or what has come ends so.
  static std::string answer(RawClient& client, std::string_view end) {
    std::string text;
    for (std::string more; !text.ends_with(end) && !(more = client.receive(65'536)).empty();)
      text += more;
    return text;
  }
  // Without the borders of chunks.
  static std::string joined(std::string_view chunks) {
    std::string text;
    while (true) {
      size_t line = chunks.find("\r\n");
      size_t size = std::stoul(std::string(chunks.substr(0, line)), nullptr, 16);
      if (size == 0) return text;
      text += chunks.substr(line + 2, size);
      chunks.remove_prefix(line + 2 + size + 2);
    }
  }
};

TEST_F(WebClientTest, AnAnswerThatIsTooLargeToBeHeldIsStreamed) {
  start([](Proxy::Options& options) {
    options.web.max_held = 100'000;
    options.web.max_response = 1 << 30;
  });
  RawClient client(proxy_->sql_port());
  client.send(request("select g, repeat('x', 1000) as t from generate_series(1, 20000) g"));
  std::string text = answer(client, kEnd);
  size_t head = text.find("\r\n\r\n") + 4;
  EXPECT_THAT(text.substr(0, head), HasSubstr("Transfer-Encoding: chunked"));
  nlohmann::json result = nlohmann::json::parse(joined(std::string_view(text).substr(head)));
  EXPECT_EQ(result["rows"].size(), 20'000U);
  EXPECT_EQ(result["rows"][19'999]["g"], 20'000);
  EXPECT_EQ(result["rowCount"], 20'000);
  client.send(request("select 1 as a"));  // The connection goes on.
  EXPECT_THAT(answer(client, "}"), HasSubstr("\"rows\":[{\"a\":1}]"));
}

TEST_F(WebClientTest, AnAnswerThatFailsAfterItsHeadWasSentHasNoEnd) {
  start([](Proxy::Options& options) { options.web.max_held = 100'000; });
  RawClient client(proxy_->sql_port());
  client.send(request("select 1 / (5000 - g), repeat('x', 1000) from generate_series(1, 6000) g"));
  std::string text = answer(client, kEnd);
  EXPECT_THAT(text, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_FALSE(text.ends_with(kEnd));
}

TEST_F(WebClientTest, ForAWrongPasswordNoServerIsTaken) {
  start();
  RawClient client(proxy_->sql_port());
  client.send(request("select 1", "wrong"));
  std::string text = answer(client, "}");
  EXPECT_THAT(text, StartsWith("HTTP/1.1 400 Bad Request\r\n"));
  EXPECT_THAT(text, HasSubstr("password authentication failed for user 'alice'"));
  EXPECT_EQ(endpoints_.wakes, 0);
}

TEST_F(WebClientTest, LimitsCanBeSet) {
  start([](Proxy::Options& options) {
    options.web.max_request = 1000;
    options.web.max_response = 1000;
  });
  RawClient client(proxy_->sql_port());
  client.send(request("select repeat('x', 2000)"));
  EXPECT_THAT(answer(client, "}"), HasSubstr("response is too large (max is 1000 bytes)"));
  client.send(request(std::string(2000, ' ')));
  EXPECT_THAT(answer(client, "}"), HasSubstr("request is too large (max is 1000 bytes)"));
}

TEST_F(WebClientTest, ManyRequestsShareFewServers) {
  start();
  RawClient client(proxy_->sql_port());
  std::set<std::string> servers;
  for (int i = 0; i < 50; i++) {
    client.send(request("select pg_backend_pid() as pid"));
    std::string text = answer(client, "}");
    servers.insert(text.substr(text.find("\"rows\"")));
  }
  EXPECT_EQ(servers.size(), 1U);
}

TEST_F(WebClientTest, ItsPortSpeaksTlsForHttpOnly) {
  start();
  RawClient web(proxy_->sql_port());
  EXPECT_TRUE(web.start_tls({.sni = "api.eu.localhost", .alpn = "http/1.1"}));
  web.send(request("select 2 as b"));
  EXPECT_THAT(answer(web, "}"), HasSubstr("\"rows\":[{\"b\":2}]"));
  RawClient postgres(proxy_->sql_port());
  EXPECT_FALSE(postgres.start_tls({.sni = "ep-test.eu.localhost", .alpn = "postgresql"}));
}

}  // namespace
}  // namespace halogen::proxy
