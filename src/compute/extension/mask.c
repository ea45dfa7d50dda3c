// mask.c: a page without what legitimately differs between a server and a replay of its WAL, as
// wal_consistency_checking sees it. For tests that compare storage's pages with a compute's.
#include "pg.h"

PGDLLEXPORT PG_FUNCTION_INFO_V1(halogen_mask_page);

// halogen.mask_page(page bytea, blkno int8, rmgr int) returns bytea. `rmgr` is the resource manager
// whose records make such pages; -1 for forks that none describes (FSM, VM). The checksum is
// masked, the page's LSN is kept: replay must get it right.
Datum halogen_mask_page(PG_FUNCTION_ARGS) {
  bytea* page = PG_GETARG_BYTEA_PP(0);
  int64 block = PG_GETARG_INT64(1);
  int32 rmgr = PG_GETARG_INT32(2);
  char* copy = palloc(BLCKSZ);
  bytea* result = palloc(VARHDRSZ + BLCKSZ);
  XLogRecPtr lsn;

  if (!superuser())
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("must be superuser")));
  if (VARSIZE_ANY_EXHDR(page) != BLCKSZ)
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a page has %d bytes", BLCKSZ)));
  if (rmgr != -1 && (rmgr < 0 || rmgr > RM_MAX_ID || !hg_rmgr_exists((RmgrId)rmgr)))
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("no resource manager %d", rmgr)));

  memcpy(copy, VARDATA_ANY(page), BLCKSZ);
  lsn = PageGetLSN((Page)copy);
  ((PageHeader)copy)->pd_checksum = 0;
  if (rmgr >= 0 && hg_rmgr((RmgrId)rmgr)->rm_mask != NULL && !PageIsNew((Page)copy)) {
    hg_rmgr((RmgrId)rmgr)->rm_mask(copy, (BlockNumber)block);
    PageSetLSN((Page)copy, lsn);
  }
  SET_VARSIZE(result, VARHDRSZ + BLCKSZ);
  memcpy(VARDATA(result), copy, BLCKSZ);
  PG_RETURN_BYTEA_P(result);
}
