// session_watch.c: hooks that notice when a session's state may have changed.
//
// They only take notes: cheap, without looking anything up, and rather once too often. Anything
// that changes settings is a utility statement, a call of set_config, or code of an extension in C;
// the last can't be told apart from other functions that are not part of Postgres, so all of them
// count.
#include "session.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "executor/executor.h"
#include "nodes/execnodes.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "protocol/session_state.h"

HgSession hg_session;

static ProcessUtility_hook_type next_utility;
static ExecutorStart_hook_type next_executor_start;
static object_access_hook_type next_object_access;

static void remember(List** names, const char* name) {
  ListCell* cell;
  foreach (cell, *names)
    if (strcmp(lfirst(cell), name) == 0) return;
  MemoryContext old = MemoryContextSwitchTo(hg_session.memory);
  *names = lappend(*names, pstrdup(name));
  MemoryContextSwitchTo(old);
}

static void drop_all_prepared(void) {
  ++hg_session.deallocations;
  hg_session_deallocate_late(NULL);
  hg_session_forget_names();
}

// What a utility statement is about to do. DISCARD ALL in a transaction block is refused.
static void note_before(Node* statement, const char* text, bool top_level) {
  switch (nodeTag(statement)) {
    case T_FetchStmt:
    case T_ExecuteStmt:
    case T_VariableShowStmt:
    case T_LockStmt:
    case T_ConstraintsSetStmt:
      return;
    case T_NotifyStmt:
      hg_session_notifies();
      return;
    case T_TransactionStmt:
      // The end of a failed transaction block has no event of its own.
      hg_session_report_later();
      return;
    case T_VariableSetStmt:
    case T_ClosePortalStmt:
    case T_UnlistenStmt:
    case T_LoadStmt:
      break;
    case T_ListenStmt:
      hg_session.listened = true;
      break;
    case T_DeclareCursorStmt:
      if (((DeclareCursorStmt*)statement)->options & CURSOR_OPT_HOLD)
        remember(&hg_session.cursors, ((DeclareCursorStmt*)statement)->portalname);
      break;
    case T_PrepareStmt:
      hg_session_check_name(((PrepareStmt*)statement)->name, text);
      hg_session_check_protocol_name(((PrepareStmt*)statement)->name);
      break;
    case T_DeallocateStmt:
      if (((DeallocateStmt*)statement)->name == NULL) drop_all_prepared();
      break;
    case T_DiscardStmt:
      if (((DiscardStmt*)statement)->target == DISCARD_ALL && !IsInTransactionBlock(top_level))
        drop_all_prepared();
      hg_session.temp_dirty = true;
      break;
    case T_CopyStmt:
      // Identity columns that it fills are not worth finding out.
      if (((CopyStmt*)statement)->is_from) hg_session.sequence_used = true;
      break;
    case T_AlterTableStmt:
      // Nor those that it adds, to a table that has rows.
      hg_session.sequence_used = hg_session.temp_dirty = true;
      break;
    default:
      hg_session.temp_dirty = true;
  }
  hg_session.dirty = true;
}

static void note_done(NodeTag tag, bool sequences_discarded, const char* name) {
  if (tag == T_LoadStmt) hg_session.library_loaded = true;
  if (sequences_discarded) hg_session.sequence_used = hg_session.sequence_read = false;
  if (tag == T_PrepareStmt) hg_session_prepared_as(name);
  if (tag == T_DeallocateStmt && name != NULL) hg_session_tell(HALOGEN_DEALLOCATED_PARAMETER, name);
}

// It is not there by this name, or not there yet.
static bool deallocates_otherwise(Node* statement) {
  if (!IsA(statement, DeallocateStmt)) return false;
  const char* name = ((DeallocateStmt*)statement)->name;
  return name != NULL && (hg_session_deallocate_name(name) || hg_session_deallocate_late(name));
}

static bool take_own(Node* statement, bool top_level) {
  const char* name = hg_session_own_statement(statement);
  if (name == NULL) return false;
  if (pg_strcasecmp(name, "session") == 0)
    hg_session_restore((VariableSetStmt*)statement, top_level);
  else if (pg_strcasecmp(name, "parse") == 0)
    hg_session_set_parse((VariableSetStmt*)statement);
  else if (pg_strcasecmp(name, "names") == 0)
    hg_session_set_names((VariableSetStmt*)statement);
  else
    return false;
  return true;
}

// The name that is to be told of when the statement has succeeded.
static char* name_to_tell(const Node* statement) {
  if (IsA(statement, PrepareStmt)) return pstrdup(((const PrepareStmt*)statement)->name);
  if (!IsA(statement, DeallocateStmt)) return NULL;
  const char* name = ((const DeallocateStmt*)statement)->name;
  return name != NULL && hg_session_is_of_protocol(name) ? pstrdup(name) : NULL;
}

