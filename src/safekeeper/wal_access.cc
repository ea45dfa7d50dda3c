#include "safekeeper/wal_access.h"

namespace halogen::safekeeper {

Token WalAccess::grant(TimelineId timeline, WalConsumer consumer, steady_clock::time_point now) {
  const auto time = consumer == WalConsumer::tool ? steady_clock::duration(kToolTime)
                                                  : steady_clock::duration(kPageserverTime);
  MutexLock lock(mutex_);
  grants_.remove_if([&](const Grant& grant) { return grant.until <= now; });
  return grants_.add({timeline, consumer, now + time});
}

std::optional<WalConsumer> WalAccess::admit(TimelineId timeline, const Token& token,
                                            steady_clock::time_point now) {
  MutexLock lock(mutex_);
  const Grant* grant = grants_.find(token);
  if (!grant || grant->timeline != timeline || grant->until <= now) return std::nullopt;
  const WalConsumer consumer = grant->consumer;
  if (consumer == WalConsumer::pageserver) grants_.remove(token);
  return consumer;
}

void WalAccess::forget(TimelineId timeline) {
  MutexLock lock(mutex_);
  grants_.remove_if([&](const Grant& grant) { return grant.timeline == timeline; });
}

}  // namespace halogen::safekeeper
