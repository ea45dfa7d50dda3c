// A WebSocket's frames: what is taken apart is what was sent, however it comes; what no client may
// send ends it; pings are answered between frames.
#include "proxy/io/web_socket.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/bytes.h"

namespace halogen::proxy {
namespace {

constexpr uint8_t kFinal = 0x80;

// As a client sends it.
std::string masked(uint8_t first, std::string payload, size_t size_form = 0) {
  Writer frame;
  frame.put(first);
  if (size_form == 0) size_form = payload.size() < 126 ? 7 : payload.size() < 65536 ? 16 : 64;
  if (size_form == 7) frame.put(static_cast<uint8_t>(0x80 | payload.size()));
  if (size_form == 16) frame.put(uint8_t{0xfe}).be_put(static_cast<uint16_t>(payload.size()));
  if (size_form == 64) frame.put(uint8_t{0xff}).be_put(static_cast<uint64_t>(payload.size()));
  constexpr uint8_t kMask[] = {0x12, 0x34, 0x56, 0x78};
  frame.text({reinterpret_cast<const char*>(kMask), sizeof kMask});
  for (size_t i = 0; i < payload.size(); i++)
    payload[i] = static_cast<char>(payload[i] ^ static_cast<char>(kMask[i % 4]));
  return frame.text(payload).take();
}

std::string binary(const std::string& payload) { return masked(kFinal | 2, payload); }

// In pieces of so many bytes.
std::string taken(FrameReader& reader, std::string bytes, size_t piece) {
  std::string out;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    std::string part = bytes.substr(at, piece);
    part.resize(reader.take(part));
    out += part;
  }
  return out;
}

// What an inner channel is given to read, and what was written to it.
class FakeChannel final : public Channel {
 public:
  struct Wires {
    std::string in;
    std::string out;
    size_t room = SIZE_MAX;  // For so many bytes more.
  };
  explicit FakeChannel(Wires& wires) : wires_(wires) {}
  IoResult read(std::span<char> to) override {
    if (wires_.in.empty()) return {Io::want_read};
    size_t size = std::min(to.size(), wires_.in.size());
    wires_.in.copy(to.data(), size);
    wires_.in.erase(0, size);
    return {Io::done, size};
  }
  IoResult write(std::string_view from) override {
    size_t size = std::min(from.size(), wires_.room);
    if (size == 0) return {Io::want_write};
    wires_.out += from.substr(0, size);
    wires_.room -= size;
    return {Io::done, size};
  }
  IoResult peek(char&) override { return {Io::want_read}; }

