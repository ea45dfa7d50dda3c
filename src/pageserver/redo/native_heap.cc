// Records of heaps: what PostgreSQL's heap_xlog_... routines do to a page.
#include <algorithm>

#include "pageserver/redo/native_redo.h"
#include "pageserver/redo/page_items.h"
#include "postgres/pg15.h"

namespace halogen::pageserver {

namespace {

using namespace pg15;

constexpr size_t kTupleHeader = 23;     // SizeofHeapTupleHeader.
constexpr size_t kLargestTuple = 8160;  // MaxHeapTupleSize.
constexpr uint8_t kInitPage = 0x80;
constexpr uint8_t kVisibleCleared = 0x01;
constexpr uint8_t kFrozenSet = 0x20;  // XLH_INSERT_ALL_FROZEN_SET.

// t_infomask and t_infomask2.
constexpr uint16_t kKeyShareLock = 0x0010;
constexpr uint16_t kComboCid = 0x0020;
constexpr uint16_t kExclusiveLock = 0x0040;
constexpr uint16_t kLockOnly = 0x0080;
constexpr uint16_t kXmaxCommitted = 0x0400;
constexpr uint16_t kXmaxInvalid = 0x0800;
constexpr uint16_t kXmaxIsMulti = 0x1000;
constexpr uint16_t kMoved = 0xC000;
constexpr uint16_t kLockMask = kKeyShareLock | kExclusiveLock;
constexpr uint16_t kXmaxBits = kXmaxCommitted | kXmaxInvalid | kXmaxIsMulti | kLockMask | kLockOnly;
constexpr uint16_t kKeysUpdated = 0x2000;
constexpr uint16_t kHotUpdated = 0x4000;

// A tuple's header, at its place.
class Tuple {
 public:
  explicit Tuple(char* at) : at_(at) {}

  void set_xmin(uint32_t xid) { store(at_, xid); }
  void set_xmax(uint32_t xid) { store(at_ + 4, xid); }
  void set_command_zero() {
    store(at_ + 8, uint32_t{0});
    set_mask(static_cast<uint16_t>(mask() & ~kComboCid));
  }
  void set_ctid(uint32_t block, uint16_t item) {
    store(at_ + 12, static_cast<uint16_t>(block >> 16));
    store(at_ + 14, static_cast<uint16_t>(block));
    store(at_ + 16, item);
  }
  uint16_t mask2() const { return load<uint16_t>(at_ + 18); }
  void set_mask2(uint16_t to) { store(at_ + 18, to); }
  uint16_t mask() const { return load<uint16_t>(at_ + 20); }
  void set_mask(uint16_t to) { store(at_ + 20, to); }
  uint8_t header_size() const { return static_cast<uint8_t>(at_[22]); }
  void set_header_size(uint8_t to) { at_[22] = static_cast<char>(to); }

  void set_hot_updated(bool on) {
    set_mask2(static_cast<uint16_t>(on ? mask2() | kHotUpdated : mask2() & ~kHotUpdated));
  }
  // What a delete, an update and a lock say of xmax.
  void set_xmax_bits(uint8_t bits) {
    uint16_t mask = this->mask() & static_cast<uint16_t>(~(kXmaxBits | kMoved));
    if (bits & 0x01) mask |= kXmaxIsMulti;
    if (bits & 0x02) mask |= kLockOnly;
    if (bits & 0x04) mask |= kExclusiveLock;
    if (bits & 0x08) mask |= kKeyShareLock;
    set_mask(mask);
    set_mask2(static_cast<uint16_t>((mask2() & ~kKeysUpdated) | (bits & 0x10 ? kKeysUpdated : 0)));
  }
  bool only_locked() const {
    return (mask() & kLockOnly) != 0 || (mask() & (kXmaxIsMulti | kLockMask)) == kExclusiveLock;
  }

 private:
  char* const at_;
};

bool xid_precedes(uint32_t a, uint32_t b) {
  if (a < kFirstNormalXid || b < kFirstNormalXid) return a < b;
  return static_cast<int32_t>(a - b) < 0;
}

void set_prunable(PageSpan page, uint32_t xid) {
  const uint32_t before = prune_xid(page);
  if (before == 0 || xid_precedes(xid, before)) set_prune_xid(page, xid);
}

// A tuple as WAL has it, without what is known anyway: masks, size of the header, then what follows
// the header.
struct WalTuple {
  uint16_t mask2 = 0;
  uint16_t mask = 0;
  uint8_t header_size = 0;

