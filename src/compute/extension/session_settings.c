// session_settings.c: what SET and set_config left behind.
#include "session.h"

#include "common/shortest_dec.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"

// They describe the current transaction and start anew with each; a plain SET of one leaves the
// source of a session's setting behind, but nothing else.
static bool is_of_transaction(const char* name) {
  return strcmp(name, "transaction_isolation") == 0 || strcmp(name, "transaction_read_only") == 0 ||
         strcmp(name, "transaction_deferrable") == 0;
}

static const char* string_value(const struct config_string* setting) {
  // Role and time zone are kept in a form of their own; what they show can be set.
  if (setting->show_hook != NULL) return setting->show_hook();
  return *setting->variable != NULL ? *setting->variable : "";
}

const char* hg_setting_value(struct config_generic* setting) {
  // Numbers are in the setting's base unit: what SHOW says of them can be rounded, or be what the
  // socket uses now.
  switch (setting->vartype) {
    case PGC_BOOL:
      return *((struct config_bool*)setting)->variable ? "on" : "off";
    case PGC_INT:
      return psprintf("%d", *((struct config_int*)setting)->variable);
    case PGC_REAL:
      return double_to_shortest_decimal(*((struct config_real*)setting)->variable);
    case PGC_STRING:
      return string_value((struct config_string*)setting);
    case PGC_ENUM: {
      struct config_enum* choice = (struct config_enum*)setting;
      return config_enum_lookup_by_value(choice, *choice->variable);
    }
  }
  elog(ERROR, "setting \"%s\" is of unknown type", setting->name);
}

static bool is_identity(const char* name) {
  return strcmp(name, "role") == 0 || strcmp(name, "session_authorization") == 0;
}

static void append_identity(StringInfo out, struct config_generic* setting) {
  const char* reset = ((struct config_string*)setting)->reset_val;
  const char* value = hg_setting_value(setting);
  if (strcmp(value, reset != NULL ? reset : "none") == 0) return;
  hg_json_key(out, setting->name);
  hg_json_item(out, value, strlen(value));
}

// Who set it did so with rights of its own (a SECURITY DEFINER function, SET ROLE): the login role
// cannot do it again, nor should it learn the value.
static bool is_privileged(const struct config_generic* setting) {
  return setting->context == PGC_SUSET && setting->srole != GetAuthenticatedUserId();
}

static List* known_names(void) {
  List* names = NIL;
  int count;
  struct config_generic** settings = hg_settings(&count);
  for (int i = 0; i < count; ++i)
    if (hg_session_is_known(settings[i])) names = lappend(names, (char*)settings[i]->name);
  return names;
}

bool hg_session_settings(StringInfo out) {
  bool privileged = false;
  StringInfoData identity;
  initStringInfo(&identity);
  const int start = out->len;
  int count;
  struct config_generic** settings = hg_settings(&count);
  for (int i = 0; i < count; ++i) {
    struct config_generic* setting = settings[i];
    if (setting->source != PGC_S_SESSION || is_of_transaction(setting->name)) continue;
    if (strcmp(setting->name, "seed") == 0) {
      hg_session.seeded = true;
    } else if (is_identity(setting->name)) {
      append_identity(&identity, setting);
    } else if (is_privileged(setting)) {
      privileged = true;
    } else {
      if (out->len == start) {
        hg_json_key(out, "settings");
        appendStringInfoChar(out, '{');
      }
      const char* value = hg_setting_value(setting);
      hg_json_key(out, setting->name);
      hg_json_item(out, value, strlen(value));
    }
  }
  const bool any = out->len != start;
  if (any) appendStringInfoChar(out, '}');
  if (identity.len > 0) {
    if (any) appendStringInfoChar(out, ',');
    appendBinaryStringInfo(out, identity.data, identity.len);
  }
  hg_json_names(out, "known", known_names());
  return privileged;
}
