#include "proxy/io/web_socket_frames.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/bytes.h"

namespace halogen::proxy {
namespace {

constexpr uint8_t kFinal = 0x80;
constexpr uint8_t kReserved = 0x70;
constexpr uint8_t kMasked = 0x80;
constexpr uint8_t kSize16 = 126;
constexpr uint8_t kSize64 = 127;
constexpr size_t kMaxControl = 125;
constexpr size_t kMaskSize = 4;

// A place `at` in the payload belongs to the first of `bytes`.
void unmask(std::span<char> bytes, const uint8_t* mask, uint64_t at) {
  uint8_t turned[8];
  for (size_t i = 0; i < sizeof turned; i++) turned[i] = mask[(at + i) % kMaskSize];
  size_t i = 0;
  for (; i + sizeof turned <= bytes.size(); i += sizeof turned)
    store(&bytes[i], load<uint64_t>(&bytes[i]) ^ load<uint64_t>(turned));
  for (; i < bytes.size(); i++)
    bytes[i] = static_cast<char>(bytes[i] ^ static_cast<char>(turned[i % sizeof turned]));
}

}  // namespace

void put_frame_header(std::string& out, WebSocketOp op, size_t size) {
  Writer header;
  header.put(static_cast<uint8_t>(kFinal | static_cast<uint8_t>(op)));
  if (size < kSize16)
    header.put(static_cast<uint8_t>(size));
  else if (size <= UINT16_MAX)
    header.put(kSize16).be_put(static_cast<uint16_t>(size));
  else
    header.put(kSize64).be_put(static_cast<uint64_t>(size));
  out += header.view();
}

void put_frame(std::string& out, WebSocketOp op, std::string_view payload) {
  put_frame_header(out, op, payload.size());
  out += payload;
}

void put_close(std::string& out, WebSocketClose why) {
  Writer payload;
  payload.be_put(static_cast<uint16_t>(why));
  put_frame(out, WebSocketOp::close, payload.view());
}

// Of the header that has begun, as far as can be told.
size_t FrameReader::header_size() const {
  if (header_have_ < 2) return 2;
  if ((header_[1] & kMasked) == 0) return 2;  // No client may send it.
  uint8_t size = header_[1] & ~kMasked;
  return 2 + kMaskSize + (size == kSize16 ? 2 : size == kSize64 ? 8 : 0);
}

// How much of `bytes` belonged to it.
size_t FrameReader::take_header(std::string_view bytes) {
  size_t used = 0;
  while (used < bytes.size() && header_have_ < header_size())
    header_[header_have_++] = static_cast<uint8_t>(bytes[used++]);
  if (header_have_ == header_size()) {
    in_payload_ = begin_frame();
    if (!in_payload_) ended_ = op_ == WebSocketOp::text ? Ended::text : Ended::broken;
  }
  return used;
}

// The header is there. False if no client may send such a frame here.
bool FrameReader::begin_frame() {
  op_ = static_cast<WebSocketOp>(header_[0] & 0x0f);
  bool final = (header_[0] & kFinal) != 0;
  left_ = header_[1] & ~kMasked;
  passed_ = 0;
  if ((header_[0] & kReserved) != 0 || (header_[1] & kMasked) == 0) return false;
  if (left_ == kSize16) {
    left_ = byteswap(load<uint16_t>(header_ + 2));
    if (left_ < kSize16) return false;  // It must be said in as few bytes as possible.
  } else if (left_ == kSize64) {
    left_ = byteswap(load<uint64_t>(header_ + 2));
    if (left_ <= UINT16_MAX || left_ > INT64_MAX) return false;
  }
  switch (op_) {
    case WebSocketOp::binary:
      if (in_message_) return false;
      in_message_ = !final;
      return true;
    case WebSocketOp::continuation:
      if (!in_message_) return false;
      in_message_ = !final;
      return true;
    case WebSocketOp::close:
    case WebSocketOp::ping:
    case WebSocketOp::pong:
      return final && left_ <= kMaxControl;
    default:
      return false;
  }
}

void FrameReader::end_frame() {
  header_have_ = 0;
  in_payload_ = false;
  if (op_ == WebSocketOp::close) ended_ = Ended::closed;
  if (op_ == WebSocketOp::ping) {
    ping_ = std::move(control_);
    has_ping_ = true;
  }
  if (is_control()) control_ = std::string();
}

std::string FrameReader::take_ping() {
  has_ping_ = false;
  return std::exchange(ping_, std::string());
}

size_t FrameReader::take(std::span<char> bytes) {
  size_t kept = 0;
  for (size_t at = 0; at < bytes.size() && ended_ == Ended::no;) {
    if (!in_payload_) {
      at += take_header({bytes.data() + at, bytes.size() - at});
    } else {
      std::span<char> part = bytes.subspan(at, std::min<uint64_t>(left_, bytes.size() - at));
      at += part.size();
      unmask(part, header_ + header_size() - kMaskSize, passed_);
      left_ -= part.size();
      passed_ += part.size();
      if (is_control()) {
        control_.append(part.data(), part.size());
      } else {
        std::memmove(bytes.data() + kept, part.data(), part.size());
        kept += part.size();
      }
    }
    if (in_payload_ && left_ == 0) end_frame();
  }
  return kept;
}

}  // namespace halogen::proxy
