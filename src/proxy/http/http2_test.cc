// HTTP/2 over a pipe in memory, with a stub in place of what answers. By a real client, and against
// hostile bytes through a real proxy: tests/drivers/test_serverless.py.
#include "proxy/http/http2.h"

#include <gmock/gmock.h>

#include <random>
#include <vector>

#include "base/error.h"
#include "proxy/io/pipe.h"

namespace halogen::proxy {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
enum Kind : uint8_t { data, headers, priority, rst_stream, settings, push, ping, goaway, window };
constexpr uint8_t kEndStream = 1, kEndHeaders = 4;

std::string frame(uint8_t kind, uint8_t flags, uint32_t stream, std::string_view payload = {}) {
  std::string out;
  for (int shift : {16, 8, 0}) out.push_back(static_cast<char>(payload.size() >> shift));
  out.push_back(static_cast<char>(kind));
  out.push_back(static_cast<char>(flags));
  for (int shift : {24, 16, 8, 0}) out.push_back(static_cast<char>(stream >> shift));
  return out.append(payload);
}

std::string literal(std::string_view name, std::string_view value) {
  std::string out(1, '\0');
  for (std::string_view word : {name, value}) {
    out.push_back(static_cast<char>(word.size()));
    out.append(word);
  }
  return out;
}

std::string request(std::string_view method = "POST") {
  return literal(":method", method) + literal(":scheme", "https") + literal(":path", "/sql") +
         literal(":authority", "api.localhost") + literal("x-a", "b");
}

// Answers each request with its method and body, or keeps it.
class Http2Test : public testing::Test {
 protected:
  // Serves a client that says this, hears what it is told until this has come, and then leaves;
  // at once, if that is "".
  void answer(std::string_view said, std::string_view until) {
    Worker worker;
    Timer patience(worker.loop);
    patience.set(steady_clock::now() + std::chrono::seconds(10), [&worker] {
      ADD_FAILURE() << "it does not come to an end";
      worker.loop.stop();
    });
    auto [ours, theirs] = make_pipe(worker.loop);
    Stream server(worker.loop, std::move(ours)), client(worker.loop, std::move(theirs));
    auto http2 = std::make_shared<Http2>(
        worker, server,
        Http2::Options{
            .max_body = 1000,
            .bodies = bodies_,
            .network = "client",
            .answer =
                [&](HttpRequest request, Connection connection, std::shared_ptr<void> keepsake) {
                  answer_one(worker, std::move(request), std::move(connection),
                             std::move(keepsake));
                  return has_room_;
                },
            .changed = [this] { changes_++; }});
    heard_.clear();
    worker.loop.spawn(http2->serve(), [&](const std::exception_ptr&) {
      server.shutdown_send();
      worker.loop.stop();
    });
    worker.loop.spawn(say(client, std::string(said), until.empty()),
                      [](const std::exception_ptr&) {});
    worker.loop.spawn(hear(client, std::string(until)), [](const std::exception_ptr&) {});
    worker.loop.run();
    kept_.clear();
  }

  static Task<void> say(Stream& client, std::string text, bool leaves) {
    co_await client.write(text);
    if (leaves) client.shutdown_send();
  }
  Task<void> hear(Stream& client, std::string until) {
    std::string bytes(4096, '\0');
    while (size_t size = co_await client.read_some(bytes)) {
      heard_.append(bytes, 0, size);
      if (!until.empty() && heard_.find(until) != std::string::npos) client.shutdown_send();
    }
  }
  void answer_one(Worker& worker, HttpRequest request, Connection connection,
                  std::shared_ptr<void> keepsake) {
    asked_.push_back(request);
    at_work_ = std::max<size_t>(at_work_, static_cast<size_t>(keepsake.use_count()) - 1);
    auto stream = std::make_unique<Stream>(worker.loop, std::move(connection));
    std::string text = request.method + " " + request.body;
    stream->write_what_fits(broken_ ? "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
                                    : response_text({200, {{"X-One", "1"}}, text}, false));
    if (keeps_) kept_.emplace_back(std::move(stream), std::move(keepsake));
  }

