// session_names.c: the names by which a client knows statements of the protocol, where the server
// knows them by others: SET halogen.names. Contract: protocol/session_state.h.
#include "session.h"

#include "commands/prepare.h"
#include "utils/memutils.h"

#include "protocol/session_state.h"

typedef struct KnownName {
  const char* name;
  const char* server_name;
  const char* error;  // SQLSTATE and message; "": none.
} KnownName;

static MemoryContext memory;  // Of the list.
static List* names;           // KnownName*.

static KnownName* find(const char* name) {
  ListCell* cell;
  foreach (cell, names)
    if (strcmp(((KnownName*)lfirst(cell))->name, name) == 0) return lfirst(cell);
  return NULL;
}

void hg_session_forget_names(void) {
  names = NIL;
  if (memory != NULL) MemoryContextReset(memory);
}

void hg_session_set_names(const VariableSetStmt* statement) {
  int at = 0;
  const char* pass = statement->args != NIL ? hg_session_item(statement->args, &at) : NULL;
  hg_session_require_pass(pass, HALOGEN_NAMES_PARAMETER);
  hg_session_forget_names();
  if (memory == NULL)
    memory = AllocSetContextCreate(hg_session.memory, "halogen names", ALLOCSET_SMALL_SIZES);
  MemoryContext old = MemoryContextSwitchTo(memory);
  while (at < list_length(statement->args)) {
    KnownName* one = palloc(sizeof(KnownName));
    one->name = pstrdup(hg_session_item(statement->args, &at));
    one->server_name = pstrdup(hg_session_item(statement->args, &at));
    one->error = pstrdup(hg_session_item(statement->args, &at));
    names = lappend(names, one);
  }
  MemoryContextSwitchTo(old);
}

// As Postgres would have raised it.
static void raise_error(const char* error) {
  if (strlen(error) < 5) return;
  const int code = MAKE_SQLSTATE(error[0], error[1], error[2], error[3], error[4]);
  if (!errstart(ERROR, NULL)) return;
  errcode(code);
  errmsg_internal("%s", error + 5);
  const bool result_type = code == ERRCODE_FEATURE_NOT_SUPPORTED;
  errfinish(result_type ? "plancache.c" : __FILE__, __LINE__,
            result_type ? "RevalidateCachedQuery" : __func__);
}

void hg_session_rename(ExecuteStmt* statement) {
  const KnownName* known = find(statement->name);
  if (known == NULL) return;
  raise_error(known->error);
  statement->name = pstrdup(known->server_name);
}

void hg_session_check_protocol_name(const char* name) {
  if (find(name) != NULL)
    ereport(ERROR, errcode(ERRCODE_DUPLICATE_PSTATEMENT),
            errmsg("prepared statement \"%s\" already exists", name));
}

bool hg_session_deallocate_name(const char* name) {
  KnownName* known = find(name);
  if (known == NULL) return false;
  hg_session_tell(HALOGEN_DEALLOCATED_PARAMETER, known->name);
  names = list_delete_ptr(names, known);
  return true;
}

bool hg_session_is_of_protocol(const char* name) {
  const PreparedStatement* there = FetchPreparedStatement(name, false);
  return there != NULL && !there->from_sql;
}
