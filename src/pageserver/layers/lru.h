// lru.h: a cache bounded in bytes, in shards so that threads seldom meet. Values are shared and
// immutable: what a reader got stays good after it is evicted.
//
// Threads: any.
#pragma once
#include <algorithm>
#include <array>
#include <list>
#include <memory>
#include <unordered_map>

#include "base/mutex.h"

namespace halogen::pageserver {

template <typename K, typename V, typename Hash>
class LruCache {
 public:
  using Value = std::shared_ptr<const V>;

  explicit LruCache(size_t capacity_bytes)
      : shard_capacity_(std::max(capacity_bytes, kShards) / kShards) {}

  // Null if it is not there.
  Value get(const K& key) {
    Shard& shard = shard_of(key);
    MutexLock lock(shard.mutex);
    auto found = shard.map.find(key);
    if (found == shard.map.end()) return nullptr;
    shard.order.splice(shard.order.begin(), shard.order, found->second);
    return found->second->value;
  }

  // Replaces what was there. `cost` is in bytes; a value over a shard's capacity is not kept, or
  // alone in its shard.
  enum class Large { not_kept, kept_alone };
  void put(const K& key, Value value, size_t cost, Large large = Large::not_kept) {
    if (cost > shard_capacity_ && large == Large::not_kept) return;
    Shard& shard = shard_of(key);
    std::list<Entry> dropped;  // Freed after the lock.
    MutexLock lock(shard.mutex);
    if (auto found = shard.map.find(key); found != shard.map.end()) drop(shard, found, dropped);
    shard.order.push_front({key, std::move(value), cost});
    shard.map.emplace(key, shard.order.begin());
    shard.bytes += cost;
    while (shard.bytes > shard_capacity_ && shard.order.size() > 1)
      drop(shard, shard.map.find(shard.order.back().key), dropped);
  }

  void erase(const K& key) {
    Shard& shard = shard_of(key);
    std::list<Entry> dropped;
    MutexLock lock(shard.mutex);
    if (auto found = shard.map.find(key); found != shard.map.end()) drop(shard, found, dropped);
  }

  void clear() {
    for (Shard& shard : shards_) {
      std::list<Entry> dropped;
      MutexLock lock(shard.mutex);
      dropped.swap(shard.order);
      shard.map.clear();
      shard.bytes = 0;
    }
  }

  size_t bytes() const {
    size_t bytes = 0;
    for (const Shard& shard : shards_) {
      MutexLock lock(shard.mutex);
      bytes += shard.bytes;
    }
    return bytes;
  }

 private:
  struct Entry {
    K key;
    Value value;
    size_t cost;
  };
  using Map = std::unordered_map<K, typename std::list<Entry>::iterator, Hash>;
  struct Shard {
    mutable Mutex mutex;
    std::list<Entry> order GUARDED_BY(mutex);  // Most recently used first.
    Map map GUARDED_BY(mutex);
    size_t bytes GUARDED_BY(mutex) = 0;
  };
  static constexpr size_t kShards = 16;

  static void drop(Shard& shard, typename Map::iterator at, std::list<Entry>& dropped)
      REQUIRES(shard.mutex) {
    shard.bytes -= at->second->cost;
    dropped.splice(dropped.end(), shard.order, at->second);
    shard.map.erase(at);
  }
  Shard& shard_of(const K& key) { return shards_[Hash()(key) >> 7 & (kShards - 1)]; }

  const size_t shard_capacity_;
  std::array<Shard, kShards> shards_;
};

}  // namespace halogen::pageserver
