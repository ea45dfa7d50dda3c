// eviction.h: bounds what a running server keeps of storage's pages.
//
// A block that is present and was not written since boot is the same in storage. It is evicted
// under its chunk's lock: its present bit is cleared, `evictions` is counted up, and only then a
// hole is punched into the file. So who reads a block looks at `evictions` before it looks whether
// the block is present, and again when it has read: if they differ it reads anew. Who writes sets
// the written bit before it looks whether the block is present, and the evictor looks at the
// written bit again after it has cleared the present bit: one of the two sees the other, and either
// the block stays, or the writer comes for the lock.
#pragma once
#include "compute/shim/shared_map.h"

namespace halogen::shim {

// Evicts as much as there is over the limit, and a little more, but nothing of this chunk. Requires
// that no chunk's lock is held, as do all here.
void keep_cache_limit(uint32_t index, uint32_t chunk);
// The disk is full: gives some room back.
void evict_for_room(uint32_t index, uint32_t chunk);

}  // namespace halogen::shim
