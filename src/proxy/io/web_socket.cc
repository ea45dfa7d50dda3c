#include "proxy/io/web_socket.h"

#include <algorithm>
#include <utility>

namespace halogen::proxy {
namespace {

// With its header it is one TLS record.
constexpr size_t kMostPayload = 16 * 1024 - 4;

}  // namespace

IoResult WebSocketChannel::read(std::span<char> to) {
  if (to.empty() || !peeked_) return read_frames(to);
  to[0] = *std::exchange(peeked_, std::nullopt);
  IoResult more = read_frames(to.subspan(1));
  return {Io::done, 1 + (more.state == Io::done ? more.size : 0)};
}

IoResult WebSocketChannel::peek(char& byte) {
  if (!peeked_) {
    IoResult result = read_frames({&byte, 1});
    if (result.state != Io::done) return result;
    peeked_ = byte;
  }
  byte = *peeked_;
  return {Io::done, 1};
}

IoResult WebSocketChannel::read_frames(std::span<char> to) {
  while (!to.empty()) {
    if (frames_.ended() == FrameReader::Ended::closed) return {Io::closed};
    if (frames_.ended() != FrameReader::Ended::no) return {Io::failed};
    IoResult result = inner_->read(to);
    if (result.state != Io::done) return result;
    size_t size = frames_.take(to.first(result.size));
    answer_control();
    if (size > 0) return {Io::done, size};
  }
  return {Io::want_read};
}

// While a frame is on its way it has to wait: the next write sees to it.
void WebSocketChannel::answer_control() {
  switch (frames_.ended()) {
    case FrameReader::Ended::no:
      break;
    case FrameReader::Ended::closed:
      return say_goodbye(WebSocketClose::normal);
    case FrameReader::Ended::broken:
      return say_goodbye(WebSocketClose::protocol_error);
    case FrameReader::Ended::text:
      return say_goodbye(WebSocketClose::unsupported);
  }
  if (!frames_.has_ping() || !out_.empty() || goodbye_) return;
  put_frame(out_, WebSocketOp::pong, frames_.take_ping());
  (void)flush();
}

IoResult WebSocketChannel::flush() {
  while (!out_.empty()) {
    IoResult result = inner_->write(out_);
    if (result.state != Io::done) return result;
    out_.erase(0, result.size);
  }
  out_ = std::string();
  return {Io::done};
}

// A copy of the payload stays in `out_` until it has been sent; its caller comes again until then.
IoResult WebSocketChannel::write(std::string_view from) {
  if (goodbye_) return {Io::closed};
  if (taken_ == 0) {
    if (frames_.has_ping()) put_frame(out_, WebSocketOp::pong, frames_.take_ping());
    taken_ = std::min(from.size(), kMostPayload);
    put_frame(out_, WebSocketOp::binary, from.substr(0, taken_));
  }
  if (IoResult result = flush(); result.state != Io::done) return result;
  size_t taken = std::exchange(taken_, 0);
  answer_control();
  return {Io::done, taken};
}

void WebSocketChannel::say_goodbye(WebSocketClose why) {
  if (goodbye_ || !out_.empty()) return;
  goodbye_ = true;
  put_close(out_, why);
  (void)flush();
}

void WebSocketChannel::finish() {
  say_goodbye(WebSocketClose::normal);
  inner_->finish();
}

}  // namespace halogen::proxy
