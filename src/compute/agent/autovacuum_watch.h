// autovacuum_watch.h: whether autovacuum has work waiting in a running compute.
#pragma once
#include <cstdint>
#include <map>
#include <string>

#include "compute/agent/sql.h"

namespace halogen::compute {

// One thread at a time.
class AutovacuumWatch {
 public:
  // A table, with its database, that autovacuum is to vacuum or analyze by its own rules
  // (PostgreSQL's documentation, "The Autovacuum Daemon") for more than kWorthIt rows; or a
  // database whose transaction ids are due to be frozen; "" if there is none, or none can be found
  // out. `connection` is to `postgres`.
  std::string due(const ComputeAddress& address, SqlConnection& connection, Deadline deadline);

 private:
  // What is worth staying awake for. What autovacuum misses of fewer it gets when they are more.
  static constexpr int64_t kWorthIt = 10'000;

  bool may_be_due(const std::string& database, int64_t changes);

  // Rows of each database that had ever been changed when nothing was found there: a look into one
  // takes as long as a whole connection, so it waits for kWorthIt more.
  std::map<std::string, int64_t> changes_seen_;
};

}  // namespace halogen::compute
