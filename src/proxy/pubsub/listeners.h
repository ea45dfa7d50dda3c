// listeners.h: hears notifications for clients, so that those who LISTEN need no server of their
// own.
//
// One connection (a Hub) for each endpoint, database and client encoding that has listeners listens
// to all their channels; it goes with the last of them. It comes and goes with the compute: it
// keeps none awake, and when one has been started it listens again before the clients' queries are
// let through (ready()), so that nothing notified by them is missed.
//
// Clients hear their notifications from here only, whatever server they have: so each comes once,
// and all in the order of their commits.
//
// Threads: any may call; what is called back runs on the worker that the hub is on.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "proxy/io/worker.h"
#include "proxy/pool/server.h"
#include "proxy/pubsub/listener.h"

namespace halogen::proxy {

class Hub;

class Listeners {
 public:
  // Listens to these channels for it, in place of those before; none ends it. As `role` it may
  // connect.
  void listen(const ListeningPlace& place, Worker& worker, const ListenerPtr& listener,
              const std::string& role, const std::vector<std::string>& channels);
  // A client, which knows its process id as `client_pid`, has committed this transaction.
  void notified(const std::string& endpoint, const std::string& database,
                const NotifyingTransaction& transaction, uint32_t client_pid);
  // Calls back once those who listen there have been told all that the transaction notified, or
  // cannot be any more.
  void when_told(const ListeningPlace& place, const NotifyingTransaction& transaction,
                 std::function<void()> done);
  // Where the endpoint's compute takes connections from now on.
  void compute_is(const std::string& endpoint, const ComputeAddress& address);
  // Calls back once all hubs of the endpoint listen there, or cannot; at once if there are none.
  void ready(const std::string& endpoint, uint64_t start, std::function<void()> done);
  // The endpoint has been deleted.
  void forget(const std::string& endpoint);
  // Ends all; workers still run.
  void clear();

 private:
  std::vector<std::shared_ptr<Hub>> hubs_of(const std::string& endpoint) REQUIRES(mutex_);
  // Called by a hub that has nobody to listen for: false if somebody is about to ask it.
  bool retire(Hub& hub);

  Mutex mutex_;
  std::map<ListeningPlace, std::shared_ptr<Hub>> hubs_ GUARDED_BY(mutex_);
  std::map<std::string, ComputeAddress> computes_ GUARDED_BY(mutex_);
};

}  // namespace halogen::proxy
