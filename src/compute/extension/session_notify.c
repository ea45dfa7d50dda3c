// session_notify.c: marks in the stream of notifications which of them one transaction made.
//
// The proxy hears the notifications of a database over one connection for all its clients, and
// must know of each whose it is, and when it has all of a transaction. So a transaction that
// notifies puts a notification of its own before and behind them, on a channel that is the proxy's,
// with a number that the session is told when the transaction has committed. Postgres keeps the
// notifications of a transaction together and in order.
#include "session.h"

#include "access/xact.h"
#include "commands/async.h"
#include "libpq/libpq.h"
#include "libpq/pqformat.h"

#include "protocol/session_state.h"

static uint64 number;   // Of the last transaction that notified and committed.
static bool notifying;  // The transaction under way does.
static bool untold;     // `number` has not been told yet.

static void mark(const char* kind) {
  char payload[32];
  snprintf(payload, sizeof payload, "%s " UINT64_FORMAT, kind, number + 1);
  Async_Notify(HALOGEN_NOTIFY_CHANNEL, payload);
}

// Again for each notification: a subtransaction that is rolled back takes the mark with it.
// Postgres keeps one of several that are alike.
void hg_session_notifies(void) {
  mark("begin");
  notifying = true;
}

void hg_session_notify_transaction(XactEvent event) {
  if (!notifying) return;
  if (event == XACT_EVENT_PRE_COMMIT) mark("end");
  if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT) return;
  notifying = false;
  if (event != XACT_EVENT_COMMIT) return;
  ++number;
  untold = true;
}

void hg_session_tell_notified(void) {
  if (!untold) return;
  untold = false;
  StringInfoData message;
  pq_beginmessage(&message, 'S');
  pq_sendbytes(&message, HALOGEN_NOTIFIED_PARAMETER, sizeof(HALOGEN_NOTIFIED_PARAMETER));
  char text[24];
  snprintf(text, sizeof text, UINT64_FORMAT, number);
  pq_sendbytes(&message, text, strlen(text) + 1);
  pq_endmessage(&message);
}
