// mask.c: a page without what legitimately differs between a server and a replay of its WAL, as
// wal_consistency_checking sees it. For tests that compare storage's pages with a compute's.
#include "pg.h"

#include "access/spgist_private.h"

PGDLLEXPORT PG_FUNCTION_INFO_V1(halogen_mask_page);

// What the resource managers' own masks leave, and replay may differ in: SP-GiST's cache of last
// used pages is not logged.
static void mask_more(Page page, int64 block, RmgrId rmgr) {
  if (rmgr == RM_SPGIST_ID && block == SPGIST_METAPAGE_BLKNO)
    memset(&SpGistPageGetMeta(page)->lastUsedPages, 0, sizeof(SpGistLUPCache));
}

// The LSN is kept, replay must get it right; but for GiST, whose sorted build stamps pages with 1.
static void mask(Page page, int64 block, RmgrId rmgr) {
  XLogRecPtr lsn = PageGetLSN(page);

  hg_rmgr(rmgr)->rm_mask((char*)page, (BlockNumber)block);
  mask_more(page, block, rmgr);
  PageSetLSN(page, rmgr == RM_GIST_ID ? InvalidXLogRecPtr : lsn);
}

// halogen.mask_page(page bytea, blkno int8, rmgr int) returns bytea. `rmgr` is the resource manager
// whose records make such pages; -1 for forks that none describes (FSM, VM), of which only the
// checksum is masked.
Datum halogen_mask_page(PG_FUNCTION_ARGS) {
  bytea* page = PG_GETARG_BYTEA_PP(0);
  int64 block = PG_GETARG_INT64(1);
  int32 rmgr = PG_GETARG_INT32(2);
  char* copy = palloc(BLCKSZ);
  bytea* result = palloc(VARHDRSZ + BLCKSZ);

  if (!superuser())
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("must be superuser")));
  if (VARSIZE_ANY_EXHDR(page) != BLCKSZ)
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a page has %d bytes", BLCKSZ)));
  if (rmgr != -1 && (rmgr < 0 || rmgr > RM_MAX_ID || !hg_rmgr_exists((RmgrId)rmgr)))
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("no resource manager %d", rmgr)));

  memcpy(copy, VARDATA_ANY(page), BLCKSZ);
  ((PageHeader)copy)->pd_checksum = 0;
  if (rmgr >= 0 && hg_rmgr((RmgrId)rmgr)->rm_mask != NULL && !PageIsNew((Page)copy))
    mask((Page)copy, block, (RmgrId)rmgr);
  SET_VARSIZE(result, VARHDRSZ + BLCKSZ);
  memcpy(VARDATA(result), copy, BLCKSZ);
  PG_RETURN_BYTEA_P(result);
}
