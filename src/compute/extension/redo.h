// redo.h: the parts of redo mode, in which a stand-alone postgres rebuilds pages and nothing else.
#ifndef HALOGEN_EXTENSION_REDO_H
#define HALOGEN_EXTENSION_REDO_H

#include "pg.h"
#include "protocol/redo_protocol.h"

// redo.c: installs the hook that takes the process over once shared memory exists.
void hg_redo_install(void);

// sandbox.c: from here on the process can compute, read and write what is already open, and end.
void hg_enter_sandbox(void);

// redo_buffers.c: relations without files, and pages put into shared buffers by hand.
void hg_buffers_init(void);
void hg_open_relation(HgRelation rel);  // Reads of it give zeros, writes vanish. Idempotent.
Buffer hg_place_base(HgRelation rel, ForkNumber fork, BlockNumber block, const char* page);
// A page that looks newer than any record, so that redo leaves it alone.
Buffer hg_place_done(HgRelation rel, ForkNumber fork, BlockNumber block);
// The page if it is in a buffer, else NULL. Valid until the next call of any function here.
Page hg_find_page(HgRelation rel, ForkNumber fork, BlockNumber block);
// Makes sure of free buffers for the next record, which takes `count` at most beside the target's.
// Without one the buffer manager would evict a page, the target too, as nothing is pinned between
// records; its bytes would vanish and redo would read zeros in its place.
void hg_reserve_buffers(int count, const BufferTag* target);
void hg_check_nothing_evicted(void);          // After each record.
void hg_wipe_buffers(const BufferTag* keep);  // All of them but `keep`, which may be NULL.

// redo_replay.c: one request at a time.
typedef struct RedoTarget {
  HgRelation rel;
  ForkNumber fork;
  BlockNumber block;
  Buffer base;  // InvalidBuffer unless a base was placed.
} RedoTarget;

void hg_replay_init(void);
// Applies one record (aligned to 8, `size` bytes). NULL, or why it was refused: then nothing has
// been changed. Raises ERROR when Postgres' redo does.
const char* hg_replay_record(const RedoTarget* target, XLogRecPtr end, const char* record,
                             uint32 size);

#endif
