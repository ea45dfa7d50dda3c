// session_custom.c: custom settings (`my.name`) that exist without a value.
//
// Once a session has named one, if only with SET LOCAL, current_setting() says '' where it had
// raised an error or said null before, and nothing that SQL can do ends that. A restored session
// must not see the names of the one before. Postgres cannot take a setting away, so it gets a name
// that no one can give, which comes last in the order by name that lookups rely on. What many
// sessions have left is thrown away together.
#include "session.h"

#include "utils/guc.h"
#include "utils/guc_tables.h"

#define HIDDEN_PREFIX "~halogen"  // '~' is allowed in no name.

static char kHiddenName[] = HIDDEN_PREFIX ".hidden";
enum { kMostHidden = 256 };

static List* inherited;  // char*: were there, without a value, when the session began.

static bool is_hidden(const struct config_generic* setting) { return setting->name == kHiddenName; }

static bool is_inherited(const char* name) {
  ListCell* cell;
  foreach (cell, inherited)
    if (strcmp(lfirst(cell), name) == 0) return true;
  return false;
}

bool hg_session_is_known(const struct config_generic* setting) {
  return hg_is_placeholder(setting) && setting->source == PGC_S_DEFAULT &&
         setting->reset_source == PGC_S_DEFAULT && !is_hidden(setting) &&
         !is_inherited(setting->name);
}

void hg_session_custom_begins(void) {
  int count;
  struct config_generic** settings = hg_settings(&count);
  MemoryContext old = MemoryContextSwitchTo(hg_session.memory);
  List* found = NIL;
  for (int i = 0; i < count; ++i)
    if (hg_session_is_known(settings[i])) found = lappend(found, pstrdup(settings[i]->name));
  inherited = found;
  MemoryContextSwitchTo(old);
}

static int hidden_count(void) {
  int count, hidden = 0;
  struct config_generic** settings = hg_settings(&count);
  while (hidden < count && is_hidden(settings[count - 1 - hidden])) ++hidden;
  return hidden;
}

// Moves the hidden ones to the end.
static void keep_order(struct config_generic** settings, int count) {
  struct config_generic** hidden = palloc(count * sizeof(struct config_generic*));
  int shown = 0, hidden_count = 0;
  for (int i = 0; i < count; ++i) {
    if (is_hidden(settings[i]))
      hidden[hidden_count++] = settings[i];
    else
      settings[shown++] = settings[i];
  }
  memcpy(settings + shown, hidden, hidden_count * sizeof(struct config_generic*));
  pfree(hidden);
}

static bool is_named(const List* names, const char* name) {
  ListCell* cell;
  foreach (cell, names)
    if (hg_compare_setting_names(lfirst(cell), name) == 0) return true;
  return false;
}

// Reserving their prefix is the one thing that takes placeholders out. It warns of each.
static void throw_hidden_away(void) {
  const int many = hidden_count();
  if (many < kMostHidden) return;
  int count;
  struct config_generic** settings = hg_settings(&count);
  struct config_generic** gone = palloc(many * sizeof(struct config_generic*));
  memcpy(gone, settings + count - many, many * sizeof(struct config_generic*));
  const int to_client = client_min_messages, to_log = log_min_messages;
  client_min_messages = log_min_messages = PANIC;
  MarkGUCPrefixReserved(HIDDEN_PREFIX);
  client_min_messages = to_client;
  log_min_messages = to_log;
  for (int i = 0; i < many; ++i) free(gone[i]);
  pfree(gone);
}

void hg_session_hide_known(const List* wanted) {
  throw_hidden_away();
  int count, hidden = 0;
  struct config_generic** settings = hg_settings(&count);
  for (int i = 0; i < count; ++i) {
    struct config_generic* setting = settings[i];
    if (!hg_session_is_known(setting) || is_named(wanted, setting->name)) continue;
    free((char*)setting->name);
    setting->name = kHiddenName;
    ++hidden;
  }
  if (hidden > 0) keep_order(settings, count);
}

void hg_session_make_known(const char* name) {
  if (strchr(name, '.') == NULL || hg_find_setting(name) != NULL) return;
  // Not set, only checked, which says whether the name is good and makes it if it is.
  set_config_option_ext(name, "", PGC_USERSET, PGC_S_SESSION, GetAuthenticatedUserId(),
                        GUC_ACTION_SET, false, ERROR, false);
}
