#include <algorithm>

#include "base/error.h"
#include "pageserver/redo/native_redo.h"
#include "postgres/pg15.h"

namespace halogen::pageserver {

namespace {

using namespace pg15;

// The only reference to the page; null if there is none, or two.
const BlockRef* block_of(const WalRecord& record, const PageKey& key) {
  const BlockRef* found = nullptr;
  for (const BlockRef& block : record.blocks()) {
    if (block.page != key) continue;
    if (found) return nullptr;
    found = &block;
  }
  return found;
}

bool is_known(const WalRecord& record) {
  return record.rmgr() == rm::heap || record.rmgr() == rm::heap2 || record.rmgr() == rm::btree ||
         record.rmgr() == rm::seq;
}

bool apply_to_block(PageSpan page, const WalRecord& record, const BlockRef& block) {
  switch (record.rmgr()) {
    case rm::heap:
      return apply_heap_natively(page, record, block);
    case rm::heap2:
      return apply_heap2_natively(page, record, block);
    case rm::btree:
      return apply_btree_natively(page, record, block);
    case rm::seq:
      return apply_sequence_natively(page, record, block);
    default:
      return false;
  }
}

// Of records that do nothing more to a page whose image they bring.
bool is_image_only(const WalRecord& record) {
  if (record.rmgr() == rm::heap) return true;
  if (record.rmgr() == rm::btree) return true;
  return record.rmgr() == rm::heap2 && record.info() != heap2::kVisible;
}

}  // namespace

bool apply_natively(const PageKey& key, bool has_base, PageSpan page, Lsn end,
                    const WalRecord& record) {
  if (key.tag.kind != PageKind::relation || key.tag.fork != static_cast<uint8_t>(Fork::main))
    return false;
  if (!is_known(record)) return false;
  const BlockRef* block = block_of(record, key);
  if (!block) return false;
  if (block->image_applies()) {
    if (!is_image_only(record) || block->will_init) return false;
    restore_image(block->image, page);
    if (page_is_new(page)) return false;
    set_page_lsn(page, end);
    return true;
  }
  if (block->will_init) {
    std::fill(page.begin(), page.end(), '\0');
  } else if (!has_base || page_is_new(page) || end <= page_lsn(page)) {
    return false;
  }
  if (!apply_to_block(page, record, *block)) return false;
  const bool keeps_lsn = record.rmgr() == rm::heap2 && record.info() == heap2::kVisible;
  if (!keeps_lsn) set_page_lsn(page, end);
  return true;
}

}  // namespace halogen::pageserver
