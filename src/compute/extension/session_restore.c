// session_restore.c: SET halogen.session makes this connection the session that it describes.
//
// Contract: protocol/session_state.h. All of it is one transaction of its own. What fails ends the
// connection: the client's next query is on its way already and must not run in another session.
#include "session.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/async.h"
#include "commands/sequence.h"
#include "storage/lock.h"
#include "tcop/utility.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#include "protocol/session_state.h"

typedef struct Wanted {
  List* defaults;    // HgNamedValue*.
  List* startup;     // HgNamedValue*.
  List* settings;    // HgNamedValue*.
  List* known;       // char*.
  List* channels;    // char*.
  List* statements;  // HgStatement*.
  List* under;       // HgNamedValue*, for the next statement.
  const char* session_authorization;
  const char* role;
} Wanted;

static bool unfinished;  // A restore has begun and its transaction is not committed.
static const char* doing_what;
static const char* doing_name;

void hg_session_restoring(const char* what, const char* name) {
  doing_what = what;
  doing_name = name;
}

const char* hg_session_own_statement(const Node* statement) {
  static const char prefix[] = "halogen.";
  if (!IsA(statement, VariableSetStmt)) return NULL;
  const char* name = ((const VariableSetStmt*)statement)->name;
  if (name == NULL || pg_strncasecmp(name, prefix, strlen(prefix)) != 0) return NULL;
  return name + strlen(prefix);
}

// ---- What is wanted ----

static pg_attribute_noreturn() void malformed(const char* why) {
  ereport(ERROR, errcode(ERRCODE_SYNTAX_ERROR), errmsg("%s", why));
}

const char* hg_session_item(const List* items, int* at) {
  if (*at >= list_length(items)) malformed("the list ends too early");
  const Node* item = list_nth(items, (*at)++);
  if (!IsA(item, A_Const) || ((const A_Const*)item)->isnull ||
      !IsA(&((const A_Const*)item)->val, String))
    malformed("an item is not a string constant");
  return strVal(&((const A_Const*)item)->val);
}

static List* add_named_value(List* list, const List* items, int* at) {
  HgNamedValue* one = palloc(sizeof(HgNamedValue));
  one->name = hg_session_item(items, at);
  one->value = hg_session_item(items, at);
  return lappend(list, one);
}

static void add_statement(Wanted* wanted, const char* text) {
  HgStatement* one = palloc(sizeof(HgStatement));
  one->text = text;
  one->settings = wanted->under;
  wanted->under = NIL;
  wanted->statements = lappend(wanted->statements, one);
}

static void read_operation(Wanted* wanted, const List* items, int* at) {
  const char* operation = hg_session_item(items, at);
  if (strcmp(operation, "setting") == 0)
    wanted->settings = add_named_value(wanted->settings, items, at);
  else if (strcmp(operation, "startup") == 0)
    wanted->startup = add_named_value(wanted->startup, items, at);
  else if (strcmp(operation, "default") == 0)
    wanted->defaults = add_named_value(wanted->defaults, items, at);
  else if (strcmp(operation, "known") == 0)
    wanted->known = lappend(wanted->known, (char*)hg_session_item(items, at));
  else if (strcmp(operation, "listen") == 0)
    wanted->channels = lappend(wanted->channels, (char*)hg_session_item(items, at));
  else if (strcmp(operation, "under") == 0)
    wanted->under = add_named_value(wanted->under, items, at);
  else if (strcmp(operation, "prepare") == 0)
    add_statement(wanted, hg_session_item(items, at));
  else if (strcmp(operation, "session_authorization") == 0)
    wanted->session_authorization = hg_session_item(items, at);
  else if (strcmp(operation, "role") == 0)
    wanted->role = hg_session_item(items, at);
  else
    malformed(psprintf("no operation is called \"%s\"", operation));
}

static Wanted read_list(const VariableSetStmt* statement) {
  Wanted wanted = {0};
  hg_session_restoring("list", "");
  for (int at = 1; at < list_length(statement->args);)
    read_operation(&wanted, statement->args, &at);
  return wanted;
}

