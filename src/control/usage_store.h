// usage_store.h: what branches have used, by hour, day and month, in a database of its own
// (<home>/usage.db), so that counting never waits for the catalog nor keeps it waiting.
//
// A crash of the process loses nothing that was recorded; loss of power may lose the last seconds.
//
// Threads: any.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/lsn.h"
#include "base/mutex.h"
#include "control/sqlite.h"

namespace halogen::control {

struct Usage {
  int64_t active_ms = 0;       // Wall-clock time with a running compute.
  int64_t compute_ms = 0;      // The same, times the compute's size in CU.
  int64_t written_bytes = 0;   // Of WAL.
  int64_t transfer_bytes = 0;  // To clients.
  int64_t storage_byte_hours = 0;

  Usage& operator+=(const Usage& other);
  bool operator==(const Usage&) const = default;
};

enum class Granularity { hourly, daily, monthly };

// Seconds since 1970, UTC: the beginning of the hour, day or month that `at` is in.
int64_t period_of(Granularity granularity, int64_t at);

struct UsagePeriod {
  int64_t begin = 0;
  Usage usage;
};

class UsageStore {
 public:
  explicit UsageStore(const std::filesystem::path& file);

  // What is recorded together.
  class Batch {
   public:
    void add(const std::string& branch, const std::string& project, const Usage& usage,
             int64_t now);
    // The end of the branch's WAL is at `end` now: what is new since the last call is counted, of a
    // timeline that was not seen before what is behind `begin`.
    void wal_end(const std::string& branch, const std::string& project, TimelineId timeline,
                 Lsn begin, Lsn end, int64_t now);
    // So many bytes are stored from now on; until now it was what the last call said.
    void storage(const std::string& branch, const std::string& project, int64_t bytes, int64_t now);
    // All branches but these are gone: they store nothing any more. What they have used stays their
    // projects'.
    void forget_others(const std::set<std::string>& there, int64_t now);
    // Hours older than 8 days, days older than 62, months older than 13.
    void prune(int64_t now);

   private:
    friend class UsageStore;
    explicit Batch(Database& db) : db_(db) {}
    void record(const std::string& branch, const std::string& project, const Usage& usage,
                int64_t now);

    Database& db_;
  };
  // Keeps what `work` records, all or, if it throws, nothing.
  void write(const std::function<void(Batch&)>& work);

  // Since the beginning of the month that `now` is in. Storage counts up to `now`.
  Usage of_branch(const std::string& branch, int64_t now);
  Usage of_project(const std::string& project, int64_t now);
  std::map<std::string, Usage> of_branches(const std::string& project, int64_t now);
  // The periods of [from, to) in which anything was used, in their order; of one branch, if it is
  // not empty.
  std::vector<UsagePeriod> history(const std::string& project, const std::string& branch,
                                   Granularity granularity, int64_t from, int64_t to);

 private:
  std::map<std::string, Usage> this_month(std::string_view where, const std::string& id,
                                          int64_t now) REQUIRES(mutex_);

  Mutex mutex_;
  Database db_ GUARDED_BY(mutex_);
};

}  // namespace halogen::control
