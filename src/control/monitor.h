// monitor.h: what computes did in the last hours and days, for the console's charts.
//
// A sample each 30 seconds of each compute that runs, in a database of its own (<home>/metrics.db),
// which is worth nothing but for looking at: a damaged one is made anew. Fine samples are kept for
// hours, what they come to in five minutes each for two weeks, and never more rows than kMostRows
// in all. A compute at rest has no samples: it costs nothing.
//
// Threads: its own; any may ask.
#pragma once
#include <array>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "control/catalog.h"
#include "control/sqlite.h"
#include "control/suspend.h"
#include "protocol/compute_host.h"
#include "protocol/pageserver_admin.h"
#include "protocol/pooler_status.h"

namespace halogen::control {

// Sums of what happened in the time, in this order, then averages.
enum class Measure {
  active_us,  // The compute ran.
  cpu_us,     // Of all its processes.
  queries,
  transactions,
  request_us,  // From each request to its last answer.
  wait_us,     // Of clients, for a server or a compute.
  received,
  sent,
  wal_bytes,
  wakes,
  blocks_hit,    // In Postgres' shared buffers.
  blocks_read,   // From files.
  memory_bytes,  // From here on averages.
  active_clients,
  waiting_clients,
  idle_clients,  // With a server, or parked without.
  pinned_clients,
  servers,
  logical_bytes,
  own_bytes,
};
constexpr size_t kMeasures = 20;
constexpr size_t kSums = 12;
std::string_view measure_name(Measure measure);

using Measures = std::array<int64_t, kMeasures>;

struct Sample {
  int64_t at = 0;       // The end of its time, in seconds since 1970.
  int64_t seconds = 0;  // How long its time was.
  Measures values{};
};

// What the processes below a postmaster use, as /proc tells it; zeros if it is gone.
struct ProcessUse {
  int64_t cpu_us = 0;
  int64_t memory_bytes = 0;
};
ProcessUse use_of_processes(int postmaster, const std::filesystem::path& proc = "/proc");

class Monitor {
 public:
  static constexpr std::chrono::seconds kFineStep{30};
  static constexpr std::chrono::seconds kCoarseStep{300};
  static constexpr std::chrono::hours kFineTime{6};
  static constexpr std::chrono::hours kCoarseTime{24 * 14};
  static constexpr int64_t kMostRows = 500'000;  // About 100 MB.

  struct Options {
    Catalog& catalog;
    EndpointManager& endpoints;
    ComputeHost& host;
    PageserverAdmin& pageserver;
    std::function<Pooler*()> pooler;  // Null while there is none.
    std::filesystem::path file;
    int64_t most_rows = kMostRows;
  };
  explicit Monitor(Options options);
  ~Monitor() { stop(); }

  void start();
  void stop();

  // Of (from, to], oldest first; fine ones where they reach back so far. At most 2,000.
  std::vector<Sample> samples(const std::string& endpoint_id, int64_t from, int64_t to);

  // One sample of each compute that runs, or did since the last pass. Public for tests.
  void pass(int64_t now);

 private:
  // Counters as they were at the last sample.
  struct Counters {
    int64_t at = 0;
    Micros started_at = 0;
    Measures values{};
    int64_t blocks_after =
        0;  // When it is asked again for its use of blocks, after it had no answer.
  };

  void run();
  void open();
  void add_missing_columns() REQUIRES(mutex_);
  // `pid`: 0 if it does not run any more.
  void take(const Endpoint& endpoint, int pid, int64_t now);
  Measures read(const Endpoint& endpoint, int pid);
  // Asks the compute for it, unless nothing was asked of it since its last sample.
  void add_block_use(const Endpoint& endpoint, int pid, int64_t now, Counters* counters);
  void insert(const std::string& endpoint_id, int64_t tier, const Sample& sample) REQUIRES(mutex_);
  void make_coarse(int64_t until) REQUIRES(mutex_);
  void forget_old(int64_t now) REQUIRES(mutex_);

  const Options options_;
  std::map<std::string, Counters> last_;  // Only the thread's, as is the next.
  int64_t last_pass_ = 0;
  Mutex mutex_;  // Held during the database's I/O: nobody on the way of a query waits for it.
  std::unique_ptr<Database> db_ GUARDED_BY(mutex_);
  int64_t coarse_until_ GUARDED_BY(mutex_) = 0;
  Mutex stop_mutex_;
  CondVar changed_;
  bool stopping_ GUARDED_BY(stop_mutex_) = false;
  std::thread thread_;
};

}  // namespace halogen::control
