// web_socket_frames.h: the frames of a WebSocket (RFC 6455), taken apart and made. Pure.
//
// Why not a library: a Channel has no buffer of its own, and a connection at rest keeps a few
// bytes, not the four KiB of libwslay's context.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace halogen::proxy {

enum class WebSocketOp : uint8_t {
  continuation = 0,
  text = 1,
  binary = 2,
  close = 8,
  ping = 9,
  pong = 10,
};

// Why a connection is closed, as its close frame says.
enum class WebSocketClose : uint16_t { normal = 1000, protocol_error = 1002, unsupported = 1003 };

// Appends a server's frame, which is not masked: the header of `size` bytes that follow.
void put_frame_header(std::string& out, WebSocketOp op, size_t size);
void put_frame(std::string& out, WebSocketOp op, std::string_view payload);
void put_close(std::string& out, WebSocketClose why);

// Takes a client's frames apart. Where one message ends and the next begins is of no meaning to
// Postgres' protocol, so it is checked and not told.
class FrameReader {
 public:
  enum class Ended { no, closed, broken, text };

  // Takes all of `bytes`, and leaves the payload of its data frames at their beginning; the size of
  // that. What comes after the end is passed over.
  size_t take(std::span<char> bytes);
  Ended ended() const { return ended_; }
  // The payload of the latest ping that has not been answered.
  bool has_ping() const { return has_ping_; }
  std::string take_ping();

 private:
  size_t take_header(std::string_view bytes);
  bool begin_frame();
  void end_frame();
  size_t header_size() const;
  bool is_control() const { return op_ >= WebSocketOp::close; }

  uint8_t header_[14];
  uint8_t header_have_ = 0;
  WebSocketOp op_ = WebSocketOp::binary;
  bool in_payload_ = false;
  bool in_message_ = false;  // Its last frame has not come.
  bool has_ping_ = false;
  Ended ended_ = Ended::no;
  uint64_t left_ = 0;    // Of the payload.
  uint64_t passed_ = 0;  // Of the payload: where in the mask we are.
  std::string control_;  // The payload of a control frame, as far as it has come.
  std::string ping_;
};

}  // namespace halogen::proxy
