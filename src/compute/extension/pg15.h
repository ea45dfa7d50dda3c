// pg15.h: every place where PostgreSQL 15 differs from other majors, under names of our own.
//
// Another major gets a file like this one; the other sources include "pg.h" and know no version.
#ifndef HALOGEN_EXTENSION_PG15_H
#define HALOGEN_EXTENSION_PG15_H

#include "access/xlog_internal.h"
#include "access/xlogreader.h"
#include "storage/buf_internals.h"
#include "storage/bufmgr.h"
#include "storage/fd.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/reinit.h"
#include "storage/smgr.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"

typedef RelFileNode HgRelation;

static inline HgRelation hg_relation(Oid spc, Oid db, Oid rel) {
  return (HgRelation){.spcNode = spc, .dbNode = db, .relNode = rel};
}
static inline bool hg_relation_equal(HgRelation a, HgRelation b) { return RelFileNodeEquals(a, b); }

static inline HgRelation hg_block_relation(const DecodedBkpBlock* block) { return block->rnode; }

static inline SMgrRelation hg_smgropen(HgRelation rel) { return smgropen(rel, InvalidBackendId); }

static inline Buffer hg_read_buffer(HgRelation rel, ForkNumber fork, BlockNumber block,
                                    ReadBufferMode mode) {
  return ReadBufferWithoutRelcache(rel, fork, block, mode, NULL, true);
}

static inline void hg_buffer_tag(BufferTag* tag, HgRelation rel, ForkNumber fork,
                                 BlockNumber block) {
  INIT_BUFFERTAG(*tag, rel, fork, block);
}

static inline bool hg_has_free_buffer(void) { return have_free_buffer(); }

static inline const RmgrData* hg_rmgr(RmgrId id) { return &RmgrTable[id]; }
static inline bool hg_rmgr_exists(RmgrId id) {
  return RmgrIdIsValid(id) && RmgrTable[id].rm_name != NULL;
}

// What a backend does after InitProcess, up to where the buffer manager and smgr can be used.
static inline void hg_backend_init(void) {
  InitProcess();
  SetProcessingMode(InitProcessing);
  BaseInit();
  SetProcessingMode(NormalProcessing);
}

// Splits the name of a relation's file: false for temporary relations and anything else. The digits
// of the relation's number are the first `*digits` characters.
static inline bool hg_parse_file_name(const char* name, int* digits, ForkNumber* fork) {
  return parse_filename_for_nontemp_relation(name, digits, fork);
}

// md.c's private view of one open segment of a relation.
typedef struct HgOpenSegment {
  File file;
  BlockNumber segment;
} HgOpenSegment;

// Makes fork `fork` of `smgr` look like `count` open segments and full to the last block.
static inline void hg_set_open_segments(SMgrRelation smgr, ForkNumber fork, HgOpenSegment* segments,
                                        int count) {
  smgr->md_seg_fds[fork] = (struct _MdfdVec*)segments;
  smgr->md_num_open_segs[fork] = count;
  smgr->smgr_cached_nblocks[fork] = count > 0 ? MaxBlockNumber : InvalidBlockNumber;
}

// All settings of this process, sorted by name.
static inline struct config_generic** hg_settings(int* count) {
  *count = GetNumConfigOptions();
  return get_guc_variables();
}

static inline int hg_compare_setting_names(const char* a, const char* b) {
  for (; *a != '\0' && *b != '\0'; ++a, ++b) {
    const char lower_a = *a >= 'A' && *a <= 'Z' ? *a + ('a' - 'A') : *a;
    const char lower_b = *b >= 'A' && *b <= 'Z' ? *b + ('a' - 'A') : *b;
    if (lower_a != lower_b) return lower_a - lower_b;
  }
  return *a != '\0' ? 1 : *b != '\0' ? -1 : 0;
}

