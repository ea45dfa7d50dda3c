// page_sessions.h: all sessions of the page service, by token, and the connections they share.
//
// A session's token dies when the session is closed, or when a newer term of its timeline opens
// one: from then on an old compute reads nothing. When all connections are taken, the session that
// has the most gives one up for one that has fewer, so no number of them starves the others.
//
// Threads: safe from any.
#pragma once
#include <map>

#include "base/token.h"
#include "pageserver/page_session.h"
#include "protocol/page_service.h"

namespace halogen::pageserver {

// A quarter of the files that this process may have open, but 1,000 at least.
size_t most_connections();

class PageSessions {
 public:
  struct Limits {
    size_t connections = most_connections();  // Of all sessions.
    size_t connections_of_a_session = 512;
    PageSession::Limits session{};
  };

  explicit PageSessions(Limits limits) : limits_(limits) {}

  // Ends the timeline's sessions of older terms. Throws fenced if there was one of a newer.
  PageToken open(std::shared_ptr<Timeline> timeline, uint64_t term, Lsn lsn) EXCLUDES(mutex_);
  // See PageserverAdmin.
  Lsn advance(const PageToken& token) EXCLUDES(mutex_);
  // Unknown tokens are no error.
  void close(const PageToken& token) EXCLUDES(mutex_);
  size_t of_timeline(TimelineId timeline) const EXCLUDES(mutex_);
  // Where the sessions of timelines read, or still may.
  std::multimap<TimelineId, Lsn> lsns() const EXCLUDES(mutex_);

  struct Joined {
    PageStatus status = PageStatus::denied;  // unavailable: no connection is to be had now.
    PageSessionPtr session;                  // If ok.
  };
  Joined join(const PageToken& token, PageConnection& connection) EXCLUDES(mutex_);
  void leave(PageSession& session, PageConnection& connection) EXCLUDES(mutex_);

 private:
  bool make_room(size_t wanted_by) REQUIRES(mutex_);

  const Limits limits_;
  mutable Mutex mutex_;
  TokenTable<PageSessionPtr> sessions_ GUARDED_BY(mutex_);
  std::map<TimelineId, uint64_t> newest_terms_ GUARDED_BY(mutex_);
  size_t connections_ GUARDED_BY(mutex_) = 0;
};

}  // namespace halogen::pageserver
