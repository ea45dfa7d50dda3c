// session_prepared.c: statements made by PREPARE: told, and prepared anew in another connection.
//
// One that cannot be prepared when its session is restored, because a table it names is gone, is
// *late*: Postgres does not know it, the session has it all the same. It is prepared when it is
// asked for, with the error that it would have given in its old connection, or none if the table is
// back.
#include "session.h"

#include "access/xact.h"
#include "commands/prepare.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "storage/proc.h"
#include "tcop/utility.h"
#include "utils/snapmgr.h"

typedef struct Late {
  char* name;
  char* text;
  List* settings;  // HgNamedValue*.
} Late;

static List* all_late;  // Late*, in hg_session.memory as what they hold.
static post_parse_analyze_hook_type next_analyze;

static Late* find_late(const char* name) {
  ListCell* cell;
  foreach (cell, all_late)
    if (strcmp(((Late*)lfirst(cell))->name, name) == 0) return lfirst(cell);
  return NULL;
}

// In hg_session.memory.
static List* copy_settings(const List* settings) {
  List* copy = NIL;
  ListCell* cell;
  foreach (cell, settings) {
    const HgNamedValue* from = lfirst(cell);
    HgNamedValue* to = palloc(sizeof(HgNamedValue));
    to->name = pstrdup(from->name);
    to->value = pstrdup(from->value);
    copy = lappend(copy, to);
  }
  return copy;
}

static void free_settings(List* settings) {
  ListCell* cell;
  foreach (cell, settings) {
    const HgNamedValue* one = lfirst(cell);
    pfree((char*)one->name);
    pfree((char*)one->value);
  }
  list_free_deep(settings);
}

static void free_prepared(HgPrepared* one) {
  pfree(one->name);
  free_settings(one->settings);
  pfree(one);
}

void hg_session_prepared_as(const char* name) {
  ListCell* cell;
  foreach (cell, hg_session.prepared) {
    HgPrepared* one = lfirst(cell);
    if (strcmp(one->name, name) != 0) continue;
    free_prepared(one);
    hg_session.prepared = foreach_delete_current(hg_session.prepared, cell);
  }
  const List* settings = hg_session_parse_settings();
  MemoryContext old = MemoryContextSwitchTo(hg_session.memory);
  HgPrepared* one = palloc(sizeof(HgPrepared));
  one->name = pstrdup(name);
  one->settings = copy_settings(settings);
  hg_session.prepared = lappend(hg_session.prepared, one);
  MemoryContextSwitchTo(old);
}

static void add_late(const char* name, const HgStatement* statement) {
  MemoryContext old = MemoryContextSwitchTo(hg_session.memory);
  Late* late = palloc(sizeof(Late));
  late->name = pstrdup(name);
  late->text = pstrdup(statement->text);
  late->settings = copy_settings(statement->settings);
  all_late = lappend(all_late, late);
  MemoryContextSwitchTo(old);
}

static void forget_late(Late* late) {
  all_late = list_delete_ptr(all_late, late);
  pfree(late->name);
  pfree(late->text);
  free_settings(late->settings);
  pfree(late);
}

static void forget_all_late(void) {
  while (all_late != NIL) forget_late(linitial(all_late));
}

// ---- The report ----

static void append_settings(StringInfo out, const List* settings) {
  if (settings == NIL) return;
  hg_json_key(out, "settings");
  appendStringInfoChar(out, '{');
  ListCell* cell;
  foreach (cell, settings) {
    const HgNamedValue* one = lfirst(cell);
    hg_json_key(out, one->name);
    hg_json_item(out, one->value, strlen(one->value));
  }
  appendStringInfoChar(out, '}');
}

static void append_one(StringInfo out, const char* name, const char* text, size_t length,
                       const List* settings) {
  if (out->data[out->len - 1] == '}') appendStringInfoChar(out, ',');
  appendStringInfoChar(out, '{');
  hg_json_key(out, "name");
  hg_json_item(out, name, strlen(name));
  hg_json_key(out, "statement");
  hg_json_item(out, text, length);
  hg_json_key(out, "from_sql");
  appendStringInfoString(out, "true");
  append_settings(out, settings);
  appendStringInfoChar(out, '}');
}

