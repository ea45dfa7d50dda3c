// suspend.c: WAL-logs what WAL would miss, just before a clean stop.
//
// The next boot builds its data directory from WAL alone. Three things are only in the files:
//  - sequences: nextval logs 32 values ahead, so WAL knows a value that was not reached yet;
//  - free space maps: never logged;
//  - pages that a relation was extended by and that nobody filled yet: the free space map may name
//    them, and reading past the end of a relation is an error.
// Of each we log full-page images, for pages that were written since this compute booted.
#include "suspend.h"

#include <dlfcn.h>

#include "access/htup_details.h"
#include "access/xloginsert.h"
#include "catalog/storage.h"
#include "commands/sequence.h"
#include "postmaster/bgwriter.h"
#include "utils/guc.h"
#include "utils/pg_lsn.h"

PGDLLEXPORT PG_FUNCTION_INFO_V1(halogen_prepare_suspend);

// From commands/sequence.c, which keeps it to itself.
#define SEQUENCE_MAGIC 0x1717

// The shim's word on a block of a segment file: written since boot, or not in storage at boot.
typedef bool (*BlockWritten)(const char* path, uint32 block_in_file);

typedef struct Suspend {
  BlockWritten block_written;  // NULL without the shim: then every page is taken for written.
  XLogRecPtr last;             // End of the last record that was logged.
} Suspend;

static bool written(const Suspend* suspend, const RelationFile* file, BlockNumber block) {
  return suspend->block_written == NULL || suspend->block_written(file->path, block % RELSEG_SIZE);
}

static bool is_sequence(Page page) {
  return !PageIsNew(page) && PageGetSpecialSize(page) == MAXALIGN(sizeof(uint32)) &&
         *(uint32*)PageGetSpecialPointer(page) == SEQUENCE_MAGIC &&
         PageGetMaxOffsetNumber(page) == FirstOffsetNumber;
}

// log_cnt says how many values may still be taken without a record. It must not outlive the image:
// if this server goes on after all and crashes, replaying the image would give values twice.
static bool set_exact_sequence(Page page) {
  HeapTupleHeader tuple =
      (HeapTupleHeader)PageGetItem(page, PageGetItemId(page, FirstOffsetNumber));
  Form_pg_sequence_data data = (Form_pg_sequence_data)((char*)tuple + tuple->t_hoff);

  if (data->log_cnt == 0) return false;  // WAL has this value already.
  data->log_cnt = 0;
  return true;
}

static void log_image(Suspend* suspend, Buffer buffer) {
  MarkBufferDirty(buffer);
  suspend->last = log_newpage_buffer(buffer, false);
}

static Buffer read_locked(const RelationFile* file, BlockNumber block) {
  Buffer buffer = hg_read_buffer(file->rel, file->fork, block, RBM_NORMAL);

  LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
  return buffer;
}

static void log_sequence(Suspend* suspend, const RelationFile* file) {
  Buffer buffer = read_locked(file, 0);

  if (is_sequence(BufferGetPage(buffer))) {
    START_CRIT_SECTION();
    if (set_exact_sequence(BufferGetPage(buffer))) log_image(suspend, buffer);
    END_CRIT_SECTION();
  }
  UnlockReleaseBuffer(buffer);
}

// An image of zeros at the last block tells storage how long the relation is.
static void log_end(Suspend* suspend, const RelationFile* file, BlockNumber last) {
  Buffer buffer = read_locked(file, last);

  if (PageIsNew(BufferGetPage(buffer))) {
    START_CRIT_SECTION();
    log_image(suspend, buffer);
    END_CRIT_SECTION();
  }
  UnlockReleaseBuffer(buffer);
}

static void log_free_space(Suspend* suspend, const RelationFile* file, BlockNumber blocks) {
  BlockNumber first = file->segment * (BlockNumber)RELSEG_SIZE;
  BlockNumber end = Min(blocks, first + RELSEG_SIZE);

  for (BlockNumber block = first; block < end; block++) {
    Buffer buffer;

    CHECK_FOR_INTERRUPTS();
    if (!written(suspend, file, block)) continue;
    buffer = read_locked(file, block);
    // What was never filled reads as zeros anyway.
    if (!PageIsNew(BufferGetPage(buffer))) {
      START_CRIT_SECTION();
      log_image(suspend, buffer);
      END_CRIT_SECTION();
    }
    UnlockReleaseBuffer(buffer);
  }
}

static void visit(const RelationFile* file, void* context) {
  Suspend* suspend = context;
  SMgrRelation smgr = hg_smgropen(file->rel);
  BlockNumber blocks;

  if (file->fork != MAIN_FORKNUM && file->fork != FSM_FORKNUM) return;
  // Unlogged relations start empty; a file that waits for its unlink has no blocks.
  if (smgrexists(smgr, INIT_FORKNUM) || !smgrexists(smgr, file->fork)) return;
  blocks = smgrnblocks(smgr, file->fork);
  if (blocks == 0) return;

  if (file->fork == FSM_FORKNUM)
    log_free_space(suspend, file, blocks);
  else if (file->segment == (blocks - 1) / RELSEG_SIZE && written(suspend, file, blocks - 1)) {
    if (blocks == 1) log_sequence(suspend, file);
    log_end(suspend, file, blocks - 1);
  }
}

static bool set_compression(const char* method) {
  return set_config_option("wal_compression", method, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE,
                           true, DEBUG1, false) > 0;
}

// Free space maps are mostly zeros, and waking waits for storage to have read all this. Lasts until
// AtEOXact_GUC is given what is returned.
static int compress_images(void) {
  int level = NewGUCNestLevel();

  if (!set_compression("lz4")) set_compression("pglz");
  return level;
}

// halogen.prepare_suspend() returns pg_lsn: all that was logged is flushed up to there. May be
// called again. Clients must be parked: a relation dropped meanwhile may fail it, and what is
// written later is not covered.
Datum halogen_prepare_suspend(PG_FUNCTION_ARGS) {
  Suspend suspend = {NULL, InvalidXLogRecPtr};
  int settings;

  if (!superuser())
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("must be superuser")));
  PreventCommandDuringRecovery("halogen.prepare_suspend()");
  suspend.block_written = (BlockWritten)dlsym(RTLD_DEFAULT, "halogen_shim_block_written");

  // Puts every dirty page into its file, where the scan and the shim can see it.
  RequestCheckpoint(CHECKPOINT_IMMEDIATE | CHECKPOINT_FORCE | CHECKPOINT_WAIT);
  settings = compress_images();
  hg_scan_relation_files(visit, &suspend);
  AtEOXact_GUC(true, settings);

  if (XLogRecPtrIsInvalid(suspend.last)) PG_RETURN_LSN(GetFlushRecPtr(NULL));
  XLogFlush(suspend.last);
  PG_RETURN_LSN(suspend.last);
}
