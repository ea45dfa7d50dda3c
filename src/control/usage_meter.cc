#include "control/usage_meter.h"

#include <chrono>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/log.h"

namespace halogen::control {
namespace {

const log::Logger logger("control");

constexpr int64_t kAllInterval = 600;  // Seconds: of branches that nobody uses, too.

int64_t seconds_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

UsageMeter::UsageMeter(UsageStore& store, Sources sources)
    : store_(store), sources_(std::move(sources)) {}

void UsageMeter::start() {
  thread_ = std::thread([this] { run(); });
}

void UsageMeter::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (!thread_.joinable()) return;
  thread_.join();
  look(seconds_now());
}

void UsageMeter::run() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    mutex_.unlock();
    look(seconds_now());
    mutex_.lock();
    if (!stopping_) changed_.wait_until(mutex_, steady_clock::now() + kInterval);
  }
}

void UsageMeter::look(int64_t now) {
  try {
    std::vector<Seen> seen;
    const std::vector<Activity> active = sources_.activity();
    std::map<std::string, uint64_t> sent;
    if (!active.empty()) sent = sources_.sent();
    for (const Activity& activity : active) seen.push_back(look_at(activity, sent));
    const bool all_due = now - all_seen_ >= kAllInterval;
    std::set<std::string> there;
    if (all_due)
      for (Seen& one : look_at_all()) {
        there.insert(one.branch.id);
        seen.push_back(std::move(one));
      }
    if (seen.empty() && !all_due) return;
    store_.write([&](UsageStore::Batch& batch) {
      for (const Seen& one : seen) record(batch, one, now);
      if (!all_due) return;
      batch.forget_others(there, now);
      batch.prune(now);
    });
    if (all_due) all_seen_ = now;
    sources_.recorded();
  } catch (const std::exception& error) {
    logger.error("cannot record what is used: {}", error.what());
  }
}

UsageMeter::Seen UsageMeter::look_at(const Activity& activity,
                                     const std::map<std::string, uint64_t>& all_sent) {
  Seen seen{{activity.branch_id, activity.project_id, {}}, {}, {}, {}};
  seen.usage.active_ms = activity.ran.count();
  seen.usage.compute_ms =
      static_cast<int64_t>(static_cast<double>(seen.usage.active_ms) * activity.units);
  if (auto sent = all_sent.find(activity.endpoint_id); sent != all_sent.end()) {
    uint64_t& counted = sent_[activity.endpoint_id];
    // Less than before: the proxy has forgotten the endpoint in between.
    const uint64_t news = sent->second >= counted ? sent->second - counted : sent->second;
    seen.usage.transfer_bytes = static_cast<int64_t>(news);
    counted = sent->second;
  }
  try {
    seen.branch = sources_.branch(activity.branch_id);
    seen.wal = sources_.wal(seen.branch.timeline);
    seen.stored = sources_.stored_bytes(seen.branch.timeline);
  } catch (const Error& error) {
    // Deleted meanwhile, or storage cannot tell now: the next look counts it.
    logger.debug("branch {}: what it stores is not known: {}", activity.branch_id, error.what());
  }
  return seen;
}

std::vector<UsageMeter::Seen> UsageMeter::look_at_all() {
  std::vector<Seen> all;
  for (Branch& branch : sources_.all_branches()) {
    Seen seen{std::move(branch), {}, {}, {}};
    try {
      seen.stored = sources_.stored_bytes(seen.branch.timeline);
    } catch (const Error& error) {
      logger.debug("branch {}: what it stores is not known: {}", seen.branch.id, error.what());
    }
    all.push_back(std::move(seen));
  }
  return all;
}

void UsageMeter::record(UsageStore::Batch& batch, const Seen& seen, int64_t now) {
  const Branch& branch = seen.branch;
  batch.add(branch.id, branch.project_id, seen.usage, now);
  if (seen.wal)
    batch.wal_end(branch.id, branch.project_id, branch.timeline, seen.wal->start, seen.wal->flush,
                  now);
  if (seen.stored) batch.storage(branch.id, branch.project_id, *seen.stored, now);
}

}  // namespace halogen::control
