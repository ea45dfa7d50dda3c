// page_items.h: a page's line pointers and tuples, edited as PageAddItem and its like edit
// them, byte for byte.
//
// Every page is one that somebody may have forged: what PostgreSQL would not do to a page, or would
// end over, is refused here (false), and the page is then not to be used.
//
// Pure.
#pragma once
#include <optional>
#include <span>
#include <vector>

#include "postgres/page.h"

namespace halogen::pageserver {

class PageItems {
 public:
  enum class State : uint8_t { unused = 0, normal = 1, redirect = 2, dead = 3 };
  struct Item {
    uint16_t offset = 0;  // Of the tuple; of a redirection, which item is meant.
    State state = State::unused;
    uint16_t length = 0;
  };

  explicit PageItems(PageSpan page) : page_(page) {}

  // Whether the header is one that can be worked with.
  bool valid() const;
  uint16_t count() const;
  Item item(uint16_t number) const;  // 1 .. count().
  void set(uint16_t number, Item item);
  // The tuple of a normal item; none if there is no such item, or it lies outside the page or is
  // shorter than `least`.
  std::optional<std::span<char>> tuple(uint16_t number, size_t least);

  // PageAddItem at `number`: in an unused item or behind all (heaps), or in between, which moves
  // others up.
  bool add_heap(uint16_t number, std::span<const char> tuple);
  bool add_between(uint16_t number, std::span<const char> tuple);
  // PageRepairFragmentation.
  bool compact();
  // PageTruncateLinePointerArray.
  void truncate_unused();

  void set_flag(uint16_t flag, bool on);

  static constexpr uint16_t kHasFreeItems = 0x0001;
  static constexpr uint16_t kAllVisible = 0x0004;

 private:
  uint16_t lower() const { return load<uint16_t>(page_.data() + 12); }
  uint16_t upper() const { return load<uint16_t>(page_.data() + 14); }
  uint16_t special() const { return load<uint16_t>(page_.data() + 16); }
  void set_lower(size_t to) { store(page_.data() + 12, static_cast<uint16_t>(to)); }
  void set_upper(size_t to) { store(page_.data() + 14, static_cast<uint16_t>(to)); }
  char* at(uint16_t number) const { return page_.data() + kPageHeaderSize + (number - 1u) * 4u; }
  bool place(uint16_t number, std::span<const char> tuple, bool shift);

  const PageSpan page_;
};

// Of a page header.
uint32_t prune_xid(ConstPageSpan page);
void set_prune_xid(PageSpan page, uint32_t xid);

}  // namespace halogen::pageserver
