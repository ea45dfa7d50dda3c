// What comes on a connection of HTTP/2 behind its preface: nothing may crash, and it ends when the
// client leaves. What is asked of us in its name keeps the limits, and says no lines of its own.
#include "proxy/http/http2.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "proxy/http/sql_answer.h"
#include "proxy/io/pipe.h"

namespace {

using namespace halogen;
using namespace halogen::proxy;

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr size_t kMaxBody = 1000;

// Answers some requests at once and keeps others open until the client has gone.
class Client {
 public:
  explicit Client(bool keeps) : keeps_(keeps) {}

  void says(std::string text) {
    auto [ours, theirs] = make_pipe(worker_.loop);
    Stream server(worker_.loop, std::move(ours)), client(worker_.loop, std::move(theirs));
    Http2::Options options{.max_body = kMaxBody, .bodies = bodies(), .network = "client"};
    options.answer = [this](HttpRequest request, Connection at, std::shared_ptr<void> keepsake) {
      return answer(std::move(request), std::move(at), std::move(keepsake));
    };
    options.changed = [] {};
    auto http2 = std::make_shared<Http2>(worker_, server, std::move(options));
    worker_.loop.spawn(http2->serve(), [&](const std::exception_ptr&) {
      server.shutdown_send();
      worker_.loop.stop();
    });
    worker_.loop.spawn(say(client, std::move(text)), [](const std::exception_ptr&) {});
    worker_.loop.spawn(hear(client), [](const std::exception_ptr&) {});
    worker_.loop.run();
    open_.clear();
  }

 private:
  static ByteBudget& bodies() {
    static ByteBudget all{{.message = 1 << 20, .endpoint = 1 << 20, .all = 1 << 20},
                          "halogen_fuzz_http2_bytes",
                          "Of a fuzzer."};
    return all;
  }

  static Task<void> say(Stream& client, std::string text) {
    co_await client.write(text);
    client.shutdown_send();
  }
  static Task<void> hear(Stream& client) {
    std::string bytes(4096, '\0');
    while (co_await client.read_some(bytes) > 0) {
    }
  }

  bool answer(HttpRequest request, Connection at, std::shared_ptr<void> keepsake) {
    CHECK(request.body.size() <= kMaxBody);
    size_t head = request.method.size() + request.target.size();
    for (const auto& [name, value] : request.headers) {
      head += name.size() + value.size();
      CHECK((name + value).find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos);
    }
    CHECK(head <= 2 * Http2::kMostHead);
    CHECK((request.method + request.target).find_first_of("\r\n ") == std::string::npos);
    open_.emplace_back(std::make_unique<Stream>(worker_.loop, std::move(at)), std::move(keepsake));
    CHECK(open_.size() <= Http2::kMostAtOnce);
    if (keeps_) return true;
    open_.back().first->write_what_fits(response_text({200, {}, request.body}, false));
    open_.pop_back();
    return true;
  }

  Worker worker_;
  std::vector<std::pair<std::unique_ptr<Stream>, std::shared_ptr<void>>> open_;
  const bool keeps_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  Client(rest[0] & 1).says(std::string(kPreface).append(rest.substr(1)));
  return 0;
}
