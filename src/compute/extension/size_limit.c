// size_limit.c: the platform knows the branch's size and says when it is too large; here the
// statements that would write more are refused. DELETE, TRUNCATE, DROP and VACUUM are not.
#include "size_limit.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "executor/executor.h"
#include "nodes/parsenodes.h"
#include "port/atomics.h"
#include "role_guard.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "tcop/utility.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"

static int setting;  // Of this process: as it started, or as the platform's SET says.
static pg_atomic_uint32* exceeded;  // MiB of the limit; 0: it is not exceeded.

static shmem_request_hook_type next_shmem_request;
static shmem_startup_hook_type next_shmem_startup;
static ProcessUtility_hook_type next_utility;
static ExecutorStart_hook_type next_executor_start;
static object_access_hook_type next_object_access;

static void refuse_if_exceeded(void) {
  const uint32 limit = pg_atomic_read_u32(exceeded);
  if (limit == 0 || !hg_works_for_tenant()) return;
  ereport(ERROR, errcode(ERRCODE_DISK_FULL),
          errmsg("could not write: the project's size limit (%u MB) has been exceeded", limit),
          errhint("Delete data and run VACUUM FULL, or TRUNCATE or DROP tables; or raise the "
                  "project's settings.quota.logical_size_bytes by the API."));
}

static bool writes_more(const PlannedStmt* plan) {
  return plan->commandType == CMD_INSERT || plan->commandType == CMD_UPDATE ||
         plan->commandType == CMD_MERGE || plan->hasModifyingCTE;
}

static void start_executor(QueryDesc* query, int flags) {
  if (writes_more(query->plannedstmt) && (flags & EXEC_FLAG_EXPLAIN_ONLY) == 0)
    refuse_if_exceeded();
  (next_executor_start != NULL ? next_executor_start : standard_ExecutorStart)(query, flags);
}

static void run_utility(PlannedStmt* plan, const char* text, bool read_only_tree,
                        ProcessUtilityContext context, ParamListInfo parameters,
                        QueryEnvironment* environment, DestReceiver* destination,
                        QueryCompletion* completion) {
  switch (nodeTag(plan->utilityStmt)) {
    case T_CopyStmt:
      if (((const CopyStmt*)plan->utilityStmt)->is_from) refuse_if_exceeded();
      break;
    case T_CreateTableAsStmt:
    case T_RefreshMatViewStmt:
    case T_IndexStmt:
    case T_CreatedbStmt:
    case T_CreateExtensionStmt:
      refuse_if_exceeded();
      break;
    default:
      break;
  }
  (next_utility != NULL ? next_utility : standard_ProcessUtility)(
      plan, text, read_only_tree, context, parameters, environment, destination, completion);
}

static void watch_functions(ObjectAccessType access, Oid class, Oid object, int sub,
                            void* argument) {
  if (next_object_access != NULL) next_object_access(access, class, object, sub, argument);
  if (access != OAT_FUNCTION_EXECUTE) return;
  if (object == F_LO_FROM_BYTEA || object == F_LO_PUT || object == F_LOWRITE) refuse_if_exceeded();
}

// The platform sets it in a session of its own, for all.
static void tell_all(int value, void* extra) {
  if (exceeded != NULL && IsUnderPostmaster && IsTransactionState() && !IsParallelWorker() &&
      superuser_arg(GetAuthenticatedUserId()))
    pg_atomic_write_u32(exceeded, (uint32)value);
}

static void request_memory(void) {
  if (next_shmem_request != NULL) next_shmem_request();
  RequestAddinShmemSpace(sizeof *exceeded);
}

static void begin_memory(void) {
  if (next_shmem_startup != NULL) next_shmem_startup();
  bool found;
  LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
  exceeded = ShmemInitStruct("halogen size limit", sizeof *exceeded, &found);
  if (!found) pg_atomic_init_u32(exceeded, (uint32)setting);
  LWLockRelease(AddinShmemInitLock);
}

void hg_size_limit_init(void) {
  if (!process_shared_preload_libraries_in_progress) return;
  DefineCustomIntVariable("halogen.size_limit_exceeded", "MiB of the limit that is exceeded.", NULL,
                          &setting, 0, 0, INT_MAX, PGC_SUSET, GUC_NOT_IN_SAMPLE, NULL, tell_all,
                          NULL);
  next_shmem_request = shmem_request_hook;
  shmem_request_hook = request_memory;
  next_shmem_startup = shmem_startup_hook;
  shmem_startup_hook = begin_memory;
  next_utility = ProcessUtility_hook;
  ProcessUtility_hook = run_utility;
  next_executor_start = ExecutorStart_hook;
  ExecutorStart_hook = start_executor;
  next_object_access = object_access_hook;
  object_access_hook = watch_functions;
}