// NULL if there is none. Names that only older majors know are found too.
static inline struct config_generic* hg_find_setting(const char* name) {
  if (hg_compare_setting_names(name, "sort_mem") == 0) name = "work_mem";
  if (hg_compare_setting_names(name, "vacuum_mem") == 0) name = "maintenance_work_mem";
  int low = 0, high;
  struct config_generic** settings = hg_settings(&high);
  while (low < high) {
    const int middle = low + (high - low) / 2;
    const int order = hg_compare_setting_names(name, settings[middle]->name);
    if (order == 0) return settings[middle];
    if (order < 0)
      high = middle;
    else
      low = middle + 1;
  }
  return NULL;
}

static inline bool hg_is_placeholder(const struct config_generic* setting) {
  return (setting->flags & GUC_CUSTOM_PLACEHOLDER) != 0;
}

// Sets one, or back to its reset value with NULL, as if `role` had done it. Raises ERROR.
static inline void hg_set_setting(const char* name, const char* value, GucContext context,
                                  GucSource source, Oid role) {
  set_config_option_ext(name, value, context, source, role, GUC_ACTION_SET, true, ERROR, false);
}

// The same until the end of a nest level.
static inline void hg_save_setting(const char* name, const char* value, GucContext context,
                                   Oid role) {
  set_config_option_ext(name, value, context, PGC_S_SESSION, role, GUC_ACTION_SAVE, true, ERROR,
                        false);
}

// Whether this process holds an advisory lock. Outside of transactions only those of the session
// are left, so that the lists are empty but for them.
static inline bool hg_holds_advisory_lock(void) {
  bool found = false;
  for (int i = 0; i < NUM_LOCK_PARTITIONS; ++i) {
    SHM_QUEUE* locks = &MyProc->myProcLocks[i];
    if (SHMQueueEmpty(locks)) continue;
    LWLockAcquire(LockHashPartitionLockByIndex(i), LW_SHARED);
    const size_t link = offsetof(PROCLOCK, procLink);
    for (PROCLOCK* lock = (PROCLOCK*)SHMQueueNext(locks, locks, link); lock != NULL;
         lock = (PROCLOCK*)SHMQueueNext(locks, &lock->procLink, link))
      found |= lock->tag.myLock->tag.locktag_type == LOCKTAG_ADVISORY;
    LWLockRelease(LockHashPartitionLockByIndex(i));
  }
  return found;
}

// A base backup that SQL started in this session and has not stopped.
static inline bool hg_backup_is_running(void) {
  return get_backup_status() == SESSION_BACKUP_RUNNING;
}
static inline bool hg_is_backup_function(Oid function) {
  return function == F_PG_BACKUP_START || function == F_PG_BACKUP_STOP;
}

// Functions that open files of the server by a name that they are given.
static inline bool hg_reads_or_writes_files(Oid function) {
  switch (function) {
    case F_PG_READ_FILE_OLD:
    case F_PG_READ_FILE_TEXT:
    case F_PG_READ_FILE_TEXT_INT8_INT8:
    case F_PG_READ_FILE_TEXT_INT8_INT8_BOOL:
    case F_PG_READ_BINARY_FILE_TEXT:
    case F_PG_READ_BINARY_FILE_TEXT_INT8_INT8:
    case F_PG_READ_BINARY_FILE_TEXT_INT8_INT8_BOOL:
    case F_PG_LS_DIR_TEXT:
    case F_PG_LS_DIR_TEXT_BOOL_BOOL:
    case F_PG_STAT_FILE_TEXT:
    case F_PG_STAT_FILE_TEXT_BOOL:
    case F_LO_IMPORT_TEXT:
    case F_LO_IMPORT_TEXT_OID:
    case F_LO_EXPORT:
      return true;
    default:
      return false;
  }
}

// Functions that remove or move a replication slot.
static inline bool hg_moves_slot(Oid function) {
  return function == F_PG_DROP_REPLICATION_SLOT || function == F_PG_REPLICATION_SLOT_ADVANCE;
}

// The SysV segment made as an interlock: UsedShmemSegID is its key.
static inline int hg_interlock_segment(void) { return shmget((key_t)UsedShmemSegID, 0, 0); }

#endif
