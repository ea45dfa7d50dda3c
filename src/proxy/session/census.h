// census.h: what all workers' sessions and the pools tell of endpoints, gathered. Costs the
// sessions nothing until somebody asks.
//
// Threads: any may ask. Each worker tells of its own sessions, on its own thread.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "protocol/pooler_status.h"
#include "proxy/io/worker.h"
#include "proxy/pool/pool.h"

namespace halogen::proxy {

// By endpoint.
using Statuses = std::map<std::string, PoolerStatus>;

class Census {
 public:
  struct Question {
    std::optional<std::string> endpoint;  // nullopt: all.
    bool details = false;
  };

  Census(Endpoints& endpoints, Pools& pools) : endpoints_(endpoints), pools_(pools) {}

  // Before any is asked.
  void set_workers(const std::vector<std::shared_ptr<Worker>>& workers);
  // `done` is called exactly once, on any thread; with less than all where the proxy has stopped.
  void take(Question question, std::function<void(Statuses)> done);
  // Waits for it, but no longer than a second.
  Statuses take_now(Question question);
  // Ends the client that PoolerClient::id tells, if it is still there: FATAL 57P01. `done` as
  // above.
  void end_client(const std::string& endpoint, uint64_t id, std::function<void(bool found)> done);

 private:
  struct Taking;
  struct Ending;

  Endpoints& endpoints_;
  Pools& pools_;
  std::vector<std::weak_ptr<Worker>> workers_;
};

// The row of `status` for this pool; added if there is none.
PoolerPool& pool_row(PoolerStatus& status, const std::string& database, const std::string& role,
                     PoolMode mode);

}  // namespace halogen::proxy
