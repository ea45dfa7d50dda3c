// epoch.c: a counter in shared memory that grows when a transaction commits that changed what a
// login depends on: roles, memberships, databases, who may connect, ALTER ROLE and DATABASE ...
// SET.
//
// Every way to change these is a utility statement (in functions, too) or, for a superuser, DML on
// the catalogs themselves. Hooks note it, the end of the transaction counts it: at that moment
// others see the change. One that is prepared counts when it is committed, as all COMMIT PREPARED.
//
// Beside it, in a page that the platform reads (shim/manifest.h), a counter that grows with new
// roles, too: as long as it stands still, what was read of pg_authid is what is there.
#include "epoch.h"

#include <dlfcn.h>

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_auth_members.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_db_role_setting.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "executor/executor.h"
#include "libpq/auth.h"
#include "libpq/libpq.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/parsetree.h"
#include "port/atomics.h"
#include "replication/walsender.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "protocol/session_state.h"

static pg_atomic_uint64* epoch;  // In shared memory.
static uint64 at_login;          // The epoch when this backend's client was let in.
static uint64 told;
static bool reports;                    // hg_epoch_tell_login() was called.
static bool changed;                    // By the transaction under way.
static bool added;                      // A role, by the transaction under way.
static pg_atomic_uint64* role_changes;  // NULL: nobody reads them.
static char* setting;

static shmem_request_hook_type next_shmem_request;
static shmem_startup_hook_type next_shmem_startup;
static ClientAuthentication_hook_type next_authentication;
static ProcessUtility_hook_type next_utility;
static ExecutorStart_hook_type next_executor_start;

// ---- What counts ----

static bool is_login_catalog(Oid relation) {
  return relation == AuthIdRelationId || relation == AuthMemRelationId ||
         relation == DatabaseRelationId || relation == DbRoleSettingRelationId;
}

// What only adds a role or a database changes nobody's login.
static bool changes_logins(const Node* statement) {
  switch (nodeTag(statement)) {
    case T_AlterRoleStmt:
    case T_AlterRoleSetStmt:
    case T_DropRoleStmt:
    case T_GrantRoleStmt:
    case T_DropOwnedStmt:
    case T_ReassignOwnedStmt:
    case T_DropdbStmt:
    case T_AlterDatabaseStmt:
    case T_AlterDatabaseSetStmt:
      return true;
    case T_GrantStmt:
      return ((const GrantStmt*)statement)->objtype == OBJECT_DATABASE;
    case T_AlterOwnerStmt:
      return ((const AlterOwnerStmt*)statement)->objectType == OBJECT_DATABASE;
    case T_RenameStmt:
      return ((const RenameStmt*)statement)->renameType == OBJECT_ROLE ||
             ((const RenameStmt*)statement)->renameType == OBJECT_DATABASE;
    case T_TransactionStmt:
      return ((const TransactionStmt*)statement)->kind == TRANS_STMT_COMMIT_PREPARED;
    case T_CopyStmt: {
      const CopyStmt* copy = (const CopyStmt*)statement;
      return copy->is_from && copy->relation != NULL &&
             is_login_catalog(RangeVarGetRelid(copy->relation, NoLock, true));
    }
    default:
      return false;
  }
}

static void note_executor_start(QueryDesc* query, int flags) {
  ListCell* cell;
  foreach (cell, query->plannedstmt->resultRelations) {
    const RangeTblEntry* table = rt_fetch(lfirst_int(cell), query->plannedstmt->rtable);
    if (is_login_catalog(table->relid)) changed = true;
  }
  (next_executor_start != NULL ? next_executor_start : standard_ExecutorStart)(query, flags);
}

static void on_transaction(XactEvent event, void* unused) {
  if (event == XACT_EVENT_COMMIT && changed) pg_atomic_fetch_add_u64(epoch, 1);
  if (event == XACT_EVENT_COMMIT && (changed || added) && role_changes != NULL)
    pg_atomic_fetch_add_u64(role_changes, 1);
  if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
    changed = added = false;
}

// ---- What waits for a database that nobody uses ----

static Oid database_to_vacate(const Node* statement) {
  const char* name = NULL;
  ListCell* cell;
  switch (nodeTag(statement)) {
    case T_DropdbStmt:
      name = ((const DropdbStmt*)statement)->dbname;
      break;
    case T_RenameStmt:
      if (((const RenameStmt*)statement)->renameType == OBJECT_DATABASE)
        name = ((const RenameStmt*)statement)->subname;
      break;
    case T_CreatedbStmt:
      foreach (cell, ((const CreatedbStmt*)statement)->options) {
        DefElem* option = lfirst_node(DefElem, cell);
        if (strcmp(option->defname, "template") == 0 && option->arg != NULL)
          name = defGetString(option);
      }
      break;
    case T_AlterDatabaseStmt:
      foreach (cell, ((const AlterDatabaseStmt*)statement)->options)
        if (strcmp(lfirst_node(DefElem, cell)->defname, "tablespace") == 0)
          name = ((const AlterDatabaseStmt*)statement)->dbname;
      break;
    default:
      break;
  }
  return name == NULL ? InvalidOid : get_database_oid(name, true);
}

