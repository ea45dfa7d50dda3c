#include "pageserver/page_session.h"

#include <algorithm>

#include "base/error.h"

namespace halogen::pageserver {

PageSession::PageSession(std::shared_ptr<Timeline> timeline, uint64_t term, Lsn lsn, Limits limits)
    : timeline_(std::move(timeline)), term_(term), first_lsn_(lsn), limits_(limits), lsn_(lsn) {}

Lsn PageSession::lsn() const {
  MutexLock lock(mutex_);
  return lsn_;
}

Lsn PageSession::oldest_lsn() const {
  MutexLock lock(mutex_);
  return left_.empty() ? lsn_ : left_.front().lsn;
}

std::vector<Lsn> PageSession::lsns() const {
  MutexLock lock(mutex_);
  std::vector<Lsn> all = {lsn_};
  for (const Left& left : left_) all.push_back(left.lsn);
  return all;
}

void PageSession::advance(Lsn lsn) {
  const auto now = steady_clock::now();
  MutexLock lock(mutex_);
  if (lsn > lsn_) left_.push_back({now, std::exchange(lsn_, lsn)});
  while (!left_.empty() && now >= left_.front().since + limits_.patience) left_.pop_front();
}

// A timeline that has no boot set of its own inherits; so the first boot of a first project helps
// all other projects of the template.
void PageSession::keep_boot_set() {
  auto asked = recorder_.asked();
  if (asked.empty()) return;
  const auto before = timeline_->hot_page_keys();  // What the skeleton has brought.
  for (Timeline* at = timeline_.get(); at; at = at->ancestor().get())
    if (at == timeline_.get() || at->boot_set().pages().empty()) at->boot_set().add(asked, before);
}

void PageSession::close() {
  {
    MutexLock lock(mutex_);
    closed_ = true;
    for (PageConnection* connection : connections_) connection->socket().shutdown();
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
  std::erase(queue_, &connection);
  remove_unread(connection);
  return connections_.remove(&connection) > 0;
}

void PageSession::drop_idlest() {
  MutexLock lock(mutex_);
  auto idlest = std::ranges::min_element(
      connections_, {}, [](const PageConnection* one) { return one->asked.load(); });
  CHECK(idlest != connections_.end(), "a session without connections was to drop one");
  (*idlest)->socket().shutdown();
  connections_.erase(idlest);
}

size_t PageSession::connections() const {
  MutexLock lock(mutex_);
  return connections_.size();
}

bool PageSession::take_turn(PageConnection& connection) {
  MutexLock lock(mutex_);
  if (reading_ < limits_.reads) {
    ++reading_;
    return true;
  }
  queue_.push_back(&connection);
  return false;
}

PageConnection& PageSession::rotate_turn(PageConnection& connection) {
  MutexLock lock(mutex_);
  queue_.push_back(&connection);
  return pop_queue();
}

PageConnection* PageSession::end_turn() {
  MutexLock lock(mutex_);
  if (!queue_.empty()) return &pop_queue();
  --reading_;
  return nullptr;
}

PageConnection& PageSession::pop_queue() {
  PageConnection& first = *queue_.front();
  queue_.pop_front();
  return first;
}

PageSession::Linger::Linger(PageSession& session) : session_(session) {
  MutexLock lock(session_.mutex_);
  given_ = session_.lingering_ < session_.limits_.lingering && !session_.closed_;
  if (given_) ++session_.lingering_;
}

PageSession::Linger::~Linger() {
  if (!given_) return;
  MutexLock lock(session_.mutex_);
  --session_.lingering_;
}

void PageSession::add_unread(PageConnection& connection, size_t bytes) {
  MutexLock lock(mutex_);
  unread_.push_back({&connection, bytes});
  unread_bytes_ += bytes;
  while (unread_bytes_ > limits_.unread_bytes && !unread_.empty()) {
    unread_.front().connection->socket().shutdown();
    unread_bytes_ -= unread_.front().bytes;
    unread_.pop_front();
  }
}

void PageSession::forget_unread(PageConnection& connection) {
  MutexLock lock(mutex_);
  remove_unread(connection);
}

void PageSession::remove_unread(PageConnection& connection) {
  auto found = std::ranges::find(unread_, &connection, &Unread::connection);
  if (found == unread_.end()) return;
  unread_bytes_ -= found->bytes;
  unread_.erase(found);
}

}  // namespace halogen::pageserver
