// messages.h: reads whole messages from a stream.
#pragma once
#include <optional>
#include <string>

#include "postgres/wire.h"
#include "proxy/io/stream.h"

namespace halogen::proxy::simulation {

struct Message {
  char type = 0;
  std::string body;

  std::string bytes() const {
    std::string out;
    wire::put_message(out, type, body);
    return out;
  }
};

class Messages {
 public:
  explicit Messages(Stream& stream) : stream_(stream) {}

  // nullopt at the end. Throws corrupt on what is no message, unavailable, cancelled.
  Task<std::optional<Message>> next() {
    while (true) {
      if (auto one = wire::parse_message(as_bytes(in_))) {
        Message message{one->type, std::string(as_text(one->body))};
        in_.erase(0, one->size);
        co_return message;
      }
      if (!co_await read()) co_return std::nullopt;
    }
  }
  // A startup packet.
  Task<std::optional<wire::Startup>> opening() {
    while (true) {
      if (auto startup = wire::parse_startup(as_bytes(in_))) {
        in_.erase(0, startup->size);
        co_return startup;
      }
      if (!co_await read()) co_return std::nullopt;
    }
  }
  // What has come of the message after the last.
  const std::string& rest() const { return in_; }

 private:
  Task<bool> read() {
    char piece[8192];
    size_t size = co_await stream_.read_some(piece);
    in_.append(piece, size);
    co_return size > 0;
  }

  Stream& stream_;
  std::string in_;
};

}  // namespace halogen::proxy::simulation
