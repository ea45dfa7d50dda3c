// commit_guard.c: nobody is told of a commit that the safekeeper does not have.
//
// A backend writes its commit record and then waits in SyncRepWaitForLSN(). A cancel, a timeout of
// the statement or a termination ends that wait: Postgres writes a WARNING, shows the rows to all
// and tells the client COMMIT. The WARNING passes emit_log_hook before any of this, so the wait
// goes on in there until the safekeeper has the record. COMMIT PREPARED and PREPARE wait the same
// way.
#include "commit_guard.h"

#include "pg.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "replication/syncrep.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

static emit_log_hook_type next_hook;

// Nothing else is said at level WARNING while a process is in the queue of commits.
static bool gives_up_waiting(const ErrorData* line) {
  return line->elevel == WARNING && MyProc != NULL && MyProc->syncRepState == SYNC_REP_WAITING;
}

// As SyncRepWaitForLSN() waits, but for its cancels. SIGQUIT still ends the process at once.
static void wait_until_durable(void) {
  for (;;) {
    ResetLatch(MyLatch);
    pg_read_barrier();
    if (MyProc->syncRepState == SYNC_REP_WAIT_COMPLETE) break;
    const int woken =
        WaitLatch(MyLatch, WL_LATCH_SET | WL_POSTMASTER_DEATH, -1, WAIT_EVENT_SYNC_REP);
    if (woken & WL_POSTMASTER_DEATH) _exit(2);  // No clean-up may show the commit to anybody.
  }
  // A cancel that came meanwhile is as late as the first: the statement has succeeded.
  QueryCancelPending = false;
}

static void hold_commit(ErrorData* line) {
  if (!gives_up_waiting(line)) {
    if (next_hook != NULL) next_hook(line);
    return;
  }
  wait_until_durable();
  // What the line says is not so.
  line->output_to_server = false;
  line->output_to_client = false;
}

// The local log is never synced here, so `local` would promise what nothing keeps.
static bool check_synchronous_commit(int* value, void** extra, GucSource source) {
  if (*value == SYNCHRONOUS_COMMIT_LOCAL_FLUSH) *value = SYNCHRONOUS_COMMIT_ON;
  return true;
}

// A WARNING that is not logged passes no hook. (LOG ranks above ERROR here.)
static bool check_log_min_messages(int* value, void** extra, GucSource source) {
  if (*value > WARNING || *value == LOG) *value = WARNING;
  return true;
}

// From now on `check` sees each new value of the setting; it sees the one in force at once.
static void add_check(const char* name, GucEnumCheckHook check) {
  struct config_enum* setting = (struct config_enum*)hg_find_setting(name);
  Assert(setting != NULL && setting->check_hook == NULL);
  setting->check_hook = check;
  SetConfigOption(name, config_enum_lookup_by_value(setting, *setting->variable), PGC_POSTMASTER,
                  setting->gen.source);
}

void hg_commit_guard_init(void) {
  add_check("synchronous_commit", check_synchronous_commit);
  add_check("log_min_messages", check_log_min_messages);
  next_hook = emit_log_hook;
  emit_log_hook = hold_commit;
}
