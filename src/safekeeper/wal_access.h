// wal_access.h: who may read which timeline's WAL here.
//
// A token is for one timeline. A pageserver's opens one connection, soon: once that is open the
// token is worth nothing, and what it allowed ends with the connection. A tool's opens as many as
// it likes for a while, as pg_receivewal connects several times.
//
// Threads: safe from any.
#pragma once
#include <optional>

#include "base/deadline.h"
#include "base/ids.h"
#include "base/mutex.h"
#include "base/token.h"
#include "protocol/safekeeper_admin.h"

namespace halogen::safekeeper {

class WalAccess {
 public:
  static constexpr std::chrono::seconds kPageserverTime{30};
  static constexpr std::chrono::hours kToolTime{1};

  Token grant(TimelineId timeline, WalConsumer consumer, steady_clock::time_point now)
      EXCLUDES(mutex_);
  // For whom the token lets a connection to this timeline begin; nullopt if it does not.
  std::optional<WalConsumer> admit(TimelineId timeline, const Token& token,
                                   steady_clock::time_point now) EXCLUDES(mutex_);
  void forget(TimelineId timeline) EXCLUDES(mutex_);

 private:
  struct Grant {
    TimelineId timeline;
    WalConsumer consumer;
    steady_clock::time_point until;
  };

  Mutex mutex_;
  TokenTable<Grant> grants_ GUARDED_BY(mutex_);
};

}  // namespace halogen::safekeeper
