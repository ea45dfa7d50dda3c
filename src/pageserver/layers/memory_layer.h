// memory_layer.h: the newest versions of a timeline's keys, in memory until they are flushed.
//
// Threads: one writes (put), anyone reads. Versions live in an append-only arena and never move, so
// a reader notes where they are under the lock and copies them after it.
#pragma once
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "pageserver/layers/value.h"

namespace halogen::pageserver {

// One version as it lies in a layer: the bytes belong to the layer (or to one of its blocks).
struct EntryView {
  Key key;
  Lsn lsn;
  ValueKind kind = ValueKind::image;
  Bytes bytes;

  Value value() const { return {lsn, kind, std::string(as_text(bytes))}; }
};
// Called for versions of a key from the newest to the oldest; false stops the search.
using VisitVersion = std::function<bool(const EntryView&)>;

// Bytes that stay where they are until the arena goes.
class Arena {
 public:
  const std::byte* append(Bytes bytes);
  size_t bytes() const { return reserved_; }

 private:
  std::vector<std::unique_ptr<std::byte[]>> chunks_;
  std::byte* next_ = nullptr;
  size_t left_ = 0;
  size_t reserved_ = 0;
};

class MemoryLayer {
 public:
  struct Version {
    Lsn lsn;
    const std::byte* data = nullptr;
    uint32_t size = 0;
    ValueKind kind = ValueKind::image;
  };
  using Versions = std::vector<Version>;  // Oldest first.
  using KeyVersions = std::pair<const Key, Versions>;

  // `lsn` is not below any put before.
  void put(Lsn lsn, std::span<const Put> puts);

  // Memory held, roughly.
  size_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  bool empty() const { return bytes() == 0; }

  // The versions of `key` at or below `lsn`, newest first. False if `visit` stopped the search.
  bool walk(const Key& key, Lsn lsn, const VisitVersion& visit) const;
  // The newest version at or below `lsn` of each key in [first, last], in key order.
  std::vector<std::pair<Key, Value>> newest(const Key& first, const Key& last, Lsn lsn) const;
  // All keys in order, for the flush of a layer that nobody puts to any more.
  std::vector<const KeyVersions*> sorted() const;

 private:
  const Versions* find(const Key& key) const REQUIRES_SHARED(mutex_);

  mutable SharedMutex mutex_;
  Arena arena_ GUARDED_BY(mutex_);
  // Metadata keys apart and in order: they are few and are scanned often.
  std::unordered_map<Key, Versions, KeyHash> pages_ GUARDED_BY(mutex_);
  std::map<Key, Versions> metadata_ GUARDED_BY(mutex_);
  std::atomic<size_t> bytes_ = 0;
  // Of the first put. Who reads below it, as computes and flushes do, never meets the writer.
  std::atomic<uint64_t> first_lsn_ = UINT64_MAX;
};

}  // namespace halogen::pageserver