// ---- Objects ----

static void refuse_what_stays(void) {
  hg_session_restoring("connection", "");
  const char* pin = hg_session_lasting_pin();
  if (pin != NULL)
    ereport(ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
            errmsg("it holds what cannot be undone: %s", pin));
}

static void drop_objects(void) {
  hg_session_restoring("objects of the session before", "");
  PortalHashTableDeleteAll();
  hg_session_drop_prepared();
  hg_session_forget_names();
  if (hg_holds_advisory_lock()) LockReleaseAll(USER_LOCKMETHOD, true);
  ResetSequenceCaches();
  hg_session.sequence_used = hg_session.sequence_read = false;
  if (!hg_session.has_temp && !hg_session.temp_dirty) return;
  PushActiveSnapshot(GetTransactionSnapshot());
  ResetTempTableNamespace();
  PopActiveSnapshot();
  hg_session.temp_dirty = true;
}

static bool same_names(const List* a, const List* b) {
  if (list_length(a) != list_length(b)) return false;
  for (int i = 0; i < list_length(a); ++i)
    if (strcmp(list_nth(a, i), list_nth(b, i)) != 0) return false;
  return true;
}

static void set_channels(const List* wanted) {
  hg_session_restoring("channels", "");
  if (same_names(hg_session_channels(), wanted)) return;
  Async_UnlistenAll();
  ListCell* cell;
  foreach (cell, wanted) {
    const char* channel = lfirst(cell);
    hg_session_restoring("channel", channel);
    if (channel[0] == '\0' || strlen(channel) >= NAMEDATALEN)
      ereport(ERROR, errcode(ERRCODE_INVALID_NAME), errmsg("invalid name of a channel"));
    PreventCommandDuringRecovery("LISTEN");
    Async_Listen(channel);
  }
  hg_session.listened = true;
}

// ---- Settings ----

static bool is_set(const char* name) {
  const struct config_generic* setting = hg_find_setting(name);
  return setting != NULL && setting->source == PGC_S_SESSION;
}

static GucContext own_rights(void) {
  return GetAuthenticatedUserIsSuperuser() ? PGC_SUSET : PGC_USERSET;
}

static void set_or_reset(const char* name, const char* value) {
  hg_set_setting(name, value, own_rights(), PGC_S_SESSION, GetAuthenticatedUserId());
}

// RESET SESSION AUTHORIZATION resets the role as well.
static void become_login_role(void) {
  hg_session_restoring("role", "");
  if (is_set("session_authorization"))
    set_or_reset("session_authorization", NULL);
  else if (is_set("role"))
    set_or_reset("role", NULL);
}

static bool is_in_place(const struct config_generic* setting, const HgNamedValue* wanted) {
  return setting->source == PGC_S_SESSION && setting->scontext == own_rights() &&
         setting->srole == GetAuthenticatedUserId() &&
         strcmp(hg_setting_value((struct config_generic*)setting), wanted->value) == 0;
}

// As RESET ALL, but for settings that are wanted as they are: those leave the list.
static List* reset_settings(List* wanted) {
  const int many = list_length(wanted);
  struct config_generic** found = palloc((many + 1) * sizeof(struct config_generic*));
  for (int i = 0; i < many; ++i)
    found[i] = hg_find_setting(((HgNamedValue*)list_nth(wanted, i))->name);
  List* missing = NIL;
  int count;
  struct config_generic** settings = hg_settings(&count);
  bool* kept = palloc0((many + 1) * sizeof(bool));
  for (int i = 0; i < count; ++i) {
    struct config_generic* setting = settings[i];
    if (setting->source <= PGC_S_OVERRIDE || (setting->flags & GUC_NO_RESET_ALL)) continue;
    if (setting->context != PGC_SUSET && setting->context != PGC_USERSET) continue;
    int at = 0;
    while (at < many && found[at] != setting) ++at;
    kept[at] = at < many && is_in_place(setting, list_nth(wanted, at));
    if (kept[at]) continue;
    hg_session_restoring("setting", setting->name);
    hg_set_setting(setting->name, NULL, PGC_SUSET, PGC_S_SESSION, GetAuthenticatedUserId());
  }
  for (int i = 0; i < many; ++i)
    if (!kept[i]) missing = lappend(missing, list_nth(wanted, i));
  return missing;
}

