// page_service.h: answers computes' page requests (protocol/page_service.h) on a unix socket.
//
// Threads: one accepts, one per connection; open, close and stop may be called from any.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "net/socket.h"
#include "pageserver/page_request.h"
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
  void close_session(const PageToken& token) { sessions_.close(token); }
  size_t sessions(TimelineId timeline) const { return sessions_.of_timeline(timeline); }

  // Requests that wait for WAL must be woken (TimelineStore::stop) before.
  void stop();

 private:
  void serve(net::Socket& socket, const std::function<void()>& admitted);
  PageSessionPtr greet(PageConnection& connection);
  void take_requests(PageConnection& connection, PageSession& session);
  // False: the connection is over.
  bool answer(PageConnection& connection, PageSession& session, Bytes& received);
  void read(PageSession& session, const ParsedPageRequest& request, PageReply& reply,
            std::string& body);
  PageSessionPtr stranger(const PageToken& token) const;

  const Options options_;
  PageSessions sessions_;
  Throttle refusal_lines_;
  std::atomic<bool> stopping_ = false;
  std::unique_ptr<net::Listener> listener_;
};

}  // namespace halogen::pageserver
