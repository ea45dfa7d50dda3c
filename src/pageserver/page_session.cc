#include "pageserver/page_session.h"

#include <algorithm>

#include "base/error.h"

namespace halogen::pageserver {

PageSession::PageSession(std::shared_ptr<Timeline> timeline, uint64_t term, Lsn lsn, Limits limits)
    : timeline_(std::move(timeline)),
      term_(term),
      lsn_(lsn),
      limits_(limits),
      hot_before_(timeline_->hot_page_keys()) {}

// A timeline that has no boot set of its own inherits; so the first boot of a first project helps
// all other projects of the template.
void PageSession::keep_boot_set() {
  auto asked = recorder_.asked();
  if (asked.empty()) return;
  for (Timeline* at = timeline_.get(); at; at = at->ancestor().get())
    if (at == timeline_.get() || at->boot_set().pages().empty())
      at->boot_set().add(asked, hot_before_);
}

void PageSession::close() {
  {
    MutexLock lock(mutex_);
    closed_ = true;
    for (PageConnection* connection : connections_) connection->socket.shutdown();
    turn_over_.notify_all();
  }
  if (recorder_.finish()) keep_boot_set();
}

bool PageSession::join(PageConnection& connection) {
  MutexLock lock(mutex_);
  if (!closed_) connections_.push_back(&connection);
  return !closed_;
}

bool PageSession::leave(PageConnection& connection) {
  MutexLock lock(mutex_);
  return connections_.remove(&connection) > 0;
}

void PageSession::drop_idlest() {
  MutexLock lock(mutex_);
  auto idlest = std::ranges::min_element(
      connections_, {}, [](const PageConnection* one) { return one->asked.load(); });
  CHECK(idlest != connections_.end(), "a session without connections was to drop one");
  (*idlest)->socket.shutdown();
  connections_.erase(idlest);
}

size_t PageSession::connections() const {
  MutexLock lock(mutex_);
  return connections_.size();
}

PageSession::Turn::Turn(PageSession& session, Deadline deadline) : session_(session) {
  MutexLock lock(session_.mutex_);
  while (session_.reading_ >= session_.limits_.reads) {
    if (session_.closed_) throw Error(Errc::permission_denied, "the session has been closed");
    if (deadline.passed())
      throw Error(Errc::timed_out, "other reads of this compute took all the time there was");
    session_.turn_over_.wait_until(session_.mutex_, deadline.at());
  }
  ++session_.reading_;
}

PageSession::Turn::~Turn() {
  MutexLock lock(session_.mutex_);
  --session_.reading_;
  session_.turn_over_.notify_one();
}

PageSession::Unread::Unread(PageSession& session, PageConnection& connection, size_t bytes)
    : session_(session), connection_(connection), bytes_(bytes) {
  MutexLock lock(session_.mutex_);
  session_.unread_bytes_ += bytes_;
  session_.unread_.push_back(this);
  for (Unread* oldest : session_.unread_) {
    if (session_.unread_bytes_ <= session_.limits_.unread_bytes) break;
    if (std::exchange(oldest->dropped_, true)) continue;
    oldest->connection_.socket.shutdown();
    session_.unread_bytes_ -= oldest->bytes_;
  }
}

PageSession::Unread::~Unread() {
  MutexLock lock(session_.mutex_);
  session_.unread_.remove(this);
  if (!dropped_) session_.unread_bytes_ -= bytes_;
}

}  // namespace halogen::pageserver
