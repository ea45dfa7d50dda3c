// session_startup.c: the settings of a startup packet, given to a connection that began without.
//
// A setting has a reset value, which the file, the role, the database or the startup packet gave
// it. A restored session's startup packet takes its place as the real one would have, so that RESET
// goes there. What was there before is remembered as text and comes back when a later restore no
// longer names the setting.
#include "session.h"

#include "catalog/pg_authid.h"
#include "common/shortest_dec.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/timestamp.h"

#include "protocol/session_state.h"

// What a setting goes back to.
typedef struct Base {
  char* name;
  char* value;  // NULL: what is built in.
  GucSource source;
  GucContext context;
  Oid role;
  TimestampTz loaded;  // When the server's files had been read last.
  bool named;          // By the restore that is under way.
} Base;

static List* bases;      // Base*, of all settings that are overridden now.
static List* defaults;   // HgNamedValue*: what roles and databases gave this connection.
static StringInfo last;  // The last list of settings, names and values ended by zero bytes.
static int date_style;   // Before roles and databases had their say.
static int date_order;

void hg_session_startup_begins(void) {
  date_style = DateStyle;
  date_order = DateOrder;
}

static bool is_of_role_or_database(GucSource source) {
  return source >= PGC_S_GLOBAL && source <= PGC_S_DATABASE_USER;
}

static char* text_of_reset_value(const struct config_generic* setting) {
  switch (setting->vartype) {
    case PGC_BOOL:
      return pstrdup(((const struct config_bool*)setting)->reset_val ? "on" : "off");
    case PGC_INT:
      return psprintf("%d", ((const struct config_int*)setting)->reset_val);
    case PGC_REAL:
      return double_to_shortest_decimal(((const struct config_real*)setting)->reset_val);
    case PGC_STRING: {
      const char* value = ((const struct config_string*)setting)->reset_val;
      return value != NULL ? pstrdup(value) : NULL;
    }
    case PGC_ENUM: {
      struct config_enum* choice = (struct config_enum*)setting;
      return pstrdup(config_enum_lookup_by_value(choice, choice->reset_val));
    }
  }
  elog(ERROR, "setting \"%s\" is of unknown type", setting->name);
}

static Base* find_base(const char* name) {
  ListCell* cell;
  foreach (cell, bases)
    if (hg_compare_setting_names(((Base*)lfirst(cell))->name, name) == 0) return lfirst(cell);
  return NULL;
}

void hg_session_tell_defaults(void) {
  StringInfoData json;
  initStringInfo(&json);
  appendStringInfoChar(&json, '{');
  MemoryContext old = MemoryContextSwitchTo(hg_session.memory);
  for (int i = 0; i < GetNumConfigOptions(); ++i) {
    const struct config_generic* setting = get_guc_variables()[i];
    if (!is_of_role_or_database(setting->reset_source)) continue;
    HgNamedValue* one = palloc(sizeof(HgNamedValue));
    *one = (HgNamedValue){pstrdup(setting->name), text_of_reset_value(setting)};
    if (one->value == NULL) continue;
    defaults = lappend(defaults, one);
    hg_json_key(&json, one->name);
    hg_json_item(&json, one->value, strlen(one->value));
  }
  MemoryContextSwitchTo(old);
  appendStringInfoChar(&json, '}');
  if (defaults != NIL) hg_session_tell(HALOGEN_DEFAULTS_PARAMETER, json.data);
}

// A custom setting that nothing knows yet begins as nothing.
static void remember(const struct config_generic* setting, const char* name) {
  if (setting != NULL) name = setting->name;
  Base* base = find_base(name);
  if (base == NULL) {
    MemoryContext old = MemoryContextSwitchTo(hg_session.memory);
    base = palloc0(sizeof(Base));
    base->name = pstrdup(name);
    base->loaded = PgReloadTime;
    if (setting != NULL) {
      base->value = text_of_reset_value(setting);
      base->source = setting->reset_source;
      base->context = setting->reset_scontext;
      base->role = setting->reset_srole;
    }
    bases = lappend(bases, base);
    MemoryContextSwitchTo(old);
  }
  base->named = true;
}

static bool is_of_startup(GucSource source) {
  return is_of_role_or_database(source) || source == PGC_S_CLIENT;
}

