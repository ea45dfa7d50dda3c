// session_report.c: when a session's state is computed, compared and sent.
//
// At the end of a transaction a reset callback is put on MessageContext. PostgresMain resets that
// at the head of its loop, when the transaction is over to the last (SET LOCAL undone, LISTEN
// applied, locks released), and before ReadyForQuery is sent. The report is made there.
#include "epoch.h"
#include "session.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "libpq/libpq-be.h"
#include "libpq/libpq.h"
#include "libpq/pqformat.h"
#include "replication/walsender.h"
#include "tcop/dest.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"

#include "protocol/session_state.h"

enum { kMaxStateBytes = 256 * 1024 };  // Beyond that a session is cheaper to keep than to restore.

static bool setting;      // halogen.report_session.
static bool installed;    // This process is a session that reports.
static bool registered;   // `at_reset` is on MessageContext.
static bool in_progress;  // Transactions that end now are the report's own.
static bool in_transaction;
static MemoryContextCallback at_reset;
static MemoryContext scratch;  // Emptied before each report.
static char* last_sent;        // In hg_session.memory.

void hg_session_need_transaction(void) {
  if (in_transaction || IsTransactionState()) return;
  MemoryContext old = CurrentMemoryContext;
  in_transaction = true;
  StartTransactionCommand();
  MemoryContextSwitchTo(old);
}

static void end_transaction(void) {
  if (!in_transaction) return;
  MemoryContext old = CurrentMemoryContext;
  CommitTransactionCommand();
  in_transaction = false;
  MemoryContextSwitchTo(old);
}

static const char* describe_session(void) {
  StringInfoData state;
  initStringInfo(&state);
  appendStringInfoChar(&state, '{');
  const bool privileged = hg_session_settings(&state);
  hg_session_objects(&state, privileged);
  appendStringInfoChar(&state, '}');
  return state.len <= kMaxStateBytes ? state.data : "{\"pins\":[\"too_large\"]}";
}

// `state` is ASCII, the same in every client encoding: it is sent as it is. True if it was news.
static bool send_if_changed(const char* state) {
  if (strcmp(state, last_sent) == 0) return false;
  char* copy = MemoryContextStrdup(hg_session.memory, state);
  StringInfoData message;
  pq_beginmessage(&message, 'S');
  pq_sendbytes(&message, HALOGEN_SESSION_STATE_PARAMETER, sizeof(HALOGEN_SESSION_STATE_PARAMETER));
  pq_sendbytes(&message, state, strlen(state) + 1);
  pq_endmessage(&message);
  pfree(last_sent);
  last_sent = copy;
  return true;
}

// After an error: the session goes on, its state is not known. The next transaction tries again.
static void give_up(void) {
  MemoryContextSwitchTo(scratch);
  ErrorData* error = CopyErrorData();
  FlushErrorState();
  if (in_transaction) AbortCurrentTransaction();
  in_transaction = false;
  MemoryContextSwitchTo(scratch);
  hg_session.dirty = hg_session.temp_dirty = true;
  if (send_if_changed("{\"pins\":[\"unknown\"]}"))
    ereport(LOG_SERVER_ONLY, errmsg("state of the session not known: %s", error->message));
}

static void report(void) {
  MemoryContext old = CurrentMemoryContext;
  const uint32 holdoff = InterruptHoldoffCount;
  in_progress = true;
  HOLD_INTERRUPTS();  // A cancel that comes late is not for us.
  MemoryContextReset(scratch);
  PG_TRY();
  {
    MemoryContextSwitchTo(scratch);
    hg_session.dirty = false;
    const char* state = describe_session();
    end_transaction();
    send_if_changed(state);
  }
  PG_CATCH();
  {
    InterruptHoldoffCount = holdoff + 1;  // An ERROR has set it to zero.
    give_up();
  }
  PG_END_TRY();
  MemoryContextSwitchTo(old);
  in_progress = false;
  RESUME_INTERRUPTS();
}

static void on_message_done(void* unused) {
  registered = false;
  hg_session_tell_notified();
  hg_epoch_tell();
  if (IsTransactionOrTransactionBlock()) return;
  hg_session_check_restored();
  // Session locks need no hook: of all own locks they are what is left.
  const bool advisory = hg_holds_advisory_lock();
  if (!hg_session.dirty && advisory == hg_session.has_advisory) return;
  hg_session.has_advisory = advisory;
  report();
}

void hg_session_report_later(void) {
  if (registered || in_progress || MessageContext == NULL) return;
  registered = true;
  at_reset.func = on_message_done;
  MemoryContextRegisterResetCallback(MessageContext, &at_reset);
}

static void on_transaction(XactEvent event, void* unused) {
  // The first one is what begins a session: roles and databases have had their say.
  if (event == XACT_EVENT_PRE_COMMIT && MessageContext == NULL) hg_session_tell_defaults();
  hg_session_notify_transaction(event);
  if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
    hg_session_report_later();
  if (!in_progress && event == XACT_EVENT_COMMIT) hg_session_restore_ended();
  if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
    hg_session_parse_aborted();
}

static void on_subtransaction(SubXactEvent event, SubTransactionId own, SubTransactionId parent,
                              void* unused) {
  if (event == SUBXACT_EVENT_ABORT_SUB) hg_session_parse_aborted();
}

static void install(void) {
  installed = true;
  hg_session.memory =
      AllocSetContextCreate(TopMemoryContext, "halogen session", ALLOCSET_SMALL_SIZES);
  scratch =
      AllocSetContextCreate(hg_session.memory, "halogen session report", ALLOCSET_DEFAULT_SIZES);
  last_sent = MemoryContextStrdup(hg_session.memory, "{}");
  hg_session.dirty = am_walsender;
  hg_session_startup_begins();
  hg_session_custom_begins();
  hg_session_watch();
  RegisterXactCallback(on_transaction, NULL);
  hg_epoch_tell_login();
  RegisterSubXactCallback(on_subtransaction, NULL);
}

// Only the startup packet can turn it on, in the process of the connection itself.
static void on_assign(bool value, void* extra) {
  if (value && !installed && MyProcPort != NULL && !IsParallelWorker() &&
      whereToSendOutput == DestRemote)
    install();
}

void hg_session_init(void) {
  DefineCustomBoolVariable(HALOGEN_REPORT_SESSION_SETTING,
                           "Tells the connection what its session holds, whenever that changes.",
                           NULL, &setting, false, PGC_BACKEND,
                           GUC_NOT_IN_SAMPLE | GUC_NO_SHOW_ALL | GUC_DISALLOW_IN_FILE, NULL,
                           on_assign, NULL);
  hg_session_pass_init();
}
