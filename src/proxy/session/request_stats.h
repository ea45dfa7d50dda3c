// request_stats.h: what a session counts of its requests, for the census. Plain numbers: whoever
// asks for the census pays for it.
#pragma once
#include <cstdint>
#include <optional>

#include "base/deadline.h"
#include "proxy/io/worker.h"

namespace halogen::proxy {

class RequestStats {
 public:
  explicit RequestStats(steady_clock::time_point connected) : asked_(connected) {}

  // From now on it counts for its database, too. Names of databases that do not exist get no
  // tally: who has one has been greeted.
  void begin(TallyPtr tally) { tally_ = std::move(tally); }
  // `under_way`: what came before has not been answered.
  void came(size_t bytes, bool under_way);
  void answered(bool in_transaction);
  void sent(size_t bytes);
  void completed(uint64_t queries, uint64_t transactions);

  // While it exists the request waits for a server.
  class Waiting {
   public:
    explicit Waiting(RequestStats& stats);
    ~Waiting();
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

   private:
    RequestStats& stats_;
  };
  std::optional<steady_clock::time_point> waits_since() const { return waits_since_; }
  // When the request under way, or the last one, came.
  steady_clock::time_point asked() const { return asked_; }
  bool asking() const { return asking_; }  // Not answered yet.
  uint64_t queries() const { return queries_; }
  uint64_t transactions() const { return transactions_; }

 private:
  TallyPtr tally_;
  uint64_t queries_ = 0;
  uint64_t transactions_ = 0;
  steady_clock::time_point asked_;
  steady_clock::time_point transaction_began_;
  bool asking_ = false;
  bool in_transaction_ = false;
  std::optional<steady_clock::time_point> waits_since_;
};

}  // namespace halogen::proxy
