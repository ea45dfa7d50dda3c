// Records of btrees that add one item, and of sequences.
#include "pageserver/redo/native_redo.h"
#include "pageserver/redo/page_items.h"
#include "postgres/pg15.h"

namespace halogen::pageserver {

namespace {

using namespace pg15;

constexpr size_t kBtreeSpecial = 16;  // BTPageOpaqueData.
constexpr uint16_t kIncompleteSplit = 0x80;
constexpr uint32_t kSequenceMagic = 0x1717;

std::span<const char> chars(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Of the child whose parent has got its downlink.
bool clear_incomplete_split(PageSpan page) {
  if (!PageItems(page).valid() || load<uint16_t>(page.data() + 16) != kPageSize - kBtreeSpecial)
    return false;
  char* flags = page.data() + kPageSize - kBtreeSpecial + 12;
  const auto before = load<uint16_t>(flags);
  if ((before & kIncompleteSplit) == 0) return false;
  store(flags, static_cast<uint16_t>(before & ~kIncompleteSplit));
  return true;
}

}  // namespace

bool apply_btree_natively(PageSpan page, const WalRecord& record, const BlockRef& block) {
  const bool leaf = record.info() == btree::kInsertLeaf;
  if ((!leaf && record.info() != btree::kInsertUpper) || block.will_init) return false;
  if (block.id == 1 && !leaf) return clear_incomplete_split(page);
  if (block.id != 0) return false;
  const auto item = Reader(record.main_data()).get<uint16_t>();
  return !block.data.empty() && PageItems(page).add_between(item, chars(block.data));
}

bool apply_sequence_natively(PageSpan page, const WalRecord& record, const BlockRef& block) {
  constexpr size_t kNode = 12;  // xl_seq_rec.
  if (record.info() != seq::kLog || !block.will_init || block.id != 0) return false;
  Reader data(record.main_data());
  data.skip(kNode);
  init_page(page);
  constexpr size_t kSpecial = kPageSize - 8;
  store(page.data() + 14, static_cast<uint16_t>(kSpecial));
  store(page.data() + 16, static_cast<uint16_t>(kSpecial));
  store(page.data() + kSpecial, kSequenceMagic);
  return PageItems(page).add_between(1, chars(data.rest()));
}

}  // namespace halogen::pageserver
