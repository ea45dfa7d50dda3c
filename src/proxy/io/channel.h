// channel.h: how the bytes of a connection come and go, without waiting: plain, by TLS, or in
// the frames of a WebSocket over either (web_socket.h), or inside the process (pipe.h). Nothing
// above a Stream sees the difference.
#pragma once
#include <span>
#include <string_view>

struct ssl_st;

namespace halogen::proxy {

class Loop;
class Source;

enum class Io { done, want_read, want_write, closed, failed };

struct IoResult {
  Io state = Io::done;
  size_t size = 0;  // Of what was moved, if done.
};

// Over a socket that does not block and outlives this, or over a source of its own. One thread.
class Channel {
 public:
  virtual ~Channel() = default;
  virtual IoResult read(std::span<char> to) = 0;
  virtual IoResult write(std::string_view from) = 0;
  // The next byte for read(), which stays.
  virtual IoResult peek(char& byte) = 0;
  // There are bytes for read() that the socket does not tell of.
  virtual bool buffered() const { return false; }
  // Tells the peer that nothing more comes.
  virtual void finish() {}
  // What is known of its peer by TLS; nullptr if it is not encrypted.
  virtual ssl_st* ssl() const { return nullptr; }
  // What says when it is ready, where that is no socket.
  virtual Source* source() { return nullptr; }
  // Its peer has said its last, be there unread bytes before that or not; of a source.
  virtual bool ended() const { return false; }
};

class PlainChannel final : public Channel {
 public:
  PlainChannel(const Loop& loop, int socket) : loop_(&loop), socket_(socket) {}
  IoResult read(std::span<char> to) override;
  IoResult write(std::string_view from) override;
  IoResult peek(char& byte) override;

 private:
  size_t at_once(size_t size) const;

  const Loop* loop_;  // Whose machine may be a simulated one.
  int socket_;
};

class TlsChannel final : public Channel {
 public:
  // Owns `ssl`, which is over the socket.
  explicit TlsChannel(ssl_st* ssl) : ssl_(ssl) {}
  ~TlsChannel() override;
  TlsChannel(const TlsChannel&) = delete;
  TlsChannel& operator=(const TlsChannel&) = delete;

  // To be called again, once the socket is ready, until it is done.
  IoResult accept();
  IoResult read(std::span<char> to) override;
  IoResult write(std::string_view from) override;
  IoResult peek(char& byte) override;
  // A part of a TLS record is no byte.
  bool buffered() const override;
  void finish() override;
  ssl_st* ssl() const override { return ssl_; }

 private:
  IoResult result(int returned);
  IoResult read_result(int returned);

  ssl_st* ssl_;
  bool starved_ = false;  // Of what OpenSSL holds, nothing can be read without more.
  bool broken_ = false;   // OpenSSL forbids to say goodbye then.
};

}  // namespace halogen::proxy
