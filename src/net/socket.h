// socket.h: blocking sockets with deadlines, and a listener with a thread per connection.
//
// All calls throw Error: `unavailable` when the peer is not there, has closed or reset the
// connection, or the socket was shut down by another thread; `timed_out` at the deadline; `io` for
// the rest. With Deadline::never() a receive is one system call.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <thread>

#include "base/deadline.h"
#include "base/file.h"
#include "base/mutex.h"
#include "base/throttle.h"

namespace halogen::net {

// The longest path a unix socket can have on Linux.
constexpr size_t kMaxUnixPath = 107;

// A connected stream socket. One thread may send while another receives; shutdown() from any.
class Socket {
 public:
  Socket() = default;
  explicit Socket(UniqueFd fd) : fd_(std::move(fd)) {}

  bool valid() const { return fd_.valid(); }
  int fd() const { return fd_.get(); }
  UniqueFd release() { return std::move(fd_); }

  void send_all(Bytes bytes, Deadline deadline = Deadline::never()) const;
  void send_all(std::string_view text, Deadline deadline = Deadline::never()) const {
    send_all(as_bytes(text), deadline);
  }
  // At least one byte, at most into.size(); what has already arrived. End of stream is
  // `unavailable`.
  size_t recv_some(std::span<std::byte> into, Deadline deadline = Deadline::never()) const;
  // As recv_some, but 0 when nothing has arrived; never blocks.
  size_t recv_available(std::span<std::byte> into) const;
  void recv_exact(std::span<std::byte> into, Deadline deadline = Deadline::never()) const;
  // True when there is something to receive (or the end of the stream); false at the deadline.
  bool wait_readable(Deadline deadline) const;

  // Wakes every thread blocked in this socket; from then on all calls throw `unavailable`. The
  // caller makes sure that the object is alive.
  void shutdown() const noexcept;
  // The file descriptor is closed; no other thread may be in a call.
  void close() { fd_.reset(); }

 private:
  UniqueFd fd_;
};

// `.s.PGSQL.<port>` in `folder`, where Postgres clients look.
std::string postgres_socket_path(const std::string& folder, int port);

Socket connect_unix(const std::string& path, Deadline deadline);
// Now or not at all: not valid, with errno set, if that failed (EAGAIN: its queue is full). It will
// not block.
UniqueFd try_connect_unix(const std::string& path);
// `host` is a numeric address or a name that resolves locally.
Socket connect_tcp(const std::string& host, int port, Deadline deadline);

// A socket file left by a dead process is replaced; already_exists if somebody listens there.
UniqueFd listen_unix(const std::string& path, int mode = 0600, int backlog = 128);
// A numeric address; one of IPv6 takes no clients of IPv4. Port 0 picks one: ask local_port. Throws
// invalid_argument if it is none, already_exists if the port is taken, permission_denied, not_found
// if the machine has no such address.
UniqueFd listen_tcp(const std::string& address, int port, int backlog = 128);
int local_port(int fd);

// Accepts connections and runs `handler` for each on its own thread, at most `max_connections` at a
// time: further ones are closed at once. The connection ends when the handler returns. What the
// handler throws is logged here (INFO for Error, ERROR for anything else), a line a second at most.
//
// A connection is a newcomer until the handler calls `admitted`. When there are `max_newcomers`,
// the oldest is closed for the next: those that say nothing make way for those that do.
class Listener {
 public:
  using Handler = std::function<void(Socket&, const std::function<void()>& admitted)>;
  struct Options {
    std::string name;  // For the log.
    UniqueFd socket;   // From listen_unix or listen_tcp.
    size_t max_connections = 1000;
    size_t max_newcomers = SIZE_MAX;
  };

  Listener(Options options, Handler handler);
  ~Listener() { stop(); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // No new connections; all sockets are shut down; returns when every handler has returned. A
  // handler that waits for something else than its socket must be woken by its owner first.
  void stop();
  size_t connections() const;

 private:
  struct Connection {
    Socket socket;
    std::thread thread;
    bool newcomer = true;
    bool done = false;
  };

  void accept_loop();
  void start_connection(UniqueFd fd);
  void limit_newcomers() REQUIRES(mutex_);
  void run(Connection& connection);
  void reap() EXCLUDES(mutex_);

  const std::string name_;
  const size_t max_connections_;
  const size_t max_newcomers_;
  const Handler handler_;
  UniqueFd listening_;
  UniqueFd wakeup_;  // An eventfd.
  mutable Mutex mutex_;
  std::list<Connection> connections_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  Throttle refusal_lines_;
  Throttle end_lines_;
  std::thread accepter_;
};

}  // namespace halogen::net
