// web_socket.h: a connection whose bytes come and go in the binary frames of a WebSocket, over a
// channel that carries those. Where frames begin and end means nothing above.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "proxy/io/channel.h"
#include "proxy/io/web_socket_frames.h"

namespace halogen::proxy {

class WebSocketChannel final : public Channel {
 public:
  explicit WebSocketChannel(std::unique_ptr<Channel> inner) : inner_(std::move(inner)) {}

  // Answers pings. A close frame is the end; a text frame, or one that no client may send, a
  // failure.
  IoResult read(std::span<char> to) override;
  // As one frame, or several. Bytes that were not taken must be given again, as ever.
  IoResult write(std::string_view from) override;
  IoResult peek(char& byte) override;
  bool buffered() const override { return peeked_.has_value() || inner_->buffered(); }
  // Says goodbye, unless that was said or there is a frame half-sent.
  void finish() override;
  ssl_st* ssl() const override { return inner_->ssl(); }

 private:
  IoResult read_frames(std::span<char> to);
  IoResult flush();
  void answer_control();
  void say_goodbye(WebSocketClose why);

  const std::unique_ptr<Channel> inner_;
  FrameReader frames_;
  std::optional<char> peeked_;
  std::string out_;       // Frames on their way, as far as they are not sent.
  size_t taken_ = 0;      // Of the payload in `out_`: what write() has not told yet.
  bool goodbye_ = false;  // Nothing comes after it.
};

}  // namespace halogen::proxy
