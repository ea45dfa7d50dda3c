// usage_meter.h: looks every few seconds at what computes do, and has it recorded.
//
// What a crash of the process loses: of active time and transfer, what was not recorded yet
// (kInterval). Of WAL nothing, as its end is durable itself; of storage nothing, as it is counted
// from when the size was last known.
//
// Threads: its own; anybody may ask the store.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "control/activity.h"
#include "control/usage_store.h"
#include "protocol/safekeeper_admin.h"

namespace halogen::control {

class UsageMeter {
 public:
  struct Branch {
    std::string id;
    std::string project_id;
    TimelineId timeline;
  };
  // How the world is looked at; each may throw Error.
  struct Sources {
    std::function<std::vector<Activity>()> activity;
    std::function<Branch(const std::string& branch_id)> branch;  // not_found.
    std::function<WalStatus(TimelineId)> wal;
    std::function<int64_t(TimelineId)> stored_bytes;
    // To clients, by endpoint, since this process began.
    std::function<std::map<std::string, uint64_t>()> sent;
    std::function<std::vector<Branch>()> all_branches;
    // Called when something was recorded, or a look at all branches was due.
    std::function<void()> recorded = [] {};
  };
  static constexpr std::chrono::seconds kInterval{5};

  UsageMeter(UsageStore& store, Sources sources);
  ~UsageMeter() { stop(); }

  void start();
  // Counts once more what there is.
  void stop();
  // What the thread does every kInterval; seconds since 1970.
  void look(int64_t now);

 private:
  void run();
  // What is known of a branch at one moment, gathered before the store is locked.
  struct Seen {
    Branch branch;
    Usage usage;
    std::optional<WalStatus> wal;
    std::optional<int64_t> stored;
  };
  Seen look_at(const Activity& activity, const std::map<std::string, uint64_t>& sent);
  std::vector<Seen> look_at_all();
  static void record(UsageStore::Batch& batch, const Seen& seen, int64_t now);

  UsageStore& store_;
  const Sources sources_;
  std::map<std::string, uint64_t> sent_;  // By endpoint: what has been counted.
  int64_t all_seen_ = 0;
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace halogen::control