 private:
  Wires& wires_;
};

TEST(FrameReader, PayloadIsTheSameInWhateverPiecesItComes) {
  std::string large(70'000, 'x');
  for (size_t i = 0; i < large.size(); i++) large[i] = static_cast<char>(i * 7);
  std::string bytes = binary("hello ") + masked(2, "wor") + masked(kFinal | 0, "ld") + binary("") +
                      binary(std::string(300, 'y')) + binary(large);
  std::string expected = "hello world" + std::string(300, 'y') + large;
  for (size_t piece : {size_t{1}, size_t{7}, size_t{1000}, bytes.size()}) {
    FrameReader reader;
    EXPECT_EQ(taken(reader, bytes, piece), expected);
    EXPECT_EQ(reader.ended(), FrameReader::Ended::no);
  }
}

TEST(FrameReader, PingsMayComeBetweenTheFramesOfAMessage) {
  FrameReader reader;
  EXPECT_EQ(taken(reader, masked(2, "a") + masked(kFinal | 9, "hi") + masked(kFinal | 0, "b"), 3),
            "ab");
  EXPECT_TRUE(reader.has_ping());
  EXPECT_EQ(reader.take_ping(), "hi");
  EXPECT_FALSE(reader.has_ping());
}

TEST(FrameReader, WhatNoClientMaySendEndsIt) {
  std::string unmasked = "\x82\x01x";
  for (const std::string& frame :
       {unmasked, masked(kFinal | 0x40 | 2, "reserved"), masked(kFinal | 0, "continues nothing"),
        masked(2, "a") + binary("in a message"), masked(kFinal | 3, "no such frame"),
        masked(9, "a ping in parts"), masked(kFinal | 9, std::string(126, 'p')),
        masked(kFinal | 2, "longer than need be", 16),
        masked(kFinal | 2, "longer than need be", 64)}) {
    FrameReader reader;
    (void)taken(reader, frame, 1);
    EXPECT_EQ(reader.ended(), FrameReader::Ended::broken) << frame;
    std::string more = binary("more");
    EXPECT_EQ(reader.take(more), 0U);
  }
  FrameReader reader;
  (void)taken(reader, masked(kFinal | 1, "text"), 1);
  EXPECT_EQ(reader.ended(), FrameReader::Ended::text);
}

TEST(WebSocketChannel, SendsWhatItIsGivenThoughLittleFitsAtATime) {
  FakeChannel::Wires wires;
  WebSocketChannel channel(std::make_unique<FakeChannel>(wires));
  std::string payload(50'000, 'z');
  std::string_view rest = payload;
  wires.room = 0;
  while (!rest.empty()) {
    wires.room += 1001;
    IoResult result = channel.write(rest);
    if (result.state == Io::done)
      rest.remove_prefix(result.size);
    else
      ASSERT_EQ(result.state, Io::want_write);
  }
  std::string received;
  std::string_view sent = wires.out;
  while (!sent.empty()) {
    ASSERT_EQ(static_cast<uint8_t>(sent[0]), kFinal | 2);
    size_t size = static_cast<uint8_t>(sent[1]);
    size_t header = size < 126 ? 2 : 4;
    if (size == 126) size = byteswap(load<uint16_t>(sent.data() + 2));
    received += sent.substr(header, size);
    sent.remove_prefix(header + size);
  }
  EXPECT_EQ(received, payload);
}

TEST(WebSocketChannel, APingIsAnsweredAndNotInTheMiddleOfAFrame) {
  FakeChannel::Wires wires;
  WebSocketChannel channel(std::make_unique<FakeChannel>(wires));
  char buffer[64];
  wires.in = masked(kFinal | 9, "one");
  EXPECT_EQ(channel.read(buffer).state, Io::want_read);
  EXPECT_EQ(wires.out, "\x8a\x03one");
  wires.out.clear();
  wires.room = 3;
  EXPECT_EQ(channel.write("data").state, Io::want_write);
  wires.in = masked(kFinal | 9, "two");
  EXPECT_EQ(channel.read(buffer).state, Io::want_read);
  EXPECT_EQ(wires.out,
            "\x82\x04"
            "d");
  wires.room = 100;
  EXPECT_EQ(channel.write("data").size, 4U);
  EXPECT_EQ(wires.out,
            "\x82\x04"
            "data\x8a\x03two");
}

TEST(WebSocketChannel, ACloseFrameIsTheEndAndIsAnswered) {
  FakeChannel::Wires wires;
  WebSocketChannel channel(std::make_unique<FakeChannel>(wires));
  wires.in = binary("last") + masked(kFinal | 8, "\x03\xe8");
  char buffer[64];
  char byte = 0;
  EXPECT_EQ(channel.peek(byte).state, Io::done);
  EXPECT_EQ(byte, 'l');
  EXPECT_TRUE(channel.buffered());
  IoResult result = channel.read(buffer);
  EXPECT_EQ(std::string(buffer, result.size), "last");
  EXPECT_EQ(channel.read(buffer).state, Io::closed);
  EXPECT_EQ(wires.out, "\x88\x02\x03\xe8");
  EXPECT_EQ(channel.write("no more").state, Io::closed);
}

TEST(WebSocketChannel, ATextFrameIsRefusedByItsCode) {
  FakeChannel::Wires wires;
  WebSocketChannel channel(std::make_unique<FakeChannel>(wires));
  wires.in = masked(kFinal | 1, "select 1");
  char buffer[64];
  EXPECT_EQ(channel.read(buffer).state, Io::failed);
  EXPECT_EQ(wires.out, "\x88\x02\x03\xeb");
}

}  // namespace
}  // namespace halogen::proxy