static void send_parameter(const char* name, const char* value) {
  StringInfoData message;
  pq_beginmessage(&message, 'S');
  pq_sendbytes(&message, name, strlen(name) + 1);
  pq_sendbytes(&message, value, strlen(value) + 1);
  pq_endmessage(&message);
}

static void ask_to_vacate(Oid database) {
  char value[16];
  snprintf(value, sizeof value, "%u", database);
  send_parameter(HALOGEN_VACATE_PARAMETER, value);
  pq_flush();
}

static void note_utility(PlannedStmt* plan, const char* text, bool read_only_tree,
                         ProcessUtilityContext context, ParamListInfo parameters,
                         QueryEnvironment* environment, DestReceiver* destination,
                         QueryCompletion* completion) {
  if (changes_logins(plan->utilityStmt)) changed = true;
  if (nodeTag(plan->utilityStmt) == T_CreateRoleStmt) added = true;
  if (reports) {
    const Oid database = database_to_vacate(plan->utilityStmt);
    if (OidIsValid(database)) ask_to_vacate(database);
  }
  (next_utility != NULL ? next_utility : standard_ProcessUtility)(
      plan, text, read_only_tree, context, parameters, environment, destination, completion);
}

// ---- Telling ----

static void note_authentication(Port* port, int status) {
  at_login = pg_atomic_read_u64(epoch);
  if (next_authentication != NULL) next_authentication(port, status);
}

static int role_limit(void) {
  if (superuser_arg(GetAuthenticatedUserId())) return -1;
  HeapTuple role = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetAuthenticatedUserId()));
  if (!HeapTupleIsValid(role)) return -1;
  const int limit = ((Form_pg_authid)GETSTRUCT(role))->rolconnlimit;
  ReleaseSysCache(role);
  return limit;
}

static int database_limit(void) {
  if (superuser_arg(GetAuthenticatedUserId())) return -1;
  HeapTuple database = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(MyDatabaseId));
  if (!HeapTupleIsValid(database)) return -1;
  const int limit = ((Form_pg_database)GETSTRUCT(database))->datconnlimit;
  ReleaseSysCache(database);
  return limit;
}

void hg_epoch_tell_login(void) {
  if (epoch == NULL || am_walsender) return;
  char value[128];
  snprintf(value, sizeof value, UINT64_FORMAT " %u %u %d %d", at_login, GetAuthenticatedUserId(),
           MyDatabaseId, role_limit(), database_limit());
  send_parameter(HALOGEN_LOGIN_PARAMETER, value);
  told = at_login;
  reports = true;
}

void hg_epoch_tell(void) {
  if (!reports) return;
  const uint64 now = pg_atomic_read_u64(epoch);
  if (now == told) return;
  char value[32];
  snprintf(value, sizeof value, UINT64_FORMAT, now);
  send_parameter(HALOGEN_EPOCH_PARAMETER, value);
  told = now;
}

static const char* show_epoch(void) {
  static char value[32];
  if (epoch == NULL) return "";
  snprintf(value, sizeof value, UINT64_FORMAT, pg_atomic_read_u64(epoch));
  return value;
}

// ---- Beginning ----

static void request_memory(void) {
  if (next_shmem_request != NULL) next_shmem_request();
  RequestAddinShmemSpace(sizeof *epoch);
}

// Other than it was before, also where a backend has died between its commit and its count.
static void begin_role_changes(void) {
  pg_atomic_uint64* (*place)(void) =
      (pg_atomic_uint64 * (*)(void)) dlsym(RTLD_DEFAULT, "halogen_shim_role_changes");
  role_changes = place != NULL ? place() : NULL;
  if (role_changes == NULL) return;
  const uint64 before = pg_atomic_read_u64(role_changes);
  pg_atomic_write_u64(role_changes, Max(before + 1, (uint64)GetCurrentTimestamp()));
}

// It begins with the time, so that it is larger than before also when the server has started anew.
static void begin_memory(void) {
  if (next_shmem_startup != NULL) next_shmem_startup();
  bool found;
  LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
  epoch = ShmemInitStruct("halogen epoch of logins", sizeof *epoch, &found);
  if (!found) pg_atomic_init_u64(epoch, GetCurrentTimestamp());
  LWLockRelease(AddinShmemInitLock);
  if (!found) begin_role_changes();
}

void hg_epoch_init(void) {
  if (!process_shared_preload_libraries_in_progress) return;
  next_shmem_request = shmem_request_hook;
  shmem_request_hook = request_memory;
  next_shmem_startup = shmem_startup_hook;
  shmem_startup_hook = begin_memory;
  next_authentication = ClientAuthentication_hook;
  ClientAuthentication_hook = note_authentication;
  next_utility = ProcessUtility_hook;
  ProcessUtility_hook = note_utility;
  next_executor_start = ExecutorStart_hook;
  ExecutorStart_hook = note_executor_start;
  RegisterXactCallback(on_transaction, NULL);
  DefineCustomStringVariable(HALOGEN_EPOCH_PARAMETER, "The epoch of logins.", NULL, &setting, "",
                             PGC_INTERNAL,
                             GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE | GUC_NO_SHOW_ALL |
                                 GUC_NO_RESET_ALL | GUC_SUPERUSER_ONLY,
                             NULL, NULL, show_epoch);
}
