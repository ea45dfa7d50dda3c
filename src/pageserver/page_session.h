// page_session.h: what a token of the page service stands for: one start of a compute, which reads
// one timeline. Bounds what it can use of what all share: connections, turns to read, bytes.
//
// Threads: safe from any.
#pragma once
#include <atomic>
#include <deque>
#include <list>
#include <memory>

#include "base/log_trace.h"
#include "base/mutex.h"
#include "base/throttle.h"
#include "pageserver/page_connection.h"
#include "pageserver/timeline.h"

namespace halogen::pageserver {

class PageSession {
 public:
  struct Limits {
    size_t reads = 4;                   // At the same time; others wait in turn.
    size_t lingering = 4;               // Threads that wait for what a connection does next.
    size_t unread_bytes = 32u << 20;    // Of answers that its clients do not take.
    std::chrono::seconds patience{60};  // What was asked longer ago nobody waits for any more.
  };

  PageSession(std::shared_ptr<Timeline> timeline, uint64_t term, Lsn lsn, Limits limits);

  Timeline& timeline() const { return *timeline_; }
  uint64_t term() const { return term_; }
  // Where it began to read, and where it does now.
  Lsn first_lsn() const { return first_lsn_; }
  Lsn lsn() const EXCLUDES(mutex_);
  // From here on it still may: what it asked for before it went on may be on its way.
  Lsn oldest_lsn() const EXCLUDES(mutex_);
  // Now, and before.
  std::vector<Lsn> lsns() const EXCLUDES(mutex_);
  void advance(Lsn lsn) EXCLUDES(mutex_);
  bool closed() const { return closed_; }
  // Whether one more line of what this compute brings about may go to the log; errors of storage
  // have lines of their own.
  bool may_log(bool storage_error = false) {
    return (storage_error ? error_lines_ : log_lines_).allow();
  }
  // On whose behalf the compute was started: for log lines (base/log_trace.h).
  const std::string& woken_for() const { return woken_for_; }
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

  // A turn to read. False: all are taken, and this connection has been put in the queue; it is then
  // for who gives a turn on to serve it.
  bool take_turn(PageConnection& connection) EXCLUDES(mutex_);
  // Puts this connection, which has a turn and more to read, at the end of the queue, and gives the
  // turn to the first of it. If there is no queue, this connection keeps it.
  PageConnection& rotate_turn(PageConnection& connection) EXCLUDES(mutex_);
  // Gives the turn to the first in the queue. Null: there is none, and the turn is free.
  PageConnection* end_turn() EXCLUDES(mutex_);
  // For a thread to wait for one of its connections, if there are not too many that do so.
  class Linger {
   public:
    explicit Linger(PageSession& session);
    ~Linger();
    Linger(const Linger&) = delete;
    Linger& operator=(const Linger&) = delete;
    bool given() const { return given_; }

   private:
    PageSession& session_;
    bool given_ = false;
  };

  // An answer is on its way to `connection`. If the session's clients leave too much unread, the
  // connections that have done so for the longest end: a client's read-ahead is a guess.
  void add_unread(PageConnection& connection, size_t bytes) EXCLUDES(mutex_);
  // It has arrived.
  void forget_unread(PageConnection& connection) EXCLUDES(mutex_);

 private:
  PageConnection& pop_queue() REQUIRES(mutex_);
  void remove_unread(PageConnection& connection) REQUIRES(mutex_);

  const std::shared_ptr<Timeline> timeline_;
  const uint64_t term_;
  const Lsn first_lsn_;
  const Limits limits_;
  const std::string woken_for_ = log::trace_id();
  BootRecorder recorder_;
  Throttle log_lines_;
  Throttle error_lines_;
  std::atomic<bool> closed_ = false;
  mutable Mutex mutex_;
  Lsn lsn_ GUARDED_BY(mutex_);
  struct Left {
    steady_clock::time_point since;
    Lsn lsn;
  };
  std::deque<Left> left_ GUARDED_BY(mutex_);  // Where it read before; the oldest first.
  size_t reading_ GUARDED_BY(mutex_) = 0;
  size_t lingering_ GUARDED_BY(mutex_) = 0;
  std::deque<PageConnection*> queue_ GUARDED_BY(mutex_);  // Those that wait for a turn.
  std::list<PageConnection*> connections_ GUARDED_BY(mutex_);
  struct Unread {
    PageConnection* connection;
    size_t bytes;
  };
  std::list<Unread> unread_ GUARDED_BY(mutex_);  // The oldest first; without those dropped.
  size_t unread_bytes_ GUARDED_BY(mutex_) = 0;
};

using PageSessionPtr = std::shared_ptr<PageSession>;

}  // namespace halogen::pageserver
