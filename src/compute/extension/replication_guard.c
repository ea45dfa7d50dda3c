// replication_guard.c: the safekeeper's stream is no login's but the platform's.
//
// A commit is acknowledged when a standby with a certain application_name says that it has the WAL.
// A role with REPLICATION that streams under that name would acknowledge commits that nobody has,
// and one that streams from the safekeeper's slot, or moves it, would have WAL removed that the
// safekeeper still needs. A walsender's commands pass no hook, but the message that begins a stream
// passes the connection's methods.
#include "role_guard.h"

#include "libpq/auth.h"
#include "libpq/libpq.h"
#include "miscadmin.h"
#include "replication/slot.h"
#include "replication/syncrep.h"
#include "replication/walsender.h"
#include "storage/spin.h"
#include "tcop/pquery.h"
#include "utils/guc.h"

enum { kCopyBoth = 'W', kCopyOut = 'H' };

static ClientAuthentication_hook_type next_authentication;
static PQcommMethods guarded_methods;
static const PQcommMethods* plain_methods;

// Whether commits wait for a standby of this name. Slots are called after their standbys.
static bool is_safekeeper(const char* name) {
  if (SyncRepConfig == NULL) return false;
  const char* member = SyncRepConfig->member_names;
  for (int i = 0; i < SyncRepConfig->nmembers; ++i, member += strlen(member) + 1)
    if (pg_strcasecmp(member, name) == 0 || strcmp(member, "*") == 0) return true;
  return false;
}

static void check_stream(void) {
  if (MyReplicationSlot == NULL || !SlotIsLogical(MyReplicationSlot))
    ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
            errmsg("permission denied: physical replication is the platform's"),
            errhint("Use logical replication, or a branch for a copy of the whole database."));
  if (is_safekeeper(application_name))
    ereport(
        ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
        errmsg("permission denied: application_name \"%s\" is the platform's", application_name),
        errhint("Connect with another application_name."));
}

// COPY BOTH begins a stream of WAL. COPY OUT that is no query's begins a base backup.
static int put_message(char type, const char* body, size_t length) {
  if ((type == kCopyBoth || (type == kCopyOut && ActivePortal == NULL)) && hg_works_for_tenant())
    check_stream();
  return plain_methods->putmessage(type, body, length);
}

static void on_authenticated(Port* port, int status) {
  if (next_authentication != NULL) next_authentication(port, status);
  if (status != STATUS_OK || !am_walsender) return;
  plain_methods = PqCommMethods;
  guarded_methods = *plain_methods;
  guarded_methods.putmessage = put_message;
  PqCommMethods = &guarded_methods;
}

// While the safekeeper streams, Postgres itself refuses all others its slot.
void hg_check_slot_function(void) {
  bool free = false;
  LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
  for (int i = 0; i < max_replication_slots; ++i) {
    ReplicationSlot* slot = &ReplicationSlotCtl->replication_slots[i];
    SpinLockAcquire(&slot->mutex);
    const bool unused = slot->in_use && slot->active_pid == 0;
    SpinLockRelease(&slot->mutex);
    free |= unused && is_safekeeper(NameStr(slot->data.name));
  }
  LWLockRelease(ReplicationSlotControlLock);
  if (free)
    ereport(ERROR, errcode(ERRCODE_OBJECT_IN_USE),
            errmsg("replication slots cannot be changed while storage is not connected"),
            errhint("Try again in a moment."));
}

void hg_replication_guard_init(void) {
  next_authentication = ClientAuthentication_hook;
  ClientAuthentication_hook = on_authenticated;
}
