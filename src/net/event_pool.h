// event_pool.h: a listener whose connections cost no thread while nothing happens on them.
//
// One epoll set holds the listening socket and all parked connections, and a few threads wait on
// it. The one that a connection wakes serves it itself, so there is no hand-over. When the last
// that waited is woken, another is started; one too many ends after some seconds. So there are as
// many threads as handlers under way, and one or two: it is for the handler to bound these.
//
// Threads: its own; park, end and admit are for the handler, the rest for any.
#pragma once
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/throttle.h"
#include "net/socket.h"

namespace halogen::net {

class EventPool {
 public:
  class Connection {
   public:
    explicit Connection(Socket socket) : socket_(std::move(socket)) {}
    virtual ~Connection() = default;
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    const Socket& socket() const { return socket_; }

   private:
    friend class EventPool;
    const Socket socket_;
    uint64_t number_ = 0;   // In the order of arrival.
    bool watched_ = false;  // The epoll set knows it.
  };
  enum class For { reading, writing };

  struct Options {
    std::string name;  // For the log.
    UniqueFd socket;   // From listen_unix or listen_tcp.
    size_t max_connections = SIZE_MAX;
    // Of connections that have not been admitted. The oldest is closed for the next.
    size_t max_newcomers = SIZE_MAX;
    // Makes what a new connection is to this service.
    std::function<std::unique_ptr<Connection>(Socket)> accepted;
    // Called once for each park(), and for a new connection, when there is something to read or to
    // write, or the connection has ended. The connection is the caller's until it parks or ends it;
    // it may also keep it, and have another thread do so later. Must not throw.
    std::function<void(Connection&)> ready;
  };

  explicit EventPool(Options options);
  ~EventPool() { stop(); }
  EventPool(const EventPool&) = delete;
  EventPool& operator=(const EventPool&) = delete;

  // The connection is not the caller's any more: `ready` may run at once.
  void park(Connection& connection, For what);
  // Closes and destroys it.
  void end(Connection& connection) EXCLUDES(mutex_);
  // It is no newcomer any more.
  void admit(Connection& connection) EXCLUDES(mutex_);

  // No new connections; all sockets are shut down; returns when every handler has returned and all
  // connections are destroyed. A handler that waits for something else than its socket must be
  // woken by its owner first.
  void stop() EXCLUDES(mutex_);
  size_t connections() const EXCLUDES(mutex_);
  size_t threads() const EXCLUDES(mutex_);

 private:
  using Threads = std::list<std::thread>;

  bool watch(int operation, int fd, uint32_t events, void* data);
  void start_thread() EXCLUDES(mutex_);
  void work(Threads::iterator self);
  bool wait_and_serve();
  void serve(void* data);
  void accept_all();
  void take(UniqueFd fd);
  void limit_newcomers() REQUIRES(mutex_);
  void refuse();

  const Options options_;
  UniqueFd epoll_;
  UniqueFd wakeup_;  // An eventfd: readable for good once we stop.
  mutable Mutex mutex_;
  std::map<uint64_t, std::unique_ptr<Connection>> connections_ GUARDED_BY(mutex_);
  std::map<uint64_t, Connection*> newcomers_ GUARDED_BY(mutex_);  // The oldest first.
  uint64_t accepted_ GUARDED_BY(mutex_) = 0;                      // Ever.
  Threads threads_ GUARDED_BY(mutex_);
  Threads over_ GUARDED_BY(mutex_);  // Have ended, and are to be joined.
  size_t waiting_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
  Throttle refusal_lines_;
};

}  // namespace halogen::net
