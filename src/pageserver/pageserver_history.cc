// How far back a Pageserver's timelines can be read: each by its project's window of time, and at
// the points where others stand on it.
#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "pageserver/commit_index.h"
#include "pageserver/pageserver.h"

namespace halogen::pageserver {

namespace {

const log::Logger logger("pageserver");

// A horizon moves on in steps of a part of the window, no longer than this.
constexpr int kStepsOfWindow = 64;
constexpr std::chrono::hours kLongestStep{1};
constexpr int64_t kPostgresEpoch = 946'684'800;  // 2000-01-01, in seconds since 1970.

int64_t postgres_micros(std::chrono::system_clock::time_point time) {
  const auto since = time.time_since_epoch() - std::chrono::seconds(kPostgresEpoch);
  return std::chrono::duration_cast<std::chrono::microseconds>(since).count();
}

}  // namespace

void Pageserver::set_history_retention(TenantId tenant, std::chrono::seconds retention) {
  MutexLock lock(mutex_);
  retention_[tenant] = retention;
}

void Pageserver::keep_history_bounded() {
  for (;;) {
    std::map<TimelineId, BranchPtr> branches;
    {
      MutexLock lock(mutex_);
      const auto until = steady_clock::now() + options_.history_interval;
      while (!stopping_ && steady_clock::now() < until) woken_.wait_until(mutex_, until);
      if (stopping_) return;
      branches = branches_;
    }
    std::erase_if(horizon_checks_,
                  [&](const auto& check) { return !branches.contains(check.first); });
    for (const auto& [id, branch] : branches) {
      try {
        bound_history(id, branch);
      } catch (const std::exception& error) {
        logger.warn("timeline {}: its history stays as it is for now: {}", id.str(), error.what());
      }
    }
  }
}

// Where branches begin and computes read, and those that are about to.
std::vector<Lsn> Pageserver::points_of(TimelineId id) const {
  std::vector<Lsn> points;
  for (const auto& [other, branch] : branches_)
    if (branch->timeline->ancestor() && branch->timeline->ancestor()->id() == id)
      points.push_back(branch->timeline->store().ancestor_lsn());
  for (const auto& [other, reserved] : reserved_)
    if (reserved.ancestor == id) points.push_back(reserved.ancestor_lsn);
  return points;
}

void Pageserver::bound_history(TimelineId id, const BranchPtr& branch) {
  TimelineStore& store = branch->timeline->store();
  std::chrono::seconds retention;
  {
    MutexLock lock(mutex_);
    auto found = retention_.find(branch->timeline->tenant());
    if (found == retention_.end()) return;
    retention = found->second;
  }
  const Lsn end = store.last_record_lsn();
  HorizonCheck& check = horizon_checks_[id];
  const auto now = steady_clock::now();
  if (check.retention == retention && now < check.due && (check.end == end || !store.has_history()))
    return;
  check = {retention, end,
           now + std::clamp<steady_clock::duration>(retention / kStepsOfWindow,
                                                    options_.history_interval, kLongestStep)};
  RetainSet retain;
  if (store.has_history()) {
    const int64_t oldest_time = postgres_micros(std::chrono::system_clock::now() - retention);
    const auto commit = last_commit_by(store, oldest_time, end, branch->timeline->oldest_lsn());
    if (commit) retain.horizon = commit->lsn;
  }
  // From here on whoever wants to read somewhere is among the points, or finds that it is too late.
  MutexLock lock(mutex_);
  if (stopping_ || !branches_.contains(id)) return;
  retain.points = points_of(id);
  for (const auto& [timeline, lsn] : page_service_->session_lsns())
    if (timeline == id) retain.points.push_back(lsn);
  store.set_retain(std::move(retain));
}

}  // namespace halogen::pageserver