static void watch_utility(PlannedStmt* plan, const char* text, bool read_only_tree,
                          ProcessUtilityContext context, ParamListInfo parameters,
                          QueryEnvironment* environment, DestReceiver* destination,
                          QueryCompletion* completion) {
  Node* statement = plan->utilityStmt;
  const NodeTag tag = nodeTag(statement);
  const bool discards =
      tag == T_DiscardStmt && (((DiscardStmt*)statement)->target == DISCARD_ALL ||
                               ((DiscardStmt*)statement)->target == DISCARD_SEQUENCES);
  if (take_own(statement, context == PROCESS_UTILITY_TOPLEVEL)) return;
  note_before(statement, text, context == PROCESS_UTILITY_TOPLEVEL);
  if (deallocates_otherwise(statement)) {
    if (completion != NULL) SetQueryCompletion(completion, CMDTAG_DEALLOCATE, 0);
    return;
  }
  const char* name = name_to_tell(statement);
  (next_utility != NULL ? next_utility : standard_ProcessUtility)(
      plan, text, read_only_tree, context, parameters, environment, destination, completion);
  note_done(tag, discards, name);  // The statement itself may be gone by now.
}

static void note_function(Oid function) {
  if (function >= FirstNormalObjectId) {
    hg_session.dirty = true;
    return;
  }
  switch (function) {
    case F_NEXTVAL:
    case F_SETVAL_REGCLASS_INT8:
    case F_SETVAL_REGCLASS_INT8_BOOL:
      if (hg_session.sequence_used) return;
      hg_session.sequence_used = true;
      break;
    case F_CURRVAL:
    case F_LASTVAL:
      if (hg_session.sequence_read) return;
      hg_session.sequence_read = true;
      break;
    case F_SETSEED:
      hg_session.seeded = true;
      break;
    case F_PG_CREATE_PHYSICAL_REPLICATION_SLOT:
    case F_PG_CREATE_LOGICAL_REPLICATION_SLOT:
    case F_PG_COPY_PHYSICAL_REPLICATION_SLOT_NAME_NAME_BOOL:
    case F_PG_COPY_LOGICAL_REPLICATION_SLOT_NAME_NAME_BOOL:
    case F_PG_COPY_LOGICAL_REPLICATION_SLOT_NAME_NAME_BOOL_NAME:
      hg_session.slot_made = true;
      break;
    case F_PG_NOTIFY:
      hg_session_notifies();
      return;
    case F_SET_CONFIG:
    case F_PG_DROP_REPLICATION_SLOT:
    case F_PG_REPLICATION_ORIGIN_SESSION_SETUP:
    case F_PG_REPLICATION_ORIGIN_SESSION_RESET:
      break;
    default:
      if (!hg_is_backup_function(function)) return;
  }
  hg_session.dirty = true;
}

static void watch_object_access(ObjectAccessType access, Oid class, Oid object, int sub,
                                void* argument) {
  if (next_object_access != NULL) next_object_access(access, class, object, sub, argument);
  if (access == OAT_FUNCTION_EXECUTE) note_function(object);
}

static bool has_identity(const EState* state) {
  ListCell* cell;
  foreach (cell, state->es_opened_result_relations) {
    const TupleDesc columns = RelationGetDescr(((ResultRelInfo*)lfirst(cell))->ri_RelationDesc);
    for (int i = 0; i < columns->natts; ++i)
      if (TupleDescAttr(columns, i)->attidentity != '\0') return true;
  }
  return false;
}

// Identity columns take the next value of their sequence without a call of nextval.
static void watch_executor_start(QueryDesc* query, int flags) {
  (next_executor_start != NULL ? next_executor_start : standard_ExecutorStart)(query, flags);
  if (hg_session.sequence_used || (flags & EXEC_FLAG_EXPLAIN_ONLY)) return;
  if (query->operation != CMD_INSERT && query->operation != CMD_MERGE &&
      !query->plannedstmt->hasModifyingCTE)
    return;
  if (has_identity(query->estate)) hg_session.sequence_used = hg_session.dirty = true;
}

void hg_session_watch(void) {
  next_utility = ProcessUtility_hook;
  ProcessUtility_hook = watch_utility;
  next_executor_start = ExecutorStart_hook;
  ExecutorStart_hook = watch_executor_start;
  next_object_access = object_access_hook;
  object_access_hook = watch_object_access;
  hg_session_watch_prepared();
}
