#include "compute/shim/same_page.h"

#include <cstring>

namespace halogen::shim {
namespace {

constexpr uint32_t kPage = 8192;
constexpr uint32_t kHeader = 24;
constexpr uint16_t kAllVisible = 4;  // PD_ALL_VISIBLE; the other flags are hints.
// Of a heap tuple: HEAP_COMBOCID, HEAP_XMIN_COMMITTED and so on.
constexpr uint16_t kComboCid = 0x0020;
constexpr uint16_t kXminHints = 0x0300;  // Both: it is frozen, which is in WAL.
constexpr uint16_t kXmaxHints = 0x0C00;
constexpr uint16_t kHints = kXminHints | kXmaxHints;
constexpr uint32_t kTupleHeader = 23;
constexpr uint32_t kCidAt = 8, kCtidAt = 12, kInfomaskAt = 20;
// Of B-tree, hash and GiST pages: 16 bytes at the end, with flags and the page's id or its cycle.
constexpr uint32_t kIndexSpecial = 16;
constexpr uint32_t kIndexFlagsAt = 12, kIndexIdAt = 14;

template <typename T>
T get(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

bool equal(const char* a, const char* b, uint32_t from, uint32_t to) {
  return std::memcmp(a + from, b + from, to - from) == 0;
}

struct Layout {
  explicit Layout(const char* page)
      : lower(get<uint16_t>(page + 12)),
        upper(get<uint16_t>(page + 14)),
        special(get<uint16_t>(page + 16)) {}
  bool usual() const {
    return lower >= kHeader && lower <= upper && upper <= special && special <= kPage;
  }
  uint16_t lower, upper, special;
};

// An item's line pointer.
struct Item {
  explicit Item(uint32_t word) : offset(word & 0x7FFF), flags(word >> 15 & 3), length(word >> 17) {}
  bool inside(const Layout& layout) const {
    return offset >= layout.upper && offset + length <= layout.special;
  }
  uint32_t offset, flags, length;
};

// By the local tuple's hints.
bool has_ended(const char* tuple) {
  auto mask = get<uint16_t>(tuple + kInfomaskAt);
  bool xmax_ended = get<uint32_t>(tuple + 4) == 0 || (mask & kXmaxHints) != 0;
  return (mask & kXminHints) != 0 && xmax_ended;
}

bool same_tuple(const char* local, const char* in_storage, uint32_t length) {
  if (length < kTupleHeader) return std::memcmp(local, in_storage, length) == 0;
  auto mask = get<uint16_t>(local + kInfomaskAt);
  auto other = get<uint16_t>(in_storage + kInfomaskAt);
  if (((mask & kXminHints) == kXminHints) != ((other & kXminHints) == kXminHints)) return false;
  uint16_t ignored = kHints;
  if (has_ended(local))
    ignored |= kComboCid;
  else if (!equal(local, in_storage, kCidAt, kCtidAt))
    return false;
  return ((mask ^ other) & ~ignored) == 0 && equal(local, in_storage, 0, kCidAt) &&
         equal(local, in_storage, kCtidAt, kInfomaskAt) &&
         equal(local, in_storage, kInfomaskAt + 2, length);
}

bool same_heap(const char* local, const char* in_storage, const Layout& layout) {
  if (!equal(local, in_storage, kHeader, layout.lower)) return false;
  for (uint32_t at = kHeader; at + 4 <= layout.lower; at += 4) {
    Item item(get<uint32_t>(local + at));
    if (item.length == 0) continue;
    if (!item.inside(layout)) return false;
    if (!same_tuple(local + item.offset, in_storage + item.offset, item.length)) return false;
  }
  return true;
}

// The flag that says that items are dead, by the page's id; a B-tree page has a cycle there.
uint16_t garbage_flag(uint16_t id) {
  if (id == 0xFF80) return 1 << 7;  // Hash.
  if (id == 0xFF81) return 1 << 4;  // GiST.
  return 1 << 6;
}

// Line pointers say which items are dead, as a hint.
bool same_index(const char* local, const char* in_storage, const Layout& layout) {
  for (uint32_t at = kHeader; at + 4 <= layout.lower; at += 4) {
    Item item(get<uint32_t>(local + at));
    Item other(get<uint32_t>(in_storage + at));
    bool flags = item.flags == other.flags || (item.flags & other.flags & 1) != 0;
    if (!flags || item.offset != other.offset || item.length != other.length) return false;
  }
  uint32_t flags_at = layout.special + kIndexFlagsAt;
  auto garbage = garbage_flag(get<uint16_t>(local + layout.special + kIndexIdAt));
  auto flags = get<uint16_t>(local + flags_at) ^ get<uint16_t>(in_storage + flags_at);
  return (flags & ~garbage) == 0 && equal(local, in_storage, layout.upper, flags_at) &&
         equal(local, in_storage, flags_at + 2, kPage);
}

}  // namespace

uint64_t page_lsn(const char* page) {
  return uint64_t{get<uint32_t>(page)} << 32 | get<uint32_t>(page + 4);
}

bool same_page(const char* local, const char* in_storage) {
  constexpr uint32_t kFlagsAt = 10, kLowerAt = 12, kPruneXidAt = 20;
  auto flags = get<uint16_t>(local + kFlagsAt) ^ get<uint16_t>(in_storage + kFlagsAt);
  if (page_lsn(local) != page_lsn(in_storage) || (flags & kAllVisible) != 0 ||
      !equal(local, in_storage, kLowerAt, kPruneXidAt))
    return false;
  Layout layout(local);
  if (!layout.usual()) return equal(local, in_storage, kHeader, kPage);
  if (layout.special == kPage) return same_heap(local, in_storage, layout);
  if (kPage - layout.special == kIndexSpecial) return same_index(local, in_storage, layout);
  return equal(local, in_storage, kHeader, layout.lower) &&
         equal(local, in_storage, layout.upper, kPage);
}

}  // namespace halogen::shim
