// native_apply.h: changes to pages that our own code applies: of SLRUs, visibility maps and free
// space maps, which WAL describes without naming their blocks.
//
// A change (the bytes of a ValueKind::native) is one operation byte and its arguments, packed,
// little-endian:
//   vm_init                                     a visibility map page that is all zeros is set up
//   vm_clear      {u16 heap block, u8 bits}...  bits of heap blocks (counted within the page)
//   vm_set        u16 heap block, u8 bits       the page's LSN moves only if bits change
//   vm_truncate   u16 heap block                it and all behind it are cleared
//   fsm_truncate  u16 slot                      it and all behind it are cleared
//   clog          u8 status, u16 index...       status of transactions (counted within the page)
//   commit_ts     i64 time, u16 origin, u16 index...
//   multi_offset  {u16 index, u32 offset}...
//   multi_member  {u16 index, u32 xid, u8 status}...
#pragma once
#include <span>
#include <string>

#include "base/bytes.h"
#include "base/lsn.h"
#include "pageserver/layers/value.h"

namespace halogen::pageserver {

enum class NativeOp : uint8_t {
  vm_init = 1,
  vm_clear = 2,
  vm_set = 3,
  vm_truncate = 4,
  fsm_truncate = 5,
  clog = 16,
  commit_ts = 17,
  multi_offset = 18,
  multi_member = 19,
};

// Applies the change `op`, made by the record ending at `lsn`, to the page `key`. Errc::corrupt if
// it is none, or out of the page's bounds. Any thread.
void apply_native(const Key& key, std::span<char, kPageSize> page, Lsn lsn, Bytes op);

}  // namespace halogen::pageserver
