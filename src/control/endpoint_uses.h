// endpoint_uses.h: who uses which compute at this moment. On the path of every transaction: takes
// no lock that all endpoints share, and looks at one endpoint only.
//
// A use and a suspend may begin at the same time. The suspend takes `start` away before it looks at
// `count`; a use counts itself before it looks at `start`. So one of them sees the other: the
// suspend lets go, or the use asks for a wake.
//
// Threads: any.
#pragma once
#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <unordered_map>

#include "base/deadline.h"
#include "base/mutex.h"

namespace halogen::control {

struct EndpointUse {
  explicit EndpointUse(std::string endpoint_id) : id(std::move(endpoint_id)) {}

  const std::string id;
  std::atomic<int> count = 0;
  std::atomic<uint64_t> begun = 0;  // How many uses there have ever been.
  std::atomic<uint64_t> start = 0;  // Of the compute that can be used right away; 0: there is none.
  std::atomic<bool> open = true;    // Clients may log in: it is there for them and not refused.
  std::atomic<int64_t> timeout = 0;  // Seconds without a use until a suspend; -1: never.
  std::atomic<steady_clock::time_point> idle_since = steady_clock::now();
  std::atomic<int64_t> last_used = 0;  // When the last use ended: microseconds since 1970.
  // An alarm is set for no later than the suspend is due; those of older generations do not count.
  std::atomic<bool> watched = false;
  std::atomic<uint64_t> generation = 0;
};
using EndpointUsePtr = std::shared_ptr<EndpointUse>;

class EndpointUses {
 public:
  EndpointUsePtr find(const std::string& id) {
    Shard& shard = shard_of(id);
    ReaderLock lock(shard.mutex);
    auto found = shard.uses.find(id);
    return found == shard.uses.end() ? nullptr : found->second;
  }
  void add(const EndpointUsePtr& use) {
    Shard& shard = shard_of(use->id);
    WriterLock lock(shard.mutex);
    shard.uses.emplace(use->id, use);
  }
  void remove(const std::string& id) {
    Shard& shard = shard_of(id);
    WriterLock lock(shard.mutex);
    shard.uses.erase(id);
  }

 private:
  struct Shard {
    SharedMutex mutex;
    std::unordered_map<std::string, EndpointUsePtr> uses GUARDED_BY(mutex);
  };
  Shard& shard_of(const std::string& id) {
    return shards_[std::hash<std::string>()(id) % shards_.size()];
  }

  std::array<Shard, 64> shards_;
};

}  // namespace halogen::control
