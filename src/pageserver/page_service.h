// page_service.h: answers computes' page requests (protocol/page_service.h) on a unix socket.
//
// A connection on which nothing happens costs no thread. One that has asked keeps its thread for
// some milliseconds, as the next request mostly follows at once. Of one session no more threads
// read, and no more wait so, than PageSession::Limits says; other connections queue.
//
// Threads: those of an EventPool; open, close and stop may be called from any.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "net/event_pool.h"
#include "pageserver/page_sessions.h"

namespace halogen::pageserver {

class PageService {
 public:
  struct Options {
    std::string socket;  // Path; a dead one is replaced.
    PageSessions::Limits limits{};
    // For tests of isolation: finds the timeline whose id is all that an unknown token begins with.
    std::function<std::shared_ptr<Timeline>(TimelineId)> unguarded{};
  };

  explicit PageService(Options options);
  ~PageService() { stop(); }
  PageService(const PageService&) = delete;
  PageService& operator=(const PageService&) = delete;

  const std::string& socket() const { return options_.socket; }

  // A session reads one timeline at LSNs from `lsn` on, until it is closed or a newer term opens
  // one. Throws fenced if that has happened.
  PageToken open_session(std::shared_ptr<Timeline> timeline, uint64_t term, Lsn lsn) {
    return sessions_.open(std::move(timeline), term, lsn);
  }
  // Its connections end. Unknown tokens are no error.
  Lsn advance_session(const PageToken& token) { return sessions_.advance(token); }
  void close_session(const PageToken& token) { sessions_.close(token); }
  size_t sessions(TimelineId timeline) const { return sessions_.of_timeline(timeline); }
  std::multimap<TimelineId, Lsn> session_lsns() const { return sessions_.lsns(); }

  // Now, for tests and figures.
  size_t threads() const { return pool_->threads(); }
  size_t connections() const { return pool_->connections(); }

  // Requests that wait for WAL must be woken (TimelineStore::stop) before.
  void stop();

 private:
  class Link;

  Link* serve(Link& link, bool has_turn);
  Link* serve_requests(Link& link, bool& has_turn);
  bool greet(Link& link);
  PageSessions::Joined join(Link& link, const PageHello& hello);
  bool linger(Link& link);
  void settle(Link& link);
  enum class Answered { nothing, one, over };
  Answered answer(Link& link);
  void read(PageSession& session, const ParsedPageRequest& request, PageReply& reply,
            std::string& body);
  PageSessionPtr stranger(const PageToken& token) const;

  const Options options_;
  PageSessions sessions_;
  Throttle refusal_lines_;
  std::atomic<bool> stopping_ = false;
  std::unique_ptr<net::EventPool> pool_;  // Last: connections leave their sessions.
};

}  // namespace halogen::pageserver
