// listeners.h: hears notifications for clients, so that those who LISTEN need no server of their
// own.
//
// One connection for each (endpoint, database) that has listeners listens to all their channels. It
// comes and goes with the compute: it keeps none awake, and when one has been started it listens
// again before the clients' queries are let through (ready()), so that nothing notified by them is
// missed.
//
// Threads: any may call; what is called back runs on the worker that the hub is on.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "proxy/pool/pool.h"
#include "proxy/pool/server.h"

namespace halogen::proxy {

class Hub;

// One client that listens. It is heard for as long as it lives.
struct Listener {
  std::function<void(const std::string& message)> notified;  // The whole NotificationResponse.
  // From now on everything notified on these channels is told to notified().
  std::function<void(const std::vector<std::string>& channels)> confirmed;
};
using ListenerPtr = std::shared_ptr<Listener>;

class Listeners {
 public:
  // Listens to these channels for it, in place of those before; none ends it. `key.role` is whose
  // connection is used if there is none yet.
  void listen(const PoolKey& key, Worker& worker, const ListenerPtr& listener,
              const std::vector<std::string>& channels);
  // Where the endpoint's compute takes connections from now on.
  void compute_is(const std::string& endpoint, const ComputeAddress& address);
  // Calls back once all hubs of the endpoint listen there, or cannot; at once if there are none, or
  // they did so before.
  void ready(const std::string& endpoint, uint64_t start, std::function<void()> done);
  // The endpoint has been deleted.
  void forget(const std::string& endpoint);
  // Ends all; workers still run.
  void clear();

 private:
  std::vector<std::shared_ptr<Hub>> hubs_of(const std::string& endpoint) REQUIRES(mutex_);

  using Place = std::pair<std::string, std::string>;  // Endpoint, database.
  Mutex mutex_;
  std::map<Place, std::shared_ptr<Hub>> hubs_ GUARDED_BY(mutex_);
  std::map<std::string, ComputeAddress> computes_ GUARDED_BY(mutex_);
};

}  // namespace halogen::proxy
