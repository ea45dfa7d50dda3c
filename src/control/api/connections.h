// connections.h: the connections of a server: a thread each while there is something to do, and
// none while they wait for their next request.
//
// Threads: run() is one, which waits for all that have none; so many more serve. A connection
// belongs to one of them at a time.
#pragma once
#include <chrono>
#include <deque>
#include <functional>
#include <list>
#include <memory>

#include "base/deadline.h"
#include "base/file.h"
#include "base/mutex.h"

namespace halogen::control::api {

class Connections {
 public:
  struct Connection {
    explicit Connection(UniqueFd fd) : socket(std::move(fd)) {}
    virtual ~Connection() = default;
    UniqueFd socket;

   private:
    friend class Connections;
    steady_clock::time_point waits_since_;
    std::list<std::unique_ptr<Connection>>::iterator place_;  // While it waits.
  };
  enum class Then { wait, go_on, close };
  struct Options {
    size_t threads = 32;
    size_t most = 1024;  // Then the one that has waited for longest is closed for each newcomer.
    std::chrono::seconds idle_time{60};
  };
  // `make` is called for each newcomer; `serve`, by any thread, when a connection has something to
  // read, has come to its end, or is to go on.
  Connections(Options options, std::function<std::unique_ptr<Connection>(UniqueFd)> make,
              std::function<Then(Connection&)> serve);
  ~Connections();
  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;

  // Takes in those that come to `listener`, until end(). To be called once.
  void run(int listener);
  // The socket of a connection that is being served: it is another's from now on.
  UniqueFd take_socket(Connection& connection) const;
  // What is being served is served to its end. From any thread, before run() or while it runs.
  void end();

 private:
  using ConnectionPtr = std::unique_ptr<Connection>;

  void accept_all(int listener);
  void wait_for(ConnectionPtr connection, bool is_new);
  void became_readable(Connection& connection);
  void close_idle();
  int longest_wait();
  void ring();
  void serve_all();
  ConnectionPtr next();

  const Options options_;
  const std::function<ConnectionPtr(UniqueFd)> make_;
  const std::function<Then(Connection&)> serve_;
  UniqueFd epoll_;
  UniqueFd doorbell_;
  Mutex mutex_;
  CondVar changed_;
  std::list<ConnectionPtr> waiting_ GUARDED_BY(mutex_);  // The longest first.
  std::deque<ConnectionPtr> ready_ GUARDED_BY(mutex_);
  size_t count_ GUARDED_BY(mutex_) = 0;
  bool ending_ GUARDED_BY(mutex_) = false;
};

}  // namespace halogen::control::api
