#include "base/error.h"
#include "pageserver/ingest/apply.h"
#include "postgres/page.h"
#include "postgres/pg15.h"

namespace halogen::pageserver {
namespace {

using namespace pg15;

constexpr uint32_t kAllBits = 3;
constexpr uint32_t kAllFrozen = 2;

bool is_vm(const BlockRef& block) { return block.page.tag.fork == static_cast<uint8_t>(Fork::vm); }

// Only these records' images may stand for the page: redo of any other may edit it afterwards.
bool is_bare_image(const WalRecord& record) {
  return record.rmgr() == rm::xlog &&
         (record.info() == xlog::kFpi || record.info() == xlog::kFpiForHint);
}
bool is_visible(const WalRecord& record) {
  return record.rmgr() == rm::heap2 && record.info() == heap2::kVisible;
}

void put_image(Change& change, const BlockRef& block, Lsn end) {
  std::string page(kPageSize, '\0');
  PageSpan span(page.data(), kPageSize);
  restore_image(block.image, span);
  if (!page_is_new(span)) set_page_lsn(span, end);
  change.touch_page(block.page, true);
  change.put_owned(Key::page(block.page), ValueKind::image, std::move(page));
}

// Block 0 of a VISIBLE record is the map's, block 1 the heap's.
void put_visible(Change& change, const WalRecord& record, const BlockRef& block) {
  const BlockRef* heap_block = record.block(1);
  if (!heap_block) throw Error(Errc::corrupt, "bad WAL record: VISIBLE without its heap block");
  Reader data(record.main_data());
  data.skip(4);  // cutoff_xid
  uint8_t bits = data.get<uint8_t>() & kAllBits;
  change.touch_page(block.page, false);
  Writer op = native_op(NativeOp::vm_set);
  op.put(static_cast<uint16_t>(heap_block->page.block % kHeapBlocksPerVmPage)).put(bits);
  change.put_owned(Key::page(block.page), ValueKind::native, op.take());
}

void put_block(Change& change, const WalRecord& record, const BlockRef& block, Lsn end) {
  if (is_bare_image(record)) {
    if (block.image_applies()) return put_image(change, block, end);
    if (record.info() == xlog::kFpiForHint) return;  // A hint, with full_page_writes off.
  }
  if (is_vm(block) && is_visible(record)) {
    if (block.image_applies()) return put_image(change, block, end);
    return put_visible(change, record, block);
  }
  bool makes_page = block.makes_page();
  change.touch_page(block.page, makes_page);
  change.put(Key::page(block.page), makes_page ? ValueKind::record_init : ValueKind::record,
             record.bytes());
}

void clear_visible(Change& change, const RelTag& heap, uint32_t heap_block, uint32_t bits) {
  PageKey map{heap.with_fork(Fork::vm), heap_block / kHeapBlocksPerVmPage};
  if (change.head().relation_pages(map.tag).value_or(0) <= map.block) return;  // Nothing was set.
  Writer op = native_op(NativeOp::vm_clear);
  op.put(static_cast<uint16_t>(heap_block % kHeapBlocksPerVmPage)).put(static_cast<uint8_t>(bits));
  change.put_owned(Key::page(map), ValueKind::native, op.take());
}

struct VisibleFlags {
  size_t offset;  // Of the flags byte in the record's main data.
  uint32_t bits;  // What it clears.
};

std::optional<VisibleFlags> visible_flags(const WalRecord& record) {
  uint8_t op = record.info() & heap::kOpMask;
  if (record.rmgr() == rm::heap2) {
    if (op == heap2::kMultiInsert) return VisibleFlags{0, kAllBits};
    if (op == heap2::kLockUpdated) return VisibleFlags{7, kAllFrozen};
    return std::nullopt;
  }
  switch (op) {
    case heap::kInsert:
      return VisibleFlags{2, kAllBits};
    case heap::kDelete:
    case heap::kUpdate:
    case heap::kHotUpdate:
      return VisibleFlags{7, kAllBits};
    case heap::kLock:
      return VisibleFlags{7, kAllFrozen};
    default:
      return std::nullopt;
  }
}

}  // namespace

void apply_blocks(Change& change, const WalRecord& record, Lsn end) {
  for (const BlockRef& block : record.blocks()) put_block(change, record, block, end);
}

void apply_heap(Change& change, const WalRecord& record) {
  std::optional<VisibleFlags> where = visible_flags(record);
  if (!where) return;
  Reader data(record.main_data());
  data.skip(where->offset);
  uint8_t flags = data.get<uint8_t>();
  if (!(flags & 3)) return;
  const BlockRef* block = record.block(0);
  if (!block) throw Error(Errc::corrupt, "bad WAL record: a heap change without its block");
  uint8_t op = record.info() & heap::kOpMask;
  bool update = record.rmgr() == rm::heap && (op == heap::kUpdate || op == heap::kHotUpdate);
  // An update's flags tell of the old tuple's page first, which is block 1 if it is another.
  const BlockRef* old_block = update && record.block(1) ? record.block(1) : block;
  if (flags & 1) clear_visible(change, block->page.tag, old_block->page.block, where->bits);
  if (update && (flags & 2)) clear_visible(change, block->page.tag, block->page.block, where->bits);
}

void apply_record(Change& change, const WalRecord& record, Lsn end) {
  change.advance_xid(record.xid());
  if (!record.blocks().empty()) apply_blocks(change, record, end);
  switch (record.rmgr()) {
    case rm::xlog:
      return apply_xlog(change, record);
    case rm::xact:
      return apply_xact(change, record);
    case rm::smgr:
      return apply_smgr(change, record);
    case rm::clog:
      return apply_clog(change, record);
    case rm::dbase:
      return apply_dbase(change, record);
    case rm::tblspc:
      return apply_tblspc(change, record);
    case rm::multixact:
      return apply_multixact(change, record);
    case rm::relmap:
      return apply_relmap(change, record);
    case rm::standby:
      return apply_standby(change, record);
    case rm::heap2:
    case rm::heap:
      return apply_heap(change, record);
    case rm::commit_ts:
      return apply_commit_ts(change, record);
    case rm::replorigin:
      return apply_origin(change, record);
    default:
      return;  // Only blocks.
  }
}

}  // namespace halogen::pageserver
