// page_cache.h: rebuilt pages, bounded in memory. An entry says what a page is once all versions up
// to and including `lsn` are applied; a reader at a later LSN adds what came after.
//
// History never changes, so an entry is never wrong; it can only be too new for a read, or older
// than it could be.
#pragma once
#include "base/lsn.h"
#include "pageserver/layers/lru.h"
#include "protocol/page_key.h"

namespace halogen::pageserver {

struct CachedPage {
  Lsn lsn;           // Of the newest version in it.
  std::string page;  // 8192 bytes.
};

using PagePtr = std::shared_ptr<const CachedPage>;

struct PageCacheKey {
  uint64_t timeline = 0;  // Timeline::number(): never used twice in a process.
  PageKey page;
  bool operator==(const PageCacheKey&) const = default;
};
struct PageCacheKeyHash {
  size_t operator()(const PageCacheKey& key) const {
    return PageKeyHash()(key.page) ^ key.timeline * 0x9E3779B97F4A7C15u;
  }
};

using PageCache = LruCache<PageCacheKey, CachedPage, PageCacheKeyHash>;

}  // namespace halogen::pageserver