// True if the server's files were read anew meanwhile and may say something else by now.
static bool put_back(const Base* base) {
  struct config_generic* setting = hg_find_setting(base->name);
  if (setting == NULL) return false;
  // As when a line is taken out of the file: a lower source could not replace it otherwise.
  setting->reset_source = PGC_S_DEFAULT;
  if (is_of_startup(setting->source)) setting->source = PGC_S_DEFAULT;
  for (GucStack* stack = setting->stack; stack != NULL; stack = stack->prev)
    if (is_of_startup(stack->source)) stack->source = PGC_S_DEFAULT;
  const GucSource source = base->value != NULL ? base->source : PGC_S_DEFAULT;
  hg_set_setting(base->name, base->value, PGC_POSTMASTER, source, base->role);
  setting->reset_scontext = base->context;
  if (setting->source == source) setting->scontext = base->context;
  return base->source <= PGC_S_FILE && base->loaded != PgReloadTime;
}

static void put_back_unnamed(void) {
  bool stale = false;
  ListCell* cell;
  foreach (cell, bases) {
    Base* base = lfirst(cell);
    if (base->named) continue;
    hg_session_restoring(HG_STARTUP_SETTING, base->name);
    stale |= put_back(base);
    pfree(base->name);
    if (base->value != NULL) pfree(base->value);
    pfree(base);
    bases = foreach_delete_current(bases, cell);
  }
  hg_session_restoring("configuration files", "");
  if (stale) ProcessConfigFile(PGC_SIGHUP);
}

// A date style that says only half takes the other half from what is there. In a startup packet
// that is the server's own, not that of the role or of another session.
static void set_as_startup_does(const char* name, const char* value) {
  const int style = DateStyle, order = DateOrder;
  DateStyle = date_style;
  DateOrder = date_order;
  hg_set_setting(name, value, GetAuthenticatedUserIsSuperuser() ? PGC_SU_BACKEND : PGC_BACKEND,
                 PGC_S_CLIENT, GetAuthenticatedUserId());
  const struct config_generic* setting = hg_find_setting("DateStyle");
  if (hg_compare_setting_names(name, "DateStyle") == 0 && setting->source == PGC_S_CLIENT) return;
  DateStyle = style;
  DateOrder = order;
}

static void set_one(const HgNamedValue* wanted) {
  hg_session_restoring(HG_STARTUP_SETTING, wanted->name);
  if (pg_strncasecmp(wanted->name, "halogen.", 8) == 0 || strncmp(wanted->name, "_pq_.", 5) == 0)
    ereport(ERROR, errcode(ERRCODE_CANT_CHANGE_RUNTIME_PARAM),
            errmsg("parameter \"%s\" cannot be changed", wanted->name));
  const struct config_generic* setting = hg_find_setting(wanted->name);
  // Else the server itself has set it, which the startup packet cannot change either.
  if (setting == NULL || setting->reset_source <= PGC_S_CLIENT) remember(setting, wanted->name);
  set_as_startup_does(wanted->name, wanted->value);
}

static const HgNamedValue* find_value(const List* values, const char* name) {
  ListCell* cell;
  foreach (cell, values)
    if (hg_compare_setting_names(((HgNamedValue*)lfirst(cell))->name, name) == 0)
      return lfirst(cell);
  return NULL;
}

static bool same_values(const List* a, const List* b) {
  if (list_length(a) != list_length(b)) return false;
  ListCell* cell;
  foreach (cell, a) {
    const HgNamedValue* one = lfirst(cell);
    const HgNamedValue* other = find_value(b, one->name);
    if (other == NULL || strcmp(one->value, other->value) != 0) return false;
  }
  return true;
}

// As if no role or database had set it; the server's files are to be read anew after that.
static void make_plain(const char* name) {
  const struct config_generic* setting = hg_find_setting(name);
  if (setting == NULL) return;
  remember(setting, name);
  const Base plain = {.name = (char*)name, .source = PGC_S_DEFAULT, .context = PGC_INTERNAL};
  put_back(&plain);
}