  ByteBudget bodies_{{.message = 1 << 20, .endpoint = 1 << 20, .all = 1 << 20},
                     "halogen_test_http2_bytes",
                     "Of a test."};
  std::string heard_;
  std::vector<HttpRequest> asked_;
  std::vector<std::pair<std::unique_ptr<Stream>, std::shared_ptr<void>>> kept_;
  size_t at_work_ = 0;
  int changes_ = 0;
  bool keeps_ = false;   // The answers' connections are not closed.
  bool broken_ = false;  // They end in the middle.
  bool has_room_ = true;
};

std::string reset(uint32_t stream, char code) {
  return frame(rst_stream, 0, stream, std::string(3, '\0') + code);
}

std::string beginning() { return std::string(kPreface) + frame(settings, 0, 0); }

TEST_F(Http2Test, ARequestIsAskedAsItCameAndAnswered) {
  answer(beginning() + frame(headers, kEndHeaders, 1, request()) + frame(data, 0, 1, "bo") +
             frame(data, kEndStream, 1, "dy"),
         "POST body");
  ASSERT_EQ(asked_.size(), 1U);
  EXPECT_EQ(asked_[0].method, "POST");
  EXPECT_EQ(asked_[0].target, "/sql");
  EXPECT_EQ(asked_[0].header("host"), "api.localhost");
  EXPECT_EQ(asked_[0].header("x-a"), "b");
  EXPECT_EQ(asked_[0].body, "body");
  EXPECT_THAT(heard_, HasSubstr("POST body"));
  EXPECT_GT(changes_, 0);
}

TEST_F(Http2Test, ManyAreAnsweredOnOneConnection) {
  std::string said = beginning();
  for (uint32_t i = 1; i < 100; i += 2)
    said += frame(headers, kEndHeaders, i, request()) +
            frame(data, kEndStream, i, fmt::format("number {};", i));
  answer(said, "number 99;");
  EXPECT_EQ(asked_.size(), 50U);
  for (uint32_t i = 1; i < 100; i += 2)
    EXPECT_THAT(heard_, HasSubstr(fmt::format("number {};", i)));
}

TEST_F(Http2Test, ABodyThatIsTooLargeIsRefusedAndNobodyAsked) {
  const std::string_view refusal = "request is too large (max is 1000 bytes)";
  answer(beginning() + frame(headers, kEndHeaders, 1, request()) +
             frame(data, 0, 1, std::string(1001, 'x')) + frame(data, kEndStream, 1, "more"),
         refusal);
  EXPECT_TRUE(asked_.empty());
  EXPECT_THAT(heard_, HasSubstr(refusal));
}

TEST_F(Http2Test, AnAnswerThatEndsInTheMiddleIsNoAnswer) {
  broken_ = true;
  const std::string failed = reset(1, '\2');
  answer(beginning() + frame(headers, kEndHeaders | kEndStream, 1, request()), failed);
  EXPECT_THAT(heard_, HasSubstr(failed));
}

TEST_F(Http2Test, WhatThereIsNoRoomForIsRefusedToBeAskedAgain) {
  has_room_ = false;
  const std::string refused = reset(1, '\7');
  answer(beginning() + frame(headers, kEndHeaders | kEndStream, 1, request()), refused);
  EXPECT_THAT(heard_, HasSubstr(refused));
}

TEST_F(Http2Test, RequestsThatAreTakenBackCountAsLongAsTheyAreWorkedOn) {
  keeps_ = true;
  std::string said = beginning();
  for (uint32_t i = 1; i < 1000; i += 2)
    said += frame(headers, kEndHeaders | kEndStream, i, request()) + reset(i, '\10');
  const std::string calm = std::string(3, '\0') + '\13';  // ENHANCE_YOUR_CALM
  answer(said, calm);
  EXPECT_LE(at_work_, Http2::kMostAtOnce);
  EXPECT_LE(asked_.size(), Http2::kMostAtOnce);
  EXPECT_THAT(heard_, HasSubstr(calm));
}

TEST_F(Http2Test, WhateverComesItEnds) {
  std::mt19937 chance(1);
  auto below = [&](size_t most) { return std::uniform_int_distribution<size_t>(0, most)(chance); };
  for (int round = 0; round < 3000; round++) {
    asked_.clear();
    keeps_ = round % 3 == 0;
    std::string said = beginning();
    for (size_t i = 0, count = below(12); i < count; i++) {
      std::string payload = below(1) == 0 ? request() : std::string(below(40), '\1');
      said += frame(static_cast<uint8_t>(below(10)), static_cast<uint8_t>(below(47)),
                    static_cast<uint32_t>(below(6)), payload);
    }
    for (size_t i = 0, count = below(4); i < count; i++)
      said[below(said.size() - 1)] = static_cast<char>(below(255));
    if (below(3) == 0) said.resize(below(said.size()));
    answer(said, "");
    for (const HttpRequest& one : asked_) {
      EXPECT_LE(one.body.size(), 1000U);
      for (const auto& [name, value] : one.headers)
        EXPECT_EQ((name + value).find_first_of("\r\n"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace halogen::proxy
