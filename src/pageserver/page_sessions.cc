#include "pageserver/page_sessions.h"

#include <sys/resource.h>

#include <algorithm>

#include "base/error.h"

namespace halogen::pageserver {
namespace {

static_assert(sizeof(Token) == sizeof(PageToken));

Token token_of(const PageToken& token) { return std::bit_cast<Token>(token); }

}  // namespace

size_t most_connections() {
  constexpr rlim_t kLeast = 1000;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return kLeast;
  return std::clamp<rlim_t>(limit.rlim_cur / 4, kLeast, 1'000'000);
}

PageToken PageSessions::open(std::shared_ptr<Timeline> timeline, uint64_t term, Lsn lsn) {
  const TimelineId id = timeline->id();
  auto session = std::make_shared<PageSession>(std::move(timeline), term, lsn, limits_.session);
  std::vector<PageSessionPtr> fenced;
  Token token;
  {
    MutexLock lock(mutex_);
    uint64_t& newest = newest_terms_[id];
    if (term < newest)
      throw Error(Errc::fenced, "term {} of timeline {} is over; the term is {}", term, id.str(),
                  newest);
    newest = term;
    sessions_.remove_if([&](const PageSessionPtr& other) {
      bool over = other->timeline().id() == id && other->term() < term;
      if (over) fenced.push_back(other);
      return over;
    });
    token = sessions_.add(std::move(session));
  }
  for (const PageSessionPtr& old : fenced) old->close();
  return std::bit_cast<PageToken>(token);
}

Lsn PageSessions::advance(const PageToken& token) {
  MutexLock lock(mutex_);
  PageSessionPtr* found = sessions_.find(token_of(token));
  if (!found) throw Error(Errc::not_found, "the session of the page service is over");
  PageSession& session = **found;
  session.advance(session.timeline().store().last_record_lsn());
  return session.lsn();
}

void PageSessions::close(const PageToken& token) {
  PageSessionPtr session;
  {
    MutexLock lock(mutex_);
    if (PageSessionPtr* found = sessions_.find(token_of(token))) session = *found;
    sessions_.remove(token_of(token));
  }
  if (session) session->close();
}

size_t PageSessions::of_timeline(TimelineId timeline) const {
  MutexLock lock(mutex_);
  size_t count = 0;
  sessions_.for_each(
      [&](const PageSessionPtr& session) { count += session->timeline().id() == timeline; });
  return count;
}

std::multimap<TimelineId, Lsn> PageSessions::lsns() const {
  MutexLock lock(mutex_);
  std::multimap<TimelineId, Lsn> out;
  sessions_.for_each([&](const PageSessionPtr& session) {
    for (const Lsn lsn : session->lsns()) out.emplace(session->timeline().id(), lsn);
  });
  return out;
}

PageSessions::Joined PageSessions::join(const PageToken& token, PageConnection& connection) {
  MutexLock lock(mutex_);
  PageSessionPtr* found = sessions_.find(token_of(token));
  if (!found) return {};
  PageSession& session = **found;
  const size_t has = session.connections();
  if (has >= limits_.connections_of_a_session) return {PageStatus::unavailable, nullptr};
  if (connections_ >= limits_.connections && !make_room(has))
    return {PageStatus::unavailable, nullptr};
  if (!session.join(connection)) return {};
  ++connections_;
  return {PageStatus::ok, *found};
}

// False if no session has so many more that one of them is better given to another.
bool PageSessions::make_room(size_t wanted_by) {
  PageSessionPtr largest;
  size_t most = wanted_by + 1;
  sessions_.for_each([&](const PageSessionPtr& session) {
    if (session->connections() <= most) return;
    largest = session;
    most = session->connections();
  });
  if (!largest) return false;
  largest->drop_idlest();
  --connections_;
  return true;
}

void PageSessions::leave(PageSession& session, PageConnection& connection) {
  MutexLock lock(mutex_);
  if (session.leave(connection)) --connections_;
}

}  // namespace halogen::pageserver
