// page_key.h: the name of one 8 KiB page in storage.
//
// Plain data, no dependencies beyond the C++ library: the shim, which may not throw or allocate,
// includes it.
#pragma once
#include <compare>
#include <cstdint>

namespace halogen {

constexpr uint32_t kPageSize = 8192;
constexpr uint32_t kRelSegmentPages = 131072;  // A relation segment file is 1 GiB.
constexpr uint32_t kSlruSegmentPages = 32;     // An SLRU segment file is 256 KiB.

enum class Fork : uint8_t { main = 0, fsm = 1, vm = 2, init = 3 };
constexpr int kForks = 4;

enum class Slru : uint8_t { xact = 0, multixact_offsets = 1, multixact_members = 2, commit_ts = 3 };
constexpr int kSlrus = 4;

enum class PageKind : uint8_t { relation = 0, slru = 1 };

// One fork of one relation, or one SLRU. In Postgres' terms spc is the tablespace's oid (1663
// pg_default, 1664 pg_global), db the database's (0 for shared relations), rel the relfilenode.
struct RelTag {
  PageKind kind = PageKind::relation;
  uint8_t fork = 0;  // A Fork, or for an SLRU which Slru it is; then spc, db, rel are 0.
  uint16_t unused = 0;
  uint32_t spc = 0;
  uint32_t db = 0;
  uint32_t rel = 0;

  static constexpr RelTag relation(uint32_t spc, uint32_t db, uint32_t rel, Fork fork) {
    return {PageKind::relation, static_cast<uint8_t>(fork), 0, spc, db, rel};
  }
  static constexpr RelTag slru(Slru which) {
    return {PageKind::slru, static_cast<uint8_t>(which), 0, 0, 0, 0};
  }
  constexpr bool is_slru() const { return kind == PageKind::slru; }
  constexpr RelTag with_fork(Fork f) const { return relation(spc, db, rel, f); }

  // Ordered so that all relations of a database, and all forks of a relation, are neighbours.
  friend constexpr std::strong_ordering operator<=>(const RelTag& a, const RelTag& b) {
    if (auto c = a.kind <=> b.kind; c != 0) return c;
    if (auto c = a.spc <=> b.spc; c != 0) return c;
    if (auto c = a.db <=> b.db; c != 0) return c;
    if (auto c = a.rel <=> b.rel; c != 0) return c;
    return a.fork <=> b.fork;
  }
  friend constexpr bool operator==(const RelTag&, const RelTag&) = default;
};
static_assert(sizeof(RelTag) == 16);

struct PageKey {
  RelTag tag;
  uint32_t block = 0;  // In the whole fork (or SLRU), not in a segment.

  friend constexpr auto operator<=>(const PageKey&, const PageKey&) = default;
  friend constexpr bool operator==(const PageKey&, const PageKey&) = default;
};
static_assert(sizeof(PageKey) == 20);

struct PageKeyHash {
  size_t operator()(const PageKey& key) const {
    uint64_t a = static_cast<uint64_t>(key.tag.rel) << 32 | key.block;
    uint64_t b = (uint64_t{key.tag.db} << 32 | key.tag.spc) ^
                 (uint64_t{key.tag.fork} << 60 | static_cast<uint64_t>(key.tag.kind) << 56);
    a = (a ^ b * 0x9E3779B97F4A7C15u) * 0xBF58476D1CE4E5B9u;
    a = (a ^ a >> 29) * 0x94D049BB133111EBu;
    return a ^ a >> 32;
  }
};

}  // namespace halogen
