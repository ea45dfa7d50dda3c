// sql_session.h: one of the proxy's own sessions, whose client we are: so pools, rights, limits,
// wakes and cancelling are as for any client. On the worker's thread.
#pragma once
#include <memory>
#include <string>

#include "proxy/session/session.h"

namespace halogen::proxy {

class SqlSession {
 public:
  // Begins a session on behalf of the client that `origin` tells of.
  SqlSession(Shared& shared, Worker& worker, Origin origin);
  // The session finds its client gone.
  ~SqlSession();
  SqlSession(const SqlSession&) = delete;
  SqlSession& operator=(const SqlSession&) = delete;

  // After what was sent before; returns at once.
  void send(std::string bytes);
  // What it says.
  Stream& stream() { return state_->stream; }

  // Cancels what the session works on that told its client this pid and secret. Returns when that
  // has been delivered.
  static Task<void> cancel(Shared& shared, Worker& worker, Origin origin, std::string key);

 private:
  struct State {
    State(Loop& loop, Connection connection) : stream(loop, std::move(connection)) {}
    Stream stream;
    std::string to_send;
    bool sending = false;
  };
  static Task<void> send_rest(std::shared_ptr<State> state);

  Loop& loop_;
  std::shared_ptr<State> state_;
};

}  // namespace halogen::proxy