static void set_all(const List* wanted) {
  ListCell* cell;
  foreach (cell, wanted) {
    const HgNamedValue* one = lfirst(cell);
    hg_session_restoring("setting", one->name);
    set_or_reset(one->name, one->value);
  }
}

static void set_known(const List* wanted) {
  hg_session_restoring("custom settings", "");
  hg_session_hide_known(wanted);
  ListCell* cell;
  foreach (cell, wanted) {
    hg_session_restoring("custom setting", lfirst(cell));
    hg_session_make_known(lfirst(cell));
  }
}

static void set_identity(const Wanted* wanted) {
  hg_session_restoring("session_authorization", "");
  if (wanted->session_authorization != NULL)
    set_or_reset("session_authorization", wanted->session_authorization);
  hg_session_restoring("role", "");
  if (wanted->role != NULL) set_or_reset("role", wanted->role);
}

// ---- All of it ----

// What was meant for the session before: its timeout, a cancel that came late.
static void forget_interrupts(void) {
  if (get_timeout_active(STATEMENT_TIMEOUT)) disable_timeout(STATEMENT_TIMEOUT, false);
  QueryCancelPending = false;
}

static void restore(const VariableSetStmt* statement) {
  forget_interrupts();
  const Wanted wanted = read_list(statement);
  refuse_what_stays();
  drop_objects();
  become_login_role();
  List* missing = reset_settings(wanted.settings);
  hg_session_startup_set(wanted.defaults, wanted.startup);
  set_all(missing);
  set_known(wanted.known);
  set_identity(&wanted);
  set_channels(wanted.channels);
  hg_session_prepare_all(wanted.statements);
  hg_session.dirty = true;
}

// A startup setting that fails is mostly one of a login, which hears of it as from Postgres.
static pg_attribute_noreturn() void end_connection(const ErrorData* cause) {
  const bool named = doing_name[0] != '\0';
  ereport(FATAL, errcode(cause->sqlerrcode),
          strcmp(doing_what, HG_STARTUP_SETTING) == 0
              ? errmsg_internal("%s", cause->message)
              : errmsg("cannot restore the session: %s%s%s%s: %s", doing_what, named ? " \"" : "",
                       doing_name, named ? "\"" : "", cause->message),
          cause->detail != NULL ? errdetail_internal("%s", cause->detail) : 0,
          cause->hint != NULL ? errhint("%s", cause->hint) : 0);
}

void hg_session_restore(const VariableSetStmt* statement, bool top_level) {
  int at = 0;
  const bool is_list = statement->kind == VAR_SET_VALUE && !statement->is_local;
  hg_session_require_pass(is_list ? hg_session_item(statement->args, &at) : NULL,
                          HALOGEN_SESSION_STATE_PARAMETER);
  PreventInTransactionBlock(top_level, "SET " HALOGEN_SESSION_STATE_PARAMETER);
  MemoryContext old = CurrentMemoryContext;
  unfinished = true;
  PG_TRY();
  {
    restore(statement);
  }
  PG_CATCH();
  {
    MemoryContextSwitchTo(old);
    ErrorData* cause = CopyErrorData();
    FlushErrorState();
    end_connection(cause);
  }
  PG_END_TRY();
}

void hg_session_restore_ended(void) { unfinished = false; }

void hg_session_check_restored(void) {
  if (unfinished)
    ereport(FATAL, errcode(ERRCODE_TRANSACTION_ROLLBACK),
            errmsg("cannot restore the session: its transaction failed"));
}