// What roles and databases gave the session that is restored. They had the right to.
static void take_defaults(const List* wanted) {
  bool stale = false;
  ListCell* cell;
  foreach (cell, defaults) {
    const char* name = ((HgNamedValue*)lfirst(cell))->name;
    if (find_value(wanted, name) != NULL) continue;
    hg_session_restoring(HG_STARTUP_SETTING, name);
    make_plain(name);
    stale = true;
  }
  if (stale) ProcessConfigFile(PGC_SIGHUP);
  foreach (cell, wanted) {
    const HgNamedValue* one = lfirst(cell);
    hg_session_restoring(HG_STARTUP_SETTING, one->name);
    remember(hg_find_setting(one->name), one->name);
    hg_set_setting(one->name, one->value, PGC_SUSET, PGC_S_CLIENT, BOOTSTRAP_SUPERUSERID);
  }
}

static void mark_named(const List* settings) {
  ListCell* cell;
  foreach (cell, settings) {
    const HgNamedValue* one = lfirst(cell);
    const struct config_generic* setting = hg_find_setting(one->name);
    Base* base = find_base(setting != NULL ? setting->name : one->name);
    if (base != NULL) base->named = true;
  }
}

// The parameter `options`: words as for the command line of postgres, of which those that name a
// setting are understood.
static List* settings_of_options(const char* text) {
  List* settings = NIL;
  char** words = palloc((strlen(text) / 2 + 2) * sizeof(char*));
  int count = 0;
  pg_split_opts(words, &count, text);
  for (int i = 0; i < count; ++i) {
    const char* word = words[i];
    if (strncmp(word, "-c", 2) != 0 && strncmp(word, "--", 2) != 0)
      ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
              errmsg("option \"%s\" is not supported", word));
    word = strcmp(word, "-c") == 0 && i + 1 < count ? words[++i] : word + 2;
    char *name, *value;
    ParseLongOption(word, &name, &value);
    if (value == NULL)
      ereport(ERROR, errcode(ERRCODE_SYNTAX_ERROR), errmsg("-c %s requires a value", name));
    HgNamedValue* setting = palloc(sizeof(HgNamedValue));
    *setting = (HgNamedValue){pstrdup(name), pstrdup(value)};
    free(name);
    free(value);
    settings = lappend(settings, setting);
  }
  return settings;
}

// `options` comes first, wherever it stands in the packet.
static List* expand(const List* wanted) {
  hg_session_restoring(HG_STARTUP_SETTING, "options");
  List* options = NIL;
  List* others = NIL;
  ListCell* cell;
  foreach (cell, wanted) {
    HgNamedValue* one = lfirst(cell);
    if (strcmp(one->name, "options") == 0)
      options = list_concat(options, settings_of_options(one->value));
    else
      others = lappend(others, one);
  }
  return list_concat(options, others);
}

static void append_values(StringInfo text, const List* values) {
  ListCell* cell;
  foreach (cell, values) {
    const HgNamedValue* one = lfirst(cell);
    appendBinaryStringInfo(text, one->name, strlen(one->name) + 1);
    appendBinaryStringInfo(text, one->value, strlen(one->value) + 1);
  }
  appendStringInfoChar(text, '\0');
}

// True if these are the lists of the last restore, so that all is in place.
static bool is_last(const List* wanted_defaults, const List* wanted) {
  StringInfoData text;
  initStringInfo(&text);
  append_values(&text, wanted_defaults);
  append_values(&text, wanted);
  if (last == NULL) {
    MemoryContext old = MemoryContextSwitchTo(hg_session.memory);
    last = makeStringInfo();
    MemoryContextSwitchTo(old);
  }
  const bool same = last->len == text.len && memcmp(last->data, text.data, text.len) == 0;
  resetStringInfo(last);
  appendBinaryStringInfo(last, text.data, text.len);
  return same;
}

void hg_session_startup_set(const List* wanted_defaults, const List* wanted) {
  if (is_last(wanted_defaults, wanted)) return;
  bool preloads = false;
  ListCell* cell;
  foreach (cell, bases) ((Base*)lfirst(cell))->named = false;
  List* settings = expand(wanted);
  mark_named(settings);
  const bool others = !same_values(wanted_defaults, defaults);
  if (others) {
    mark_named(wanted_defaults);
    mark_named(defaults);
  }
  put_back_unnamed();
  if (others) take_defaults(wanted_defaults);
  foreach (cell, settings) {
    const HgNamedValue* one = lfirst(cell);
    set_one(one);
    preloads |= strstr(one->name, "_preload_libraries") != NULL && one->value[0] != '\0';
  }
  if (!preloads) return;
  process_session_preload_libraries();
  hg_session.library_loaded = true;
}
