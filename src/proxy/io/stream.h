// stream.h: one connection, plain or TLS, read and written without blocking.
//
// Its channel (channel.h) works on the socket itself, and the loop only says when that is ready: so
// an idle connection holds no buffer, and bytes are copied once. One thread; at most one coroutine
// reads and one writes at a time. Errors: unavailable (the peer is gone), cancelled.
#pragma once
#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "proxy/io/channel.h"
#include "proxy/io/loop.h"
#include "proxy/io/tls.h"

namespace halogen::proxy {

// A socket that does not block, and the channel over it; or a channel that needs none.
struct Connection {
  UniqueFd socket;
  std::unique_ptr<Channel> channel;
};

class Stream {
 public:
  // The socket must not block.
  Stream(Loop& loop, UniqueFd socket);
  Stream(Loop& loop, Connection connection);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // How many there are in the process that have a file descriptor.
  static size_t count() { return count_; }

  // ---- At once ----
  IoResult read_now(std::span<char> to);
  IoResult write_now(std::string_view from);
  // As much of it as the socket takes; the size. The rest, and any error, is for write().
  size_t write_what_fits(std::string_view from);
  // Bytes that were read from the socket and not yet from here: do not wait for more. A part of a
  // TLS record is none.
  bool buffered() const { return channel_->buffered(); }
  // The peer has closed, or the connection is broken, be there unread bytes before that or not.
  // Reads nothing that is for read_now().
  bool gone();
  // There are bytes for read_now(). After gone(), which looks for them.
  bool has_unread();
  // Not encrypted; no byte and no end has come that has not been read.
  bool quiet();
  // The loop listens to it and has seen nothing that nobody waited for: what came before the event
  // at hand would have been seen. False: not known, ask quiet(). On any thread.
  bool undisturbed() const;
  // For another stream of this loop. Nobody waits; this one is of no use any more.
  Connection leave();
  // A unix socket, and nobody waits on it: from now on another loop tells when it is ready.
  void move_to(Loop& loop);
  // First byte without taking it; the socket is readable and not encrypted yet.
  char peek_first();
  // The peer has sent something, encrypted or not, that has not been read from the socket.
  bool has_arrived();
  // Tells the peer that nothing more comes.
  void shutdown_send();

  // ---- Waiting ----
  class Wait : public Watch::Wait {
   public:
    Wait(Stream& stream, bool to_write) : Watch::Wait(*stream.watch_, to_write), stream_(stream) {}
    bool await_ready() const;
    void await_resume() const;

   private:
    Stream& stream_;
  };
  Wait wait(Io want) { return {*this, want == Io::want_write}; }
  // At least one byte, or 0 at the end.
  Task<size_t> read_some(std::span<char> to);
  Task<void> read_exactly(std::span<char> to);
  Task<void> write(std::string_view from);
  // From here on everything is encrypted.
  Task<void> accept_tls(const TlsContext& tls);

  // Ends what waits with `cancelled`.
  void interrupt();
  // Ends what waits, and what will, with `cancelled`; until allow().
  void cancel();
  void allow() { cancelled_ = false; }
  // For who looks on, and may outlive it: false if interrupted, or gone.
  Watch::Wait readable() { return watch_->readable(); }

  bool encrypted() const { return ssl() != nullptr; }
  // Nobody on a network can read it: encrypted, a unix socket, or inside the process.
  bool is_private() const;
  // Nothing half-said: in no TLS handshake, and no write was left in the middle.
  bool can_talk() const { return intact_; }
  // What is known of its peer by TLS; nullptr if it is not encrypted.
  ssl_st* ssl() const { return channel_->ssl(); }

 private:
  static inline std::atomic<size_t> count_ = 0;

  // Which is never changed for another channel.
  bool over_source() const { return channel_ && channel_->source() != nullptr; }

  UniqueFd socket_;  // None over a source.
  std::unique_ptr<Channel> channel_;
  WatchPtr watch_;
  bool cancelled_ = false;
  bool intact_ = true;
};

}  // namespace halogen::proxy
