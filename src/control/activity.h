// activity.h: how long which computes have run, since it was last asked.
//
// Threads: any.
#pragma once
#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/mutex.h"

namespace halogen::control {

struct Activity {
  std::string endpoint_id;
  std::string project_id;
  std::string branch_id;
  std::chrono::milliseconds ran{0};
  double units = 0.25;  // Its size.
};

class ActivityLog {
 public:
  // The ids of `of` are those of the endpoint; `ran` does not matter. Again: no change.
  void began(const Activity& of, steady_clock::time_point now = steady_clock::now()) {
    MutexLock lock(mutex_);
    Running& running = known_.try_emplace(of.endpoint_id, Running{of, now, false}).first->second;
    if (running.runs) return;
    running.runs = true;
    running.counted_until = now;
  }
  void ended(const std::string& endpoint_id, steady_clock::time_point now = steady_clock::now()) {
    MutexLock lock(mutex_);
    auto found = known_.find(endpoint_id);
    if (found == known_.end() || !found->second.runs) return;
    count(found->second, now);
    found->second.runs = false;
  }
  // Of all that have run since the last call; what is told is not told again.
  std::vector<Activity> take(steady_clock::time_point now = steady_clock::now()) {
    MutexLock lock(mutex_);
    std::vector<Activity> taken;
    for (auto at = known_.begin(); at != known_.end();) {
      Running& running = at->second;
      if (running.runs) count(running, now);
      taken.push_back(running.activity);
      running.activity.ran = std::chrono::milliseconds(0);
      at = running.runs ? std::next(at) : known_.erase(at);
    }
    return taken;
  }

 private:
  struct Running {
    Activity activity;
    steady_clock::time_point counted_until;
    bool runs;
  };
  // Whole milliseconds; the rest is for the next time.
  static void count(Running& running, steady_clock::time_point now) {
    const auto ran =
        std::chrono::duration_cast<std::chrono::milliseconds>(now - running.counted_until);
    running.activity.ran += ran;
    running.counted_until += ran;
  }

  Mutex mutex_;
  std::map<std::string, Running> known_ GUARDED_BY(mutex_);
};

}  // namespace halogen::control
