// session_parse.c: the settings under which SQL is parsed: told, and put in force for a statement
// that is parsed anew. Contract: protocol/session_state.h.
#include "session.h"

#include "access/xact.h"
#include "libpq/libpq.h"
#include "libpq/pqformat.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"

#include "protocol/parse_settings.h"
#include "protocol/session_state.h"

static const char* const harmless[] = {HALOGEN_HARMLESS_AT_PARSE};

static int window;  // The nest level of settings that stand for a Parse; 0: there are none.
static char* told;  // Changes of a transaction, as last told; NULL: none.

static bool matches(const char* pattern, const char* name) {
  const size_t size = strlen(pattern);
  if (strcmp(pattern, "*.*") == 0) return strchr(name, '.') != NULL;
  if (pattern[0] == '*') {
    char* middle = pnstrdup(pattern + 1, size - 2);
    const bool found = strstr(name, middle) != NULL;
    pfree(middle);
    return found;
  }
  if (pattern[size - 1] == '*') return strncmp(pattern, name, size - 1) == 0;
  return strcmp(pattern, name) == 0;
}

static bool counts(const struct config_generic* setting) {
  if (strcmp(setting->name, "role") == 0 || strcmp(setting->name, "session_authorization") == 0)
    return false;
  for (size_t i = 0; i < lengthof(harmless); ++i)
    if (matches(harmless[i], setting->name)) return false;
  return true;
}

// ---- What is told ----

static const char* changes_of_transaction(void) {
  StringInfoData out;
  initStringInfo(&out);
  appendStringInfoChar(&out, '{');
  int count;
  struct config_generic** settings = hg_settings(&count);
  for (int i = 0; i < count; ++i) {
    // What a transaction changes has a stack, of what it was before.
    if (settings[i]->stack == NULL || !counts(settings[i])) continue;
    const char* value = hg_setting_value(settings[i]);
    hg_json_key(&out, settings[i]->name);
    hg_json_item(&out, value, strlen(value));
  }
  appendStringInfoChar(&out, '}');
  return out.data;
}

void hg_session_tell(const char* name, const char* value) {
  StringInfoData message;
  pq_beginmessage(&message, 'S');
  pq_sendstring(&message, name);
  pq_sendstring(&message, value);
  pq_endmessage(&message);
}

void hg_session_tell_parse_settings(const char* source_text) {
  // Only of what the client says itself; functions have settings of their own.
  if (window > 0 || source_text != debug_query_string) return;
  if (!hg_session.dirty && told == NULL) return;
  const char* changes = changes_of_transaction();
  const bool none = strcmp(changes, "{}") == 0;
  if (told == NULL ? none : strcmp(told, changes) == 0) return;
  char* copy = none ? NULL : MemoryContextStrdup(hg_session.memory, changes);
  hg_session_tell(HALOGEN_PARSE_SETTINGS_PARAMETER, changes);
  if (told != NULL) pfree(told);
  told = copy;
}

List* hg_session_parse_settings(void) {
  List* found = NIL;
  int count;
  struct config_generic** settings = hg_settings(&count);
  for (int i = 0; i < count; ++i) {
    if (settings[i]->source != PGC_S_SESSION || !counts(settings[i])) continue;
    HgNamedValue* one = palloc(sizeof(HgNamedValue));
    one->name = pstrdup(settings[i]->name);
    one->value = pstrdup(hg_setting_value(settings[i]));
    found = lappend(found, one);
  }
  return found;
}

// ---- What is put in force ----

static bool is_named(const List* wanted, const char* name) {
  ListCell* cell;
  foreach (cell, wanted)
    if (hg_compare_setting_names(((HgNamedValue*)lfirst(cell))->name, name) == 0) return true;
  return false;
}

int hg_session_parse_under(const List* wanted) {
  const int level = NewGUCNestLevel();
  int count;
  struct config_generic** settings = hg_settings(&count);
  for (int i = 0; i < count; ++i) {
    const struct config_generic* setting = settings[i];
    if (setting->source != PGC_S_SESSION || !counts(setting) || is_named(wanted, setting->name))
      continue;
    hg_save_setting(setting->name, NULL, PGC_SUSET, GetAuthenticatedUserId());
  }
  ListCell* cell;
  foreach (cell, wanted) {
    const HgNamedValue* one = lfirst(cell);
    struct config_generic* setting = hg_find_setting(one->name);
    if (setting != NULL && strcmp(hg_setting_value(setting), one->value) == 0) continue;
    hg_save_setting(one->name, one->value,
                    GetAuthenticatedUserIsSuperuser() ? PGC_SUSET : PGC_USERSET,
                    GetAuthenticatedUserId());
  }
  return level;
}

void hg_session_parse_done(int level) { AtEOXact_GUC(true, level); }

void hg_session_set_parse(const VariableSetStmt* statement) {
  if (statement->kind == VAR_SET_DEFAULT) {
    if (window > 0) hg_session_parse_done(window);
    window = 0;
    return;
  }
  int at = 0;
  const char* pass = statement->args != NIL ? hg_session_item(statement->args, &at) : NULL;
  hg_session_require_pass(pass, HALOGEN_PARSE_SETTINGS_PARAMETER);
  List* wanted = NIL;
  while (at < list_length(statement->args)) {
    HgNamedValue* one = palloc(sizeof(HgNamedValue));
    one->name = hg_session_item(statement->args, &at);
    one->value = hg_session_item(statement->args, &at);
    wanted = lappend(wanted, one);
  }
  if (window > 0) hg_session_parse_done(window);
  window = 0;
  window = hg_session_parse_under(wanted);
}

// With the transaction its settings are undone.
void hg_session_parse_aborted(void) { window = 0; }