// Its own text, cut out of the query it came in.
static void append_statement(StringInfo out, const PreparedStatement* statement,
                             const List* settings) {
  const char* text = statement->plansource->query_string;
  const RawStmt* raw = statement->plansource->raw_parse_tree;
  if (raw->stmt_location > 0) text += raw->stmt_location;
  size_t length = raw->stmt_len > 0 ? strnlen(text, raw->stmt_len) : strlen(text);
  if (text[length] == ';') ++length;  // pg_prepared_statements shows it.
  for (; length > 0 && isspace((unsigned char)*text); --length) ++text;
  while (length > 0 && isspace((unsigned char)text[length - 1])) --length;
  append_one(out, statement->stmt_name, text, length, settings);
}

static const PreparedStatement* find_prepared(const char* name) {
  const PreparedStatement* statement = FetchPreparedStatement(name, false);
  return statement != NULL && statement->from_sql ? statement : NULL;
}

static void leave_out_what_is_gone(void) {
  ListCell* cell;
  foreach (cell, hg_session.prepared) {
    HgPrepared* one = lfirst(cell);
    if (find_prepared(one->name) != NULL) continue;
    free_prepared(one);
    hg_session.prepared = foreach_delete_current(hg_session.prepared, cell);
  }
}

void hg_session_append_prepared(StringInfo out) {
  leave_out_what_is_gone();
  if (hg_session.prepared == NIL && all_late == NIL) return;
  hg_json_key(out, "prepared");
  appendStringInfoChar(out, '[');
  ListCell* cell;
  foreach (cell, hg_session.prepared) {
    const HgPrepared* one = lfirst(cell);
    append_statement(out, find_prepared(one->name), one->settings);
  }
  foreach (cell, all_late) {
    const Late* late = lfirst(cell);
    append_one(out, late->name, late->text, strlen(late->text), late->settings);
  }
  appendStringInfoChar(out, ']');
}

// ---- The restore ----

void hg_session_drop_prepared(void) {
  ListCell* cell;
  foreach (cell, hg_session.prepared) {
    HgPrepared* one = lfirst(cell);
    if (find_prepared(one->name) != NULL) DropPreparedStatement(one->name, false);
    free_prepared(one);
  }
  list_free(hg_session.prepared);
  hg_session.prepared = NIL;
  forget_all_late();
}

// NULL if it is something else.
static RawStmt* parse_prepare(const char* text) {
  List* statements = raw_parser(text, RAW_PARSE_DEFAULT);
  RawStmt* raw = list_length(statements) == 1 ? linitial(statements) : NULL;
  return raw != NULL && IsA(raw->stmt, PrepareStmt) ? raw : NULL;
}

// NULL as well, if it reads as something else now.
static const char* run_prepare(const HgStatement* statement) {
  const int level = hg_session_parse_under(statement->settings);
  const char* text = statement->text;
  const RawStmt* raw = parse_prepare(text);
  if (raw == NULL) {
    hg_session_parse_done(level);
    return NULL;
  }
  PlannedStmt* plan = makeNode(PlannedStmt);
  plan->commandType = CMD_UTILITY;
  plan->utilityStmt = raw->stmt;
  plan->stmt_location = raw->stmt_location;
  plan->stmt_len = raw->stmt_len;
  PushActiveSnapshot(GetTransactionSnapshot());
  ProcessUtility(plan, text, false, PROCESS_UTILITY_QUERY, NULL, NULL, None_Receiver, NULL);
  PopActiveSnapshot();
  hg_session_parse_done(level);
  return ((const PrepareStmt*)raw->stmt)->name;
}

// The name in its text, wherever that can be read.
static const char* name_in(const HgStatement* statement) {
  const int level = hg_session_parse_under(statement->settings);
  const RawStmt* raw = parse_prepare(statement->text);
  hg_session_parse_done(level);
  return raw != NULL ? ((const PrepareStmt*)raw->stmt)->name : NULL;
}

