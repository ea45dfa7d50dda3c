// page_session.h: what a token of the page service stands for: one start of a compute, which reads
// one timeline. Bounds what it can use of what all share: connections, turns to read, bytes.
//
// Threads: safe from any.
#pragma once
#include <atomic>
#include <list>
#include <memory>

#include "base/mutex.h"
#include "base/throttle.h"
#include "net/socket.h"
#include "pageserver/timeline.h"

namespace halogen::pageserver {

// A connection that has shown a token. Lives as long as its thread serves it.
struct PageConnection {
  explicit PageConnection(net::Socket& the_socket) : socket(the_socket) {}

  net::Socket& socket;
  std::atomic<steady_clock::time_point> asked = steady_clock::now();  // Last.
};

class PageSession {
 public:
  struct Limits {
    size_t reads = 4;                 // At the same time; others wait.
    size_t unread_bytes = 32u << 20;  // Of answers that its clients do not take.
  };

  PageSession(std::shared_ptr<Timeline> timeline, uint64_t term, Lsn lsn, Limits limits);

  Timeline& timeline() const { return *timeline_; }
  uint64_t term() const { return term_; }
  Lsn lsn() const { return lsn_; }
  bool closed() const { return closed_; }
  // Whether one more line of what this compute brings about may go to the log; errors of storage
  // have lines of their own.
  bool may_log(bool storage_error = false) {
    return (storage_error ? error_lines_ : log_lines_).allow();
  }
  // See BootRecorder. True when it is complete: keep_boot_set() then.
  bool note(const std::vector<PageKey>& pages) { return recorder_.note(pages); }
  void keep_boot_set();

  // Ends all its connections; none joins after.
  void close() EXCLUDES(mutex_);
  // False if it is closed.
  bool join(PageConnection& connection) EXCLUDES(mutex_);
  // False if it has been dropped.
  bool leave(PageConnection& connection) EXCLUDES(mutex_);
  // Ends the connection that has asked for nothing for the longest time. Requires: there is one.
  void drop_idlest() EXCLUDES(mutex_);
  size_t connections() const EXCLUDES(mutex_);

  // A turn to read. Throws timed_out.
  class Turn {
   public:
    Turn(PageSession& session, Deadline deadline);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    PageSession& session_;
  };
  // An answer that is on its way to `connection`. If the session's clients leave too much unread,
  // the connections that have done so for the longest end: a client's read-ahead is a guess.
  class Unread {
   public:
    Unread(PageSession& session, PageConnection& connection, size_t bytes);
    ~Unread();
    Unread(const Unread&) = delete;
    Unread& operator=(const Unread&) = delete;

   private:
    friend class PageSession;
    PageSession& session_;
    PageConnection& connection_;
    const size_t bytes_;
    bool dropped_ = false;
  };

 private:
  const std::shared_ptr<Timeline> timeline_;
  const uint64_t term_;
  const Lsn lsn_;
  const Limits limits_;
  const std::vector<PageKey> hot_before_;  // What the skeleton will have brought.
  BootRecorder recorder_;
  Throttle log_lines_;
  Throttle error_lines_;
  std::atomic<bool> closed_ = false;
  mutable Mutex mutex_;
  CondVar turn_over_;
  size_t reading_ GUARDED_BY(mutex_) = 0;
  std::list<PageConnection*> connections_ GUARDED_BY(mutex_);
  std::list<Unread*> unread_ GUARDED_BY(mutex_);  // The oldest first.
  size_t unread_bytes_ GUARDED_BY(mutex_) = 0;
};

using PageSessionPtr = std::shared_ptr<PageSession>;

}  // namespace halogen::pageserver