  static WalTuple read(Reader& in) {
    WalTuple tuple;
    tuple.mask2 = in.get<uint16_t>();
    tuple.mask = in.get<uint16_t>();
    tuple.header_size = in.get<uint8_t>();
    return tuple;
  }
};

struct NewTuple {
  char bytes[kLargestTuple];
  size_t size = kTupleHeader;

  bool append(Bytes more) {
    if (more.size() > kLargestTuple - size) return false;
    std::memcpy(bytes + size, more.data(), more.size());
    size += more.size();
    return true;
  }
  bool append(std::span<const char> more) { return append(std::as_bytes(more)); }
  void set_header(const WalTuple& from, uint32_t xmin, uint32_t xmax, uint32_t block,
                  uint16_t item) {
    std::memset(bytes, 0, kTupleHeader);
    Tuple tuple(bytes);
    tuple.set_mask2(from.mask2);
    tuple.set_mask(from.mask);
    tuple.set_header_size(from.header_size);
    tuple.set_xmin(xmin);
    tuple.set_command_zero();
    tuple.set_xmax(xmax);
    tuple.set_ctid(block, item);
  }
  std::span<const char> span() const { return {bytes, size}; }
};

void set_visible(PageItems& items, uint8_t flags) {
  if (flags & kVisibleCleared) items.set_flag(PageItems::kAllVisible, false);
  if (flags & kFrozenSet) items.set_flag(PageItems::kAllVisible, true);
}

bool insert(PageSpan page, const WalRecord& record, const BlockRef& block) {
  Reader data(record.main_data());
  const auto item = data.get<uint16_t>();
  const auto flags = data.get<uint8_t>();
  if (((record.info() & kInitPage) != 0) != block.will_init) return false;
  if (block.will_init) init_page(page);
  Reader in(block.data);
  const WalTuple header = WalTuple::read(in);
  NewTuple tuple;
  if (in.left() == 0 || !tuple.append(in.rest())) return false;
  tuple.set_header(header, record.xid(), 0, block.page.block, item);
  PageItems items(page);
  if (!items.add_heap(item, tuple.span())) return false;
  set_visible(items, flags);
  return true;
}

bool multi_insert(PageSpan page, const WalRecord& record, const BlockRef& block) {
  Reader data(record.main_data());
  const auto flags = data.get<uint8_t>();
  data.skip(1);
  const auto count = data.get<uint16_t>();
  const bool init = (record.info() & kInitPage) != 0;
  if (init != block.will_init) return false;
  if (init) init_page(page);
  PageItems items(page);
  Reader in(block.data);
  for (uint32_t i = 0; i < count; i++) {
    const auto item = init ? static_cast<uint16_t>(i + 1) : data.get<uint16_t>();
    if ((block.data.size() - in.left()) % 2 != 0) in.skip(1);
    const auto size = in.get<uint16_t>();
    const WalTuple header = WalTuple::read(in);
    NewTuple tuple;
    if (!tuple.append(in.take(size))) return false;
    tuple.set_header(header, record.xid(), 0, block.page.block, item);
    if (!items.add_heap(item, tuple.span())) return false;
  }
  if (!in.empty()) return false;
  set_visible(items, flags);
  return true;
}

bool remove(PageSpan page, const WalRecord& record, const BlockRef& block) {
  Reader data(record.main_data());
  const auto xmax = data.get<uint32_t>();
  const auto item = data.get<uint16_t>();
  const auto bits = data.get<uint8_t>();
  const auto flags = data.get<uint8_t>();
  constexpr uint8_t kIsSuper = 0x08, kMovedPartition = 0x10;
  PageItems items(page);
  auto found = items.valid() ? items.tuple(item, kTupleHeader) : std::nullopt;
  if (!found) return false;
  Tuple tuple(found->data());
  tuple.set_hot_updated(false);
  tuple.set_xmax_bits(bits);
  if (flags & kIsSuper)
    tuple.set_xmin(0);
  else
    tuple.set_xmax(xmax);
  tuple.set_command_zero();
  set_prunable(page, record.xid());
  if (flags & kVisibleCleared) items.set_flag(PageItems::kAllVisible, false);
  if (flags & kMovedPartition)
    tuple.set_ctid(UINT32_MAX, 0xfffd);
  else
    tuple.set_ctid(block.page.block, item);
  return true;
}

struct Update {
  uint32_t old_xmax = 0;
  uint16_t old_item = 0;
  uint8_t old_bits = 0;
  uint8_t flags = 0;
  uint32_t new_xmax = 0;
  uint16_t new_item = 0;
  uint32_t new_block = 0;
  bool hot = false;

