// page_service.h: answers computes' page requests (protocol/page_service.h) on a unix socket.
//
// Threads: one accepts, one per connection; open, close and stop may be called from any.
#pragma once
#include <memory>
#include <string>
#include <unordered_map>

#include "net/socket.h"
#include "pageserver/page_request.h"
#include "pageserver/timeline.h"

namespace halogen::pageserver {

class PageService {
 public:
  struct Options {
    std::string socket;  // Path; a dead one is replaced.
    size_t max_connections = 1000;
  };

  explicit PageService(Options options);
  ~PageService() { stop(); }
  PageService(const PageService&) = delete;
  PageService& operator=(const PageService&) = delete;

  const std::string& socket() const { return options_.socket; }

  // A session reads one timeline at LSNs from `lsn` on.
  PageToken open_session(std::shared_ptr<Timeline> timeline, Lsn lsn);
  // Its connections are refused from their next request on. Unknown tokens are no error.
  void close_session(const PageToken& token);
  size_t sessions(TimelineId timeline) const;

  // Requests that wait for WAL must be woken (TimelineStore::stop) before.
  void stop();

 private:
  struct Session {
    std::shared_ptr<Timeline> timeline;
    Lsn lsn;
    std::vector<PageKey> hot_before;  // What the skeleton will have brought.
    BootRecorder recorder;
    std::atomic<bool> closed = false;
  };
  struct TokenHash {
    size_t operator()(const std::string& token) const {
      return halogen::load<size_t>(token.data());
    }
  };

  void serve(net::Socket& socket);
  std::shared_ptr<Session> greet(const net::Socket& socket);
  // False: the connection is over.
  bool answer(const net::Socket& socket, Session& session, Bytes& received);
  void read(Session& session, const ParsedPageRequest& request, PageReply& reply,
            std::string& body);
  void keep_boot_set(Session& session);
  std::shared_ptr<Session> find(const PageToken& token) const;

  const Options options_;
  mutable Mutex mutex_;
  // By the token's bytes, all of them random.
  std::unordered_map<std::string, std::shared_ptr<Session>, TokenHash> sessions_ GUARDED_BY(mutex_);
  std::atomic<bool> stopping_ = false;
  std::unique_ptr<net::Listener> listener_;
};

}  // namespace halogen::pageserver
