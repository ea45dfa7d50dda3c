#include "read_only.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "role_guard.h"
#include "tcop/utility.h"
#include "utils/guc.h"

static bool read_only;
static ProcessUtility_hook_type next_utility;
static ExecutorStart_hook_type next_executor_start;

// Before each statement anew: SET TRANSACTION READ WRITE is the session's to say.
static void keep_read_only(void) {
  if (hg_works_for_tenant()) XactReadOnly = true;
}

static void start_executor(QueryDesc* query, int flags) {
  keep_read_only();
  (next_executor_start != NULL ? next_executor_start : standard_ExecutorStart)(query, flags);
}

static void run_utility(PlannedStmt* plan, const char* text, bool read_only_tree,
                        ProcessUtilityContext context, ParamListInfo parameters,
                        QueryEnvironment* environment, DestReceiver* destination,
                        QueryCompletion* completion) {
  keep_read_only();
  (next_utility != NULL ? next_utility : standard_ProcessUtility)(
      plan, text, read_only_tree, context, parameters, environment, destination, completion);
}

void hg_read_only_init(void) {
  if (!process_shared_preload_libraries_in_progress) return;
  DefineCustomBoolVariable("halogen.read_only", "Tenants change nothing.", NULL, &read_only, false,
                           PGC_POSTMASTER, GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
  if (!read_only) return;
  next_utility = ProcessUtility_hook;
  ProcessUtility_hook = run_utility;
  next_executor_start = ExecutorStart_hook;
  ExecutorStart_hook = start_executor;
}
