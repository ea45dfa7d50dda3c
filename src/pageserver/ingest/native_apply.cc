#include "pageserver/ingest/native_apply.h"

#include <algorithm>

#include "base/error.h"
#include "postgres/page.h"
#include "postgres/pg15.h"

namespace halogen::pageserver {
namespace {

using namespace pg15;

[[noreturn]] void fail(std::string_view what) {
  throw Error(Errc::corrupt, "bad native page change: {}", what);
}

uint32_t take_index(Reader& in, uint32_t limit) {
  uint32_t index = in.get<uint16_t>();
  if (index >= limit) fail("index beyond the page");
  return index;
}

char* vm_byte(PageSpan page, uint32_t heap_block) {
  return page.data() + kPageHeaderSize + heap_block / 4;
}
uint32_t vm_shift(uint32_t heap_block) { return heap_block % 4 * 2; }

void vm_clear(PageSpan page, Reader& in) {
  while (!in.empty()) {
    uint32_t heap_block = take_index(in, kHeapBlocksPerVmPage);
    uint32_t bits = in.get<uint8_t>() & 3;
    *vm_byte(page, heap_block) &= static_cast<char>(~(bits << vm_shift(heap_block)));
  }
}

void vm_set(PageSpan page, Lsn lsn, Reader& in) {
  uint32_t heap_block = take_index(in, kHeapBlocksPerVmPage);
  uint32_t bits = in.get<uint8_t>() & 3;
  char* byte = vm_byte(page, heap_block);
  uint32_t now = static_cast<uint8_t>(*byte) >> vm_shift(heap_block) & 3;
  if (now == bits) return;
  *byte |= static_cast<char>(bits << vm_shift(heap_block));
  set_page_lsn(page, lsn);
}

void vm_truncate(PageSpan page, Reader& in) {
  uint32_t heap_block = take_index(in, kHeapBlocksPerVmPage);
  char* byte = vm_byte(page, heap_block);
  *byte &= static_cast<char>((1 << vm_shift(heap_block)) - 1);
  std::fill(byte + 1, page.data() + kPageSize, '\0');
}

// Clears the leaves from `slot` on, then each inner node becomes the larger of its children again.
void fsm_truncate(PageSpan page, Reader& in) {
  uint32_t slot = take_index(in, kFsmSlotsPerPage);
  if (page_is_new(page)) return;
  auto* nodes = reinterpret_cast<uint8_t*>(page.data()) + kFsmTreeOffset;
  auto node = [&](uint32_t n) { return n < kFsmNodes ? nodes[n] : uint8_t{0}; };
  bool changed = false;
  for (uint32_t n = kFsmInnerNodes + slot; n < kFsmNodes; ++n) {
    changed |= nodes[n] != 0;
    nodes[n] = 0;
  }
  if (!changed) return;
  for (uint32_t n = kFsmInnerNodes; n-- > 0;) nodes[n] = std::max(node(2 * n + 1), node(2 * n + 2));
}

void clog(PageSpan page, Reader& in) {
  uint32_t status = in.get<uint8_t>();
  if (status > 3) fail("unknown transaction status");
  while (!in.empty()) {
    uint32_t index = take_index(in, kClogXactsPerPage);
    uint32_t shift = index % 4 * 2;
    char& byte = page[index / 4];
    byte = static_cast<char>((static_cast<uint8_t>(byte) & ~(3u << shift)) | status << shift);
  }
}

void commit_ts(PageSpan page, Reader& in) {
  auto time = in.get<int64_t>();
  auto origin = in.get<uint16_t>();
  while (!in.empty()) {
    uint32_t index = take_index(in, kCommitTsPerPage);
    store(page.data() + index * kCommitTsEntrySize, time);
    store(page.data() + index * kCommitTsEntrySize + 8, origin);
  }
}

void multi_offset(PageSpan page, Reader& in) {
  while (!in.empty()) {
    uint32_t index = take_index(in, kMultiOffsetsPerPage);
    store(page.data() + index * 4, in.get<uint32_t>());
  }
}

// Members lie in groups of four: their status bytes, then their transaction ids.
void multi_member(PageSpan page, Reader& in) {
  while (!in.empty()) {
    uint32_t index = take_index(in, kMultiMembersPerPage);
    auto xid = in.get<uint32_t>();
    auto status = in.get<uint8_t>();
    char* group = page.data() + index / kMultiMembersPerGroup * kMultiMemberGroupSize;
    uint32_t member = index % kMultiMembersPerGroup;
    group[member] = static_cast<char>(status);
    store(group + kMultiMembersPerGroup + member * 4, xid);
  }
}

void apply_to_relation(const Key& key, PageSpan page, Lsn lsn, NativeOp op, Reader& in) {
  if (op == NativeOp::fsm_truncate && key.fork == static_cast<uint8_t>(Fork::fsm))
    return fsm_truncate(page, in);
  if (key.fork != static_cast<uint8_t>(Fork::vm)) fail("not for this fork");
  if (page_is_new(page)) init_page(page);
  switch (op) {
    case NativeOp::vm_init:
      return;
    case NativeOp::vm_clear:
      return vm_clear(page, in);
    case NativeOp::vm_set:
      return vm_set(page, lsn, in);
    case NativeOp::vm_truncate:
      return vm_truncate(page, in);
    default:
      fail("unknown operation");
  }
}

void apply_to_slru(const Key& key, PageSpan page, NativeOp op, Reader& in) {
  auto is = [&](NativeOp wanted, Slru slru) {
    return op == wanted && key.fork == static_cast<uint8_t>(slru);
  };
  if (is(NativeOp::clog, Slru::xact)) return clog(page, in);
  if (is(NativeOp::commit_ts, Slru::commit_ts)) return commit_ts(page, in);
  if (is(NativeOp::multi_offset, Slru::multixact_offsets)) return multi_offset(page, in);
  if (is(NativeOp::multi_member, Slru::multixact_members)) return multi_member(page, in);
  fail("unknown operation");
}

}  // namespace

void apply_native(const Key& key, std::span<char, kPageSize> page, Lsn lsn, Bytes op) {
  Reader in(op);
  auto code = static_cast<NativeOp>(in.get<uint8_t>());
  if (key.kind == KeyKind::relation_page)
    apply_to_relation(key, page, lsn, code, in);
  else if (key.kind == KeyKind::slru_page)
    apply_to_slru(key, page, code, in);
  else
    fail("not a page");
}

}  // namespace halogen::pageserver
