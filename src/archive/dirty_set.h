// dirty_set.h: timelines with something to copy, and since when. Its size is bounded by their
// number. Safe from any thread.
#pragma once
#include <map>
#include <optional>
#include <utility>

#include "base/deadline.h"
#include "base/ids.h"
#include "base/mutex.h"

namespace halogen::archive {

class DirtySet {
 public:
  using Since = steady_clock::time_point;

  void mark(TimelineId id) {
    MutexLock lock(mutex_);
    waiting_.emplace(id, steady_clock::now());
  }
  // All of them. They count as waiting until done() or put_back().
  std::map<TimelineId, Since> take() {
    MutexLock lock(mutex_);
    taken_.insert(waiting_.begin(), waiting_.end());
    return std::exchange(waiting_, {});
  }
  void done(TimelineId id) {
    MutexLock lock(mutex_);
    taken_.erase(id);
  }
  // It failed, or was not tried: it has waited since then.
  void put_back(TimelineId id, Since since) {
    MutexLock lock(mutex_);
    taken_.erase(id);
    auto [at, made] = waiting_.emplace(id, since);
    if (!made) at->second = std::min(at->second, since);
  }
  bool has(TimelineId id) const {
    MutexLock lock(mutex_);
    return waiting_.contains(id) || taken_.contains(id);
  }
  size_t size() const {
    MutexLock lock(mutex_);
    return waiting_.size() + taken_.size();
  }
  std::optional<Since> oldest() const {
    MutexLock lock(mutex_);
    std::optional<Since> oldest;
    for (const auto* set : {&waiting_, &taken_})
      for (const auto& [id, since] : *set)
        if (!oldest || since < *oldest) oldest = since;
    return oldest;
  }

 private:
  mutable Mutex mutex_;
  std::map<TimelineId, Since> waiting_ GUARDED_BY(mutex_);
  std::map<TimelineId, Since> taken_ GUARDED_BY(mutex_);
};

}  // namespace halogen::archive
