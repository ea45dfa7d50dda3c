// redo_buffers.c: shared buffers as the only place where pages live.
//
// Redo reads and writes pages through the buffer manager, which fills and empties buffers through
// md.c. We give md.c relations whose every segment is already open, and is /dev/zero: no file is
// ever looked up, a stray read gives zeros, a stray write vanishes. The page to rebuild is put into
// its buffer by hand.
//
// The process is alone, so buffer headers are changed without the locks a server would need.
#include "redo.h"

// Enough segments for the largest fork.
#define SEGMENTS ((int)(MaxBlockNumber / RELSEG_SIZE) + 1)
// smgr's table would grow with every relation ever seen, so it is emptied now and then, but only
// between requests.
#define RECYCLE_RELATIONS 256
#define MAX_RELATIONS 1024

static HgOpenSegment* zero_segments;
static HgRelation relations[MAX_RELATIONS];
static int relation_count = 0;
static int taken = 1;  // Buffers with a page, at most. One is the target's.

void hg_buffers_init(void) {
  File zero = PathNameOpenFile("/dev/zero", O_RDWR | PG_BINARY);

  if (zero < 0) elog(FATAL, "halogen redo: /dev/zero: %m");
  zero_segments = MemoryContextAlloc(TopMemoryContext, sizeof(HgOpenSegment) * SEGMENTS);
  for (int i = 0; i < SEGMENTS; i++)
    zero_segments[i] = (HgOpenSegment){.file = zero, .segment = (BlockNumber)i};
}

static void set_all_forks(SMgrRelation smgr, int segments) {
  for (int fork = 0; fork <= MAX_FORKNUM; fork++)
    hg_set_open_segments(smgr, (ForkNumber)fork, zero_segments, segments);
}

// smgrclose must not see our segments, or it would close /dev/zero and free the array.
static void close_relations(void) {
  for (int i = 0; i < relation_count; i++) {
    SMgrRelation smgr = hg_smgropen(relations[i]);

    set_all_forks(smgr, 0);
    smgrclose(smgr);
  }
  relation_count = 0;
}

void hg_open_relation(HgRelation rel) {
  SMgrRelation smgr = hg_smgropen(rel);

  if (smgr->md_num_open_segs[MAIN_FORKNUM] == SEGMENTS) return;
  if (relation_count == MAX_RELATIONS) elog(ERROR, "one page's records name too many relations");
  set_all_forks(smgr, SEGMENTS);
  relations[relation_count++] = rel;
}

Buffer hg_place_base(HgRelation rel, ForkNumber fork, BlockNumber block, const char* page) {
  Buffer buffer = hg_read_buffer(rel, fork, block, RBM_ZERO_AND_LOCK);

  memcpy(BufferGetPage(buffer), page, BLCKSZ);
  UnlockReleaseBuffer(buffer);
  return buffer;
}

Buffer hg_place_done(HgRelation rel, ForkNumber fork, BlockNumber block) {
  Buffer buffer = hg_read_buffer(rel, fork, block, RBM_ZERO_AND_LOCK);
  Page page = BufferGetPage(buffer);

  if (PageIsNew(page)) PageInit(page, BLCKSZ, 0);
  PageSetLSN(page, PG_UINT64_MAX);
  UnlockReleaseBuffer(buffer);
  return buffer;
}

Page hg_find_page(HgRelation rel, ForkNumber fork, BlockNumber block) {
  BufferTag tag;
  int id;

  hg_buffer_tag(&tag, rel, fork, block);
  id = BufTableLookup(&tag, BufTableHashCode(&tag));
  return id < 0 ? NULL : BufferGetPage(id + 1);
}

void hg_reserve_buffers(int count, const BufferTag* target) {
  if (taken + count >= NBuffers) hg_wipe_buffers(target);
  taken += count;
}

// Pages are evicted only when no buffer is free, and then none ever is until the next wipe.
void hg_check_nothing_evicted(void) {
  if (!hg_has_free_buffer()) elog(ERROR, "halogen redo: a record took more buffers than it may");
}

void hg_wipe_buffers(const BufferTag* keep) {
  for (int i = 0; i < NBuffers; i++) {
    BufferDesc* desc = GetBufferDescriptor(i);
    uint32 state = pg_atomic_read_u32(&desc->state);
    BufferTag tag = desc->tag;

    if (!(state & BM_TAG_VALID) || (keep != NULL && BUFFERTAGS_EQUAL(tag, *keep))) continue;
    if (BUF_STATE_GET_REFCOUNT(state) != 0) elog(ERROR, "a buffer is still pinned after redo");
    CLEAR_BUFFERTAG(desc->tag);
    pg_atomic_write_u32(&desc->state, 0);
    BufTableDelete(&tag, BufTableHashCode(&tag));
    StrategyFreeBuffer(desc);
  }
  taken = 1;
  if (keep == NULL && relation_count >= RECYCLE_RELATIONS) close_relations();
}
