// session_objects.c: channels, and what ties a session to its server.
#include "session.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_namespace.h"
#include "executor/executor.h"
#include "replication/origin.h"
#include "replication/slot.h"
#include "replication/walsender.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/portal.h"

List* hg_session_channels(void) {
  List* channels = NIL;
  if (!hg_session.listened) return channels;
  // The function that shows them reads a list of this process, no catalogs.
  FmgrInfo function;
  fmgr_info(F_PG_LISTENING_CHANNELS, &function);
  ReturnSetInfo result = {.type = T_ReturnSetInfo,
                          .econtext = CreateStandaloneExprContext(),
                          .allowedModes = SFRM_ValuePerCall,
                          .returnMode = SFRM_ValuePerCall};
  LOCAL_FCINFO(call, 0);
  InitFunctionCallInfoData(*call, &function, 0, InvalidOid, NULL, (Node*)&result);
  while (true) {
    call->isnull = false;
    result.isDone = ExprSingleResult;
    Datum channel = FunctionCallInvoke(call);
    if (result.isDone != ExprMultipleResult) break;
    channels = lappend(channels, TextDatumGetCString(channel));
  }
  return channels;
}

static void append_channels(StringInfo out) {
  const List* channels = hg_session_channels();
  hg_session.listened = channels != NIL;
  hg_json_names(out, "listen", channels);
}

static bool has_holdable_cursor(void) {
  ListCell* cell;
  foreach (cell, hg_session.cursors) {
    const Portal portal = GetPortalByName(lfirst(cell));
    if (PortalIsValid(portal) && (portal->cursorOptions & CURSOR_OPT_HOLD)) continue;
    pfree(lfirst(cell));
    hg_session.cursors = foreach_delete_current(hg_session.cursors, cell);
  }
  return hg_session.cursors != NIL;
}

static void lock_or_fail(Oid relation) {
  // Waiting here could not be cancelled.
  if (!ConditionalLockRelationOid(relation, AccessShareLock))
    ereport(ERROR, errcode(ERRCODE_LOCK_NOT_AVAILABLE), errmsg("pg_depend is locked"));
}

// Whether anything depends on the schema of temporary objects, which itself stays.
static bool depends_on_namespace(Oid schema) {
  hg_session_need_transaction();
  lock_or_fail(DependRelationId);
  lock_or_fail(DependReferenceIndexId);
  Relation depend = table_open(DependRelationId, AccessShareLock);
  ScanKeyData keys[2];
  ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
              ObjectIdGetDatum(NamespaceRelationId));
  ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
              ObjectIdGetDatum(schema));
  SysScanDesc scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, keys);
  const bool found = HeapTupleIsValid(systable_getnext(scan));
  systable_endscan(scan);
  table_close(depend, AccessShareLock);
  return found;
}

static bool has_temp_objects(void) {
  if (hg_session.temp_dirty) {
    Oid schema, toast;
    GetTempNamespaceState(&schema, &toast);
    hg_session.has_temp = OidIsValid(schema) && depends_on_namespace(schema);
    hg_session.temp_dirty = false;
  }
  return hg_session.has_temp;
}

static bool has_replication_slot(void) {
  if (!hg_session.slot_made || ReplicationSlotCtl == NULL) return false;
  bool found = false;
  LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
  for (int i = 0; i < max_replication_slots; ++i) {
    const ReplicationSlot* slot = &ReplicationSlotCtl->replication_slots[i];
    found |= slot->in_use && slot->active_pid == MyProcPid;
  }
  LWLockRelease(ReplicationSlotControlLock);
  return found;
}

const char* hg_session_lasting_pin(void) {
  if (hg_session.library_loaded) return "loaded_library";
  if (hg_session.seeded) return "random_seed";
  if (replorigin_session_origin != InvalidRepOriginId) return "replication_origin";
  if (has_replication_slot()) return "replication_slot";
  if (hg_backup_is_running()) return "backup";
  return am_walsender ? "replication" : NULL;
}

static void append_pin(StringInfo out, bool held, const char* name) {
  if (held) hg_json_item(out, name, strlen(name));
}

static void append_pins(StringInfo out, bool privileged) {
  StringInfoData pins;
  initStringInfo(&pins);
  appendStringInfoChar(&pins, '[');
  append_pin(&pins, hg_session.has_advisory, "advisory_lock");
  append_pin(&pins, has_temp_objects(), "temp_table");
  append_pin(&pins, has_holdable_cursor(), "holdable_cursor");
  append_pin(&pins, hg_session.sequence_used && hg_session.sequence_read, "sequence");
  append_pin(&pins, hg_session.library_loaded, "loaded_library");
  append_pin(&pins, hg_session.seeded, "random_seed");
  append_pin(&pins, privileged, "privileged_setting");
  append_pin(&pins, replorigin_session_origin != InvalidRepOriginId, "replication_origin");
  append_pin(&pins, has_replication_slot(), "replication_slot");
  append_pin(&pins, hg_backup_is_running(), "backup");
  append_pin(&pins, am_walsender, "replication");
  if (pins.len == 1) return;
  hg_json_key(out, "pins");
  appendStringInfo(out, "%s]", pins.data);
}

void hg_session_objects(StringInfo out, bool privileged) {
  append_channels(out);
  hg_session_append_prepared(out);
  if (hg_session.sequence_used) {
    hg_json_key(out, "sequence_used");
    appendStringInfoString(out, "true");
  }
  if (hg_session.deallocations > 0) {
    hg_json_key(out, "deallocations");
    appendStringInfo(out, UINT64_FORMAT, hg_session.deallocations);
  }
  append_pins(out, privileged);
}
