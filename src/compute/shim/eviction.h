// eviction.h: bounds what a running server keeps of its tables and indexes.
//
// Two kinds of blocks can be given up, each under its chunk's lock, which writers hold as well:
//  - clean ones, which Postgres has not written since boot: storage has them as they are here;
//  - written ones, of which storage has at `read_lsn` the version that is here, which is found out
//    by reading it there (same_page.h). So what Postgres writes without WAL stays (unlogged tables,
//    an index while it is built), and so do a relation's first block, where a sequence counts
//    without WAL, and what is newer than read_lsn, which the agent moves on.
// The present bit is cleared, `evictions` is counted up, and only then a hole is punched into the
// file. So who reads a block looks at `evictions` before it looks whether the block is present, and
// again when it has read: if they differ it reads anew.
//
// A block that is absent may be read at any later read_lsn: if it has a version that is newer than
// what was given up, that is in a buffer, from which Postgres takes it. But it must not be
// installed as of an older one: see Lock::given_up_at.
//
// Clean blocks may take what written ones leave, and at least half of the limit.
#pragma once
#include "compute/shim/pending.h"

namespace halogen::shim {

// Evicts clean blocks, as many as there are over the limit and a little more, but none of this
// chunk. Requires that no chunk's lock is held, as do all here.
void keep_cache_limit(uint32_t index, uint32_t chunk);
// The disk is full: gives some room back.
void evict_for_room(uint32_t index, uint32_t chunk);

// Of written blocks, those whose version is that of `pages`, which storage has sent.
void give_up_same(const Pending& request, const ChunkMask& blocks, const char* pages);
// Of those past the segment's blocks at boot, what came from storage. `fd` is open on it.
void give_up_fetched(uint32_t index, uint32_t chunk, int fd);
// Opens the segment by its name, which is its own under a chunk's lock (see keep_local()); -1 if it
// is gone.
int open_entry(const Entry& entry);
// The first `n` bytes of the chunk's i-th block; false if they are not there.
bool read_block(int fd, uint32_t chunk, uint32_t i, char* to, size_t n);
// Of an older version there is none in WAL: it is a mark of an index build.
constexpr uint64_t kFirstLsn = 16 << 20;
// None of it is given up any more.
void pin_segment(uint32_t index);
// Counts the entry's written blocks anew, by what its file takes, if they can be given up. `fd` is
// open on it.
void recount_written(uint32_t index, int fd);

}  // namespace halogen::shim