// Being told to stop, a deadlock or a full memory are no fault of the statement.
static void forgive(ErrorData* error) {
  const int class = ERRCODE_TO_CATEGORY(error->sqlerrcode);
  if (class == ERRCODE_OPERATOR_INTERVENTION || class == ERRCODE_INSUFFICIENT_RESOURCES ||
      class == ERRCODE_TRANSACTION_ROLLBACK || class == ERRCODE_INTERNAL_ERROR)
    ReThrowError(error);
  ereport(DEBUG1, errmsg("statement not restored yet: %s", error->message));
  FreeErrorData(error);
}

static void prepare_or_put_off(const HgStatement* statement) {
  MemoryContext old = CurrentMemoryContext;
  ResourceOwner owner = CurrentResourceOwner;
  const char* volatile name = NULL;
  hg_session_restoring("prepared statement", "");
  BeginInternalSubTransaction(NULL);
  MemoryContextSwitchTo(old);
  PG_TRY();
  {
    name = name_in(statement);
    if (name != NULL) run_prepare(statement);
    ReleaseCurrentSubTransaction();
    MemoryContextSwitchTo(old);
    CurrentResourceOwner = owner;
  }
  PG_CATCH();
  {
    MemoryContextSwitchTo(old);
    ErrorData* error = CopyErrorData();
    FlushErrorState();
    RollbackAndReleaseCurrentSubTransaction();
    MemoryContextSwitchTo(old);
    CurrentResourceOwner = owner;
    forgive(error);
    const bool taken = name == NULL || FetchPreparedStatement(name, false) || find_late(name);
    if (!taken) add_late(name, statement);
  }
  PG_END_TRY();
}

// They were prepared before: that the session has to wait for their tables now is not its fault.
void hg_session_prepare_all(const List* statements) {
  const int timeout = LockTimeout;
  LockTimeout = 0;
  ListCell* cell;
  foreach (cell, statements) prepare_or_put_off(lfirst(cell));
  LockTimeout = timeout;
}

// ---- Those that are late ----

// Of EXECUTE, EXPLAIN EXECUTE or CREATE TABLE AS EXECUTE; NULL in all else.
static ExecuteStmt* executed(Node* statement) {
  if (statement == NULL) return NULL;
  switch (nodeTag(statement)) {
    case T_ExecuteStmt:
      return (ExecuteStmt*)statement;
    case T_ExplainStmt:
      return executed(castNode(Query, ((ExplainStmt*)statement)->query)->utilityStmt);
    case T_CreateTableAsStmt:
      return executed(castNode(Query, ((CreateTableAsStmt*)statement)->query)->utilityStmt);
    default:
      return NULL;
  }
}

// It has to be there before Postgres asks what the statement returns, and by the server's name.
static void watch_analyze(ParseState* state, Query* query, JumbleState* jumble) {
  if (next_analyze != NULL) next_analyze(state, query, jumble);
  hg_session_tell_parse_settings(state->p_sourcetext);
  ExecuteStmt* statement = executed(query->utilityStmt);
  if (statement == NULL) return;
  hg_session_rename(statement);
  Late* late = all_late != NIL ? find_late(statement->name) : NULL;
  if (late == NULL) return;
  const HgStatement wanted = {late->text, late->settings};
  if (run_prepare(&wanted) != NULL) forget_late(late);
}

void hg_session_check_name(const char* name, const char* text) {
  const Late* late = find_late(name);
  if (late != NULL && late->text != text)
    ereport(ERROR, errcode(ERRCODE_DUPLICATE_PSTATEMENT),
            errmsg("prepared statement \"%s\" already exists", name));
}

bool hg_session_deallocate_late(const char* name) {
  if (name == NULL) {
    forget_all_late();
    return false;
  }
  Late* late = find_late(name);
  if (late != NULL) forget_late(late);
  return late != NULL;
}

void hg_session_watch_prepared(void) {
  next_analyze = post_parse_analyze_hook;
  post_parse_analyze_hook = watch_analyze;
}
