// redo_replay.c: one WAL record applied to one page, by Postgres' own redo routines.
//
// Crash safety demands that redo treats each page of a record by itself: any of the others may
// already be newer than the record. We use just that: every page but the target is shown as newer.
#include "redo.h"

#include "access/heapam_xlog.h"
#include "catalog/pg_control.h"
#include "port/pg_crc32c.h"

static XLogReaderState* reader;
static DecodedXLogRecord* decoded;
static Size decoded_size = 0;

void hg_replay_init(void) {
  reader = XLogReaderAllocate(
      wal_segment_size, NULL,
      XL_ROUTINE(.page_read = NULL, .segment_open = NULL, .segment_close = NULL), NULL);
  if (reader == NULL) elog(FATAL, "halogen redo: out of memory");
}

static bool is_full_page_image(const XLogRecord* record) {
  uint8 op = record->xl_info & ~XLR_INFO_MASK;

  return record->xl_rmid == RM_XLOG_ID && (op == XLOG_FPI || op == XLOG_FPI_FOR_HINT);
}

// Only what changes relation pages may run; the rest would reach for files.
static bool may_replay(const XLogRecord* record) {
  switch (record->xl_rmid) {
    case RM_XLOG_ID:
      return is_full_page_image(record);
    case RM_HEAP2_ID:
      return (record->xl_info & XLOG_HEAP_OPMASK) != XLOG_HEAP2_REWRITE;
    case RM_HEAP_ID:
    case RM_BTREE_ID:
    case RM_HASH_ID:
    case RM_GIN_ID:
    case RM_GIST_ID:
    case RM_SEQ_ID:
    case RM_SPGIST_ID:
    case RM_BRIN_ID:
    case RM_GENERIC_ID:
      return true;
    default:
      return RmgrIdIsCustom(record->xl_rmid) && hg_rmgr_exists(record->xl_rmid);
  }
}

static bool crc_is_right(const XLogRecord* record) {
  pg_crc32c crc;

  INIT_CRC32C(crc);
  COMP_CRC32C(crc, (const char*)record + SizeOfXLogRecord, record->xl_tot_len - SizeOfXLogRecord);
  COMP_CRC32C(crc, (const char*)record, offsetof(XLogRecord, xl_crc));
  FIN_CRC32C(crc);
  return EQ_CRC32C(crc, record->xl_crc);
}

static const char* check_record(const char* bytes, uint32 size) {
  const XLogRecord* record = (const XLogRecord*)bytes;

  if (size < SizeOfXLogRecord || record->xl_tot_len != size) return "wrong record length";
  if (!crc_is_right(record)) return "wrong record checksum";
  if (!may_replay(record)) return "a record of this kind changes no relation page";
  return NULL;
}

static const char* decode(XLogRecPtr end, const XLogRecord* record) {
  Size needed = DecodeXLogRecordRequiredSpace(record->xl_tot_len);
  char* why = NULL;

  if (needed > decoded_size) {
    if (decoded != NULL) pfree(decoded);
    decoded = MemoryContextAllocHuge(TopMemoryContext, needed + needed / 2);
    decoded_size = needed + needed / 2;
  }
  XLogBeginRead(reader, end);
  if (!DecodeXLogRecord(reader, decoded, (XLogRecord*)record, end, &why)) return why;
  decoded->next_lsn = end;
  reader->record = decoded;
  // Redo stamps pages with the record's end.
  reader->ReadRecPtr = reader->EndRecPtr = end;
  return NULL;
}

static bool is_target(const RedoTarget* target, const DecodedBkpBlock* block) {
  return block->blkno == target->block && block->forknum == target->fork &&
         hg_relation_equal(hg_block_relation(block), target->rel);
}

// Heap records clear bits of a visibility map page that they do not name.
static bool implies_target(const RedoTarget* target, const DecodedBkpBlock* block) {
  RmgrId rmid = decoded->header.xl_rmid;

  return target->fork == VISIBILITYMAP_FORKNUM && block->forknum == MAIN_FORKNUM &&
         (rmid == RM_HEAP_ID || rmid == RM_HEAP2_ID) &&
         hg_relation_equal(hg_block_relation(block), target->rel);
}

static const char* check_blocks(const RedoTarget* target) {
  bool touches = false;

  for (int i = 0; i <= decoded->max_block_id; i++) {
    const DecodedBkpBlock* block = &decoded->blocks[i];

    if (!block->in_use) continue;
    if ((int)block->forknum < 0 || block->forknum > MAX_FORKNUM || block->blkno > MaxBlockNumber)
      return "a block reference names no block";
    if (is_target(target, block) || implies_target(target, block)) touches = true;
  }
  return touches ? NULL : "the record does not touch the page";
}

// An FPI record may carry 32 images; only the target's has to be restored.
static void keep_only_target_image(const RedoTarget* target) {
  for (int i = 0; i <= decoded->max_block_id; i++) {
    if (!decoded->blocks[i].in_use || !is_target(target, &decoded->blocks[i])) continue;
    if (i != 0) decoded->blocks[0] = decoded->blocks[i];
    decoded->max_block_id = 0;
    return;
  }
}

// A heap record goes to pages that it does not name: the visibility map's of two blocks, and the
// free space map's of one.
#define MAP_PAGES 3

static void reserve_buffers(const RedoTarget* target) {
  RmgrId rmid = decoded->header.xl_rmid;
  int others = rmid == RM_HEAP_ID || rmid == RM_HEAP2_ID ? MAP_PAGES : 0;
  BufferTag tag;

  for (int i = 0; i <= decoded->max_block_id; i++)
    if (decoded->blocks[i].in_use && !is_target(target, &decoded->blocks[i])) others++;
  hg_buffer_tag(&tag, target->rel, target->fork, target->block);
  hg_reserve_buffers(others, &tag);
}

static void place_blocks(const RedoTarget* target) {
  for (int i = 0; i <= decoded->max_block_id; i++) {
    DecodedBkpBlock* block = &decoded->blocks[i];

    if (!block->in_use) continue;
    block->prefetch_buffer = InvalidBuffer;
    if (is_target(target, block)) {
      block->prefetch_buffer = target->base;
      continue;
    }
    hg_open_relation(hg_block_relation(block));
    // Pages that the record makes anew are written without being looked at.
    if (block->apply_image || (block->flags & BKPBLOCK_WILL_INIT) != 0) continue;
    block->prefetch_buffer = hg_place_done(hg_block_relation(block), block->forknum, block->blkno);
  }
}

const char* hg_replay_record(const RedoTarget* target, XLogRecPtr end, const char* record,
                             uint32 size) {
  const char* why = check_record(record, size);

  if (why == NULL) why = decode(end, (const XLogRecord*)record);
  if (why == NULL) why = check_blocks(target);
  if (why != NULL) return why;

  if (is_full_page_image((const XLogRecord*)record)) keep_only_target_image(target);
  reserve_buffers(target);
  place_blocks(target);
  hg_rmgr(decoded->header.xl_rmid)->rm_redo(reader);
  hg_check_nothing_evicted();
  return NULL;
}
