// value.h: what a timeline stores: versions of keys, each at the end LSN of the WAL record that
// made it.
#pragma once
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/lsn.h"
#include "protocol/page_key.h"

namespace halogen::pageserver {

// Pages first, then the metadata that storage keeps natively. The order is the order in layer
// files.
enum class KeyKind : uint8_t {
  relation_page = 0,  // tag + block. As PageKind::relation.
  slru_page = 1,      // fork = Slru, block = page. As PageKind::slru.
  relation_size = 2,  // tag. Value: u32 pages. Tombstone: dropped.
  slru_segment = 3,   // fork = Slru, block = segment. Value: u32 pages. Tombstone: removed.
  database = 4,       // spc, db. Value: empty. Its directory exists.
  tablespace = 5,     // spc. Value: the location text, empty if in place.
  file =
      6,  // spc, db, rel, block = a 128-bit hash of the path. Value: u16 path size, path, content.
  checkpoint = 7,  // One key. Value: CheckpointFields as they stand.
  // One key, a version per commit, at the commit's end. Value: i64 time, microseconds since
  // 2000-01-01, never less than the version before: see Change::committed_at. Older releases left
  // keys with rel = minutes, which nothing reads.
  commit_time = 8,
  relcache_change = 9,  // One key. Value: empty; its LSN is what counts.
};

struct Key {
  KeyKind kind = KeyKind::relation_page;
  uint8_t fork = 0;
  uint16_t unused = 0;
  uint32_t spc = 0;
  uint32_t db = 0;
  uint32_t rel = 0;
  uint32_t block = 0;

  static constexpr Key page(const PageKey& k) {
    return {
        static_cast<KeyKind>(k.tag.kind), k.tag.fork, 0, k.tag.spc, k.tag.db, k.tag.rel, k.block};
  }
  static constexpr Key relation_size(const RelTag& t) {
    return {KeyKind::relation_size, t.fork, 0, t.spc, t.db, t.rel, 0};
  }
  static constexpr Key commit_time() { return {.kind = KeyKind::commit_time}; }
  constexpr bool is_page() const { return kind <= KeyKind::slru_page; }
  constexpr PageKey page_key() const {
    return {{static_cast<PageKind>(kind), fork, 0, spc, db, rel}, block};
  }

  // kind, spc, db, rel, fork, block: a relation's pages are neighbours, so are a database's
  // relations.
  friend constexpr std::strong_ordering operator<=>(const Key& a, const Key& b) {
    if (auto c = a.kind <=> b.kind; c != 0) return c;
    if (auto c = a.spc <=> b.spc; c != 0) return c;
    if (auto c = a.db <=> b.db; c != 0) return c;
    if (auto c = a.rel <=> b.rel; c != 0) return c;
    if (auto c = a.fork <=> b.fork; c != 0) return c;
    return a.block <=> b.block;
  }
  friend constexpr bool operator==(const Key&, const Key&) = default;
};
static_assert(sizeof(Key) == 20);

struct KeyHash {
  size_t operator()(const Key& key) const { return PageKeyHash()(key.page_key()); }
};

enum class ValueKind : uint8_t {
  // Bases: a read needs nothing older.
  image = 0,      // A whole page, or the whole value of a metadata key.
  zero = 1,       // An all-zero page (a relation grew past it). No bytes.
  tombstone = 2,  // The key is gone. No bytes.
  record_init =
      3,  // A whole WAL record that makes the page from nothing (WILL_INIT or an applied image).
  // Deltas: need what is below.
  record = 4,  // A whole WAL record (XLogRecord header and all), for redo.
  native = 5,  // A change applied by our own code: see ingest/native_apply.h.
};
constexpr bool is_base(ValueKind kind) { return kind <= ValueKind::record_init; }

// One version. Several of one key at one LSN keep the order they were put in.
struct Value {
  Lsn lsn;  // End of the WAL record; visible to reads at this LSN and above.
  ValueKind kind = ValueKind::image;
  std::string bytes;
};

// What a read of one key collects: oldest first. Empty: the key was never there. The first is a
// base unless history is damaged.
using Chain = std::vector<Value>;

// One thing ingest wants stored. The bytes need to live only during Store::put.
struct Put {
  Key key;
  ValueKind kind = ValueKind::image;
  Bytes bytes;
};

}  // namespace halogen::pageserver
