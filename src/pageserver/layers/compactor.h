// compactor.h: one thread, of low priority, that merges layer files of all timelines in turn.
//
// Threads: any.
#pragma once
#include <chrono>
#include <map>
#include <optional>
#include <thread>

#include "base/deadline.h"
#include "base/mutex.h"

namespace halogen::pageserver {

class Compactor {
 public:
  class Client {
   public:
    virtual ~Client() = default;
    // One step, of seconds at most. Returns after which time there is another; none: not until the
    // next request. Must not throw.
    virtual std::optional<std::chrono::milliseconds> compact_once() = 0;
  };

  Compactor() = default;
  ~Compactor();
  Compactor(const Compactor&) = delete;
  Compactor& operator=(const Compactor&) = delete;

  // There is something to do for it.
  void request(Client& client) EXCLUDES(mutex_);
  // It is not called from now on; waits for a step that runs.
  void leave(Client& client) EXCLUDES(mutex_);

 private:
  void run();
  Client* next(steady_clock::time_point& due) REQUIRES(mutex_);

  Mutex mutex_;
  CondVar changed_;
  std::map<Client*, steady_clock::time_point> waiting_ GUARDED_BY(mutex_);  // By when they are due.
  Client* running_ GUARDED_BY(mutex_) = nullptr;
  Client* last_ GUARDED_BY(mutex_) = nullptr;  // Its neighbour is next.
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_ GUARDED_BY(mutex_);
};

}  // namespace halogen::pageserver
