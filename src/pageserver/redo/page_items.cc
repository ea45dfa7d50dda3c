#include "pageserver/redo/page_items.h"

#include <algorithm>
#include <string>

namespace halogen::pageserver {

namespace {

constexpr uint16_t kMaxHeapTuples = 291;  // MaxHeapTuplesPerPage.

size_t aligned(size_t size) { return (size + 7) & ~size_t{7}; }

}  // namespace

uint32_t prune_xid(ConstPageSpan page) { return load<uint32_t>(page.data() + 20); }
void set_prune_xid(PageSpan page, uint32_t xid) { store(page.data() + 20, xid); }

bool PageItems::valid() const {
  return lower() >= kPageHeaderSize && lower() <= upper() && upper() <= special() &&
         special() <= kPageSize && special() % 8 == 0;
}

uint16_t PageItems::count() const { return static_cast<uint16_t>((lower() - kPageHeaderSize) / 4); }

PageItems::Item PageItems::item(uint16_t number) const {
  const auto bits = load<uint32_t>(at(number));
  return {static_cast<uint16_t>(bits & 0x7fff), static_cast<State>(bits >> 15 & 3),
          static_cast<uint16_t>(bits >> 17)};
}

void PageItems::set(uint16_t number, Item item) {
  store(at(number), static_cast<uint32_t>(item.offset) | static_cast<uint32_t>(item.state) << 15 |
                        static_cast<uint32_t>(item.length) << 17);
}

std::optional<std::span<char>> PageItems::tuple(uint16_t number, size_t least) {
  if (number == 0 || number > count()) return std::nullopt;
  const Item found = item(number);
  if (found.state != State::normal || found.length < least || found.offset < kPageHeaderSize ||
      found.offset + found.length > kPageSize)
    return std::nullopt;
  return std::span<char>(page_.data() + found.offset, found.length);
}

bool PageItems::place(uint16_t number, std::span<const char> tuple, bool shift) {
  const uint16_t limit = static_cast<uint16_t>(count() + 1);
  const size_t new_lower = lower() + (number == limit || shift ? 4u : 0u);
  const size_t size = aligned(tuple.size());
  if (size > upper() || new_lower > upper() - size || tuple.size() > 0x7fff) return false;
  const size_t new_upper = upper() - size;
  if (shift) std::memmove(at(number) + 4, at(number), (limit - number) * 4u);
  set(number,
      {static_cast<uint16_t>(new_upper), State::normal, static_cast<uint16_t>(tuple.size())});
  std::memcpy(page_.data() + new_upper, tuple.data(), tuple.size());
  set_lower(new_lower);
  set_upper(new_upper);
  return true;
}

bool PageItems::add_heap(uint16_t number, std::span<const char> tuple) {
  if (!valid() || number == 0 || number > count() + 1 || number > kMaxHeapTuples) return false;
  if (number <= count() && (item(number).state != State::unused || item(number).length != 0))
    return false;
  return place(number, tuple, false);
}

bool PageItems::add_between(uint16_t number, std::span<const char> tuple) {
  if (!valid() || number == 0 || number > count() + 1) return false;
  return place(number, tuple, number <= count());
}

bool PageItems::compact() {
  if (!valid()) return false;
  struct Kept {
    uint16_t number;
    uint16_t offset;
    size_t size;
  };
  std::vector<Kept> kept;
  uint16_t last_used = 0;
  size_t unused = 0, total = 0;
  for (uint16_t number = 1; number <= count(); number++) {
    const Item found = item(number);
    if (found.state == State::unused) {
      set(number, {});
      unused++;
      continue;
    }
    last_used = number;
    if (found.length == 0) continue;
    if (found.offset < upper() || found.offset >= special()) return false;
    const size_t size = aligned(found.length);
    if (found.offset + size > kPageSize) return false;
    kept.push_back({number, found.offset, size});
    total += size;
  }
  if (total > size_t{special()} - lower()) return false;
  // Each comes to lie below the one before. What is in between of old bytes stays as it is.
  const std::string before(page_.data(), page_.size());
  size_t end = special();
  for (const Kept& tuple : kept) {
    end -= tuple.size;
    std::memcpy(page_.data() + end, before.data() + tuple.offset, tuple.size);
    Item moved = item(tuple.number);
    moved.offset = static_cast<uint16_t>(end);
    set(tuple.number, moved);
  }
  set_upper(end);
  const size_t unused_at_end = count() - last_used;
  set_lower(lower() - unused_at_end * 4);
  set_flag(kHasFreeItems, unused > unused_at_end);
  return true;
}

void PageItems::truncate_unused() {
  uint16_t last = count();
  while (last > 1 && item(last).state == State::unused) last--;
  bool has_free = false;
  for (uint16_t number = last; number >= 1; number--)
    has_free = has_free || item(number).state == State::unused;
  set_lower(kPageHeaderSize + last * 4u);
  set_flag(kHasFreeItems, has_free);
}

void PageItems::set_flag(uint16_t flag, bool on) {
  const auto flags = load<uint16_t>(page_.data() + 10);
  store(page_.data() + 10, static_cast<uint16_t>(on ? flags | flag : flags & ~flag));
}

}  // namespace halogen::pageserver