  static constexpr uint8_t kOldVisibleCleared = 0x01, kNewVisibleCleared = 0x02, kPrefix = 0x20,
                           kSuffix = 0x40;
};

std::optional<std::span<char>> update_old(PageSpan page, const WalRecord& record,
                                          const Update& update) {
  PageItems items(page);
  auto found = items.valid() ? items.tuple(update.old_item, kTupleHeader) : std::nullopt;
  if (!found) return std::nullopt;
  Tuple tuple(found->data());
  tuple.set_hot_updated(update.hot);
  tuple.set_xmax_bits(update.old_bits);
  tuple.set_xmax(update.old_xmax);
  tuple.set_command_zero();
  tuple.set_ctid(update.new_block, update.new_item);
  set_prunable(page, record.xid());
  if (update.flags & Update::kOldVisibleCleared) items.set_flag(PageItems::kAllVisible, false);
  return found;
}

// `old`: the tuple before, if it is on the same page.
bool update_new(PageSpan page, const WalRecord& record, const BlockRef& block, const Update& update,
                std::optional<std::span<char>> old) {
  Reader in(block.data);
  const size_t prefix = update.flags & Update::kPrefix ? in.get<uint16_t>() : 0;
  const size_t suffix = update.flags & Update::kSuffix ? in.get<uint16_t>() : 0;
  const WalTuple header = WalTuple::read(in);
  NewTuple tuple;
  if (prefix + suffix > 0) {
    const size_t old_header = old ? Tuple(old->data()).header_size() : 0;
    if (!old || old_header < kTupleHeader || old_header + prefix > old->size() ||
        suffix > old->size())
      return false;
    if (prefix > 0) {
      if (header.header_size < kTupleHeader) return false;
      if (!tuple.append(in.take(header.header_size - kTupleHeader))) return false;
      if (!tuple.append(old->subspan(old_header, prefix))) return false;
    }
  }
  if (!tuple.append(in.rest())) return false;
  if (suffix > 0 && !tuple.append(old->last(suffix))) return false;
  tuple.set_header(header, record.xid(), update.new_xmax, update.new_block, update.new_item);
  PageItems items(page);
  if (!items.add_heap(update.new_item, tuple.span())) return false;
  if (update.flags & Update::kNewVisibleCleared) items.set_flag(PageItems::kAllVisible, false);
  return true;
}

bool update(PageSpan page, const WalRecord& record, const BlockRef& block, bool hot) {
  Reader data(record.main_data());
  Update update;
  update.old_xmax = data.get<uint32_t>();
  update.old_item = data.get<uint16_t>();
  update.old_bits = data.get<uint8_t>();
  update.flags = data.get<uint8_t>();
  update.new_xmax = data.get<uint32_t>();
  update.new_item = data.get<uint16_t>();
  update.hot = hot;
  const BlockRef* new_block = record.block(0);
  const BlockRef* old_block = record.block(1);
  if (!new_block || (old_block && (hot || old_block->page == new_block->page))) return false;
  update.new_block = new_block->page.block;
  if (&block == old_block) return !block.will_init && update_old(page, record, update).has_value();
  if (&block != new_block) return false;
  if (old_block) {
    if (((record.info() & kInitPage) != 0) != block.will_init) return false;
    if (block.will_init) init_page(page);
    return update_new(page, record, block, update, std::nullopt);
  }
  if (block.will_init) return false;
  const auto old = update_old(page, record, update);
  return old && update_new(page, record, block, update, old);
}

bool lock(PageSpan page, const WalRecord& record, const BlockRef& block, bool updated) {
  Reader data(record.main_data());
  const auto xmax = data.get<uint32_t>();
  const auto item = data.get<uint16_t>();
  const auto bits = data.get<uint8_t>();
  PageItems items(page);
  auto found = items.valid() ? items.tuple(item, kTupleHeader) : std::nullopt;
  if (!found) return false;
  Tuple tuple(found->data());
  tuple.set_xmax_bits(bits);
  if (!updated && tuple.only_locked()) {
    tuple.set_hot_updated(false);
    tuple.set_ctid(block.page.block, item);
  }
  tuple.set_xmax(xmax);
  if (!updated) tuple.set_command_zero();
  return true;
}

bool change_in_place(PageSpan page, const WalRecord& record, const BlockRef& block) {
  PageItems items(page);
  const auto item = Reader(record.main_data()).get<uint16_t>();
  auto found = items.valid() ? items.tuple(item, kTupleHeader) : std::nullopt;
  if (!found) return false;
  const size_t header = Tuple(found->data()).header_size();
  if (header < kTupleHeader || header > found->size() ||
      found->size() - header != block.data.size())
    return false;
  std::memcpy(found->data() + header, block.data.data(), block.data.size());
  return true;
}

// Items that are named in a record, or nothing if one is not on the page.
std::optional<std::vector<uint16_t>> items_of(Reader& in, size_t count, const PageItems& items) {
  std::vector<uint16_t> out;
  for (size_t i = 0; i < count; i++) {
    out.push_back(in.get<uint16_t>());
    if (out.back() == 0 || out.back() > items.count()) return std::nullopt;
  }
  return out;
}

bool prune(PageSpan page, const WalRecord& record, const BlockRef& block) {
  Reader data(record.main_data());
  data.skip(4);
  const auto redirected = data.get<uint16_t>();
  const auto dead = data.get<uint16_t>();
  PageItems items(page);
  if (!items.valid()) return false;
  Reader in(block.data);
  const auto redirects = items_of(in, redirected * size_t{2}, items);
  const auto deads = redirects ? items_of(in, dead, items) : std::nullopt;
  const auto unused = deads ? items_of(in, in.left() / 2, items) : std::nullopt;
  if (!unused || !in.empty()) return false;
  for (size_t i = 0; i < redirects->size(); i += 2)
    items.set((*redirects)[i], {(*redirects)[i + 1], PageItems::State::redirect, 0});
  for (uint16_t item : *deads) items.set(item, {0, PageItems::State::dead, 0});
  for (uint16_t item : *unused) items.set(item, {});
  return items.compact();
}

bool vacuum(PageSpan page, const WalRecord& record, const BlockRef& block) {
  const auto count = Reader(record.main_data()).get<uint16_t>();
  PageItems items(page);
  if (!items.valid()) return false;
  Reader in(block.data);
  const auto unused = items_of(in, count, items);
  if (!unused) return false;
  for (uint16_t item : *unused) {
    if (items.item(item).state != PageItems::State::dead || items.item(item).length != 0)
      return false;
    items.set(item, {});
  }
  items.truncate_unused();
  return true;
}

// Block 1 of the record; the map's is ingest's to change. The page keeps its LSN: Postgres sets it
// only where checksums or wal_log_hints are on, and redo processes run without both.
bool set_all_visible(PageSpan page, const BlockRef& block) {
  if (block.id != 1 || block.will_init) return false;
  PageItems(page).set_flag(PageItems::kAllVisible, true);
  return true;
}

bool freeze(PageSpan page, const WalRecord& record, const BlockRef& block) {
  Reader data(record.main_data());
  data.skip(4);
  const auto count = data.get<uint16_t>();
  PageItems items(page);
  if (!items.valid()) return false;
  Reader in(block.data);
  for (uint32_t i = 0; i < count; i++) {
    const auto xmax = in.get<uint32_t>();
    const auto item = in.get<uint16_t>();
    const auto mask2 = in.get<uint16_t>();
    const auto mask = in.get<uint16_t>();
    const auto flags = in.get<uint8_t>();
    in.skip(1);
    auto found = items.tuple(item, kTupleHeader);
    if (!found || (flags & 0x06) != 0) return false;
    Tuple tuple(found->data());
    tuple.set_xmax(xmax);
    tuple.set_mask(mask);
    tuple.set_mask2(mask2);
  }
  return true;
}

}  // namespace

bool apply_heap_natively(PageSpan page, const WalRecord& record, const BlockRef& block) {
  switch (record.info() & heap::kOpMask) {
    case heap::kInsert:
      return insert(page, record, block);
    case heap::kDelete:
      return remove(page, record, block);
    case heap::kUpdate:
      return update(page, record, block, false);
    case heap::kHotUpdate:
      return update(page, record, block, true);
    case heap::kLock:
      return lock(page, record, block, false);
    case heap::kInplace:
      return change_in_place(page, record, block);
    default:
      return false;
  }
}

bool apply_heap2_natively(PageSpan page, const WalRecord& record, const BlockRef& block) {
  switch (record.info() & heap::kOpMask) {
    case heap2::kPrune:
      return prune(page, record, block);
    case heap2::kVacuum:
      return vacuum(page, record, block);
    case heap2::kFreezePage:
      return freeze(page, record, block);
    case heap2::kVisible:
      return set_all_visible(page, block);
    case heap2::kMultiInsert:
      return multi_insert(page, record, block);
    case heap2::kLockUpdated:
      return lock(page, record, block, true);
    default:
      return false;
  }
}

}  // namespace halogen::pageserver
