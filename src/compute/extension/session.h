// session.h: the parts of telling the proxy what a session holds.
//
// Format and meaning of the message: protocol/session_state.h. One session per process, one thread.
#ifndef HALOGEN_EXTENSION_SESSION_H
#define HALOGEN_EXTENSION_SESSION_H

#include "pg.h"

#include "access/xact.h"
#include "lib/stringinfo.h"
#include "nodes/parsenodes.h"
#include "nodes/pg_list.h"

typedef struct HgNamedValue {
  const char* name;
  const char* value;
} HgNamedValue;

typedef struct HgPrepared {
  char* name;
  List* settings;  // HgNamedValue*, of the session as it was made.
} HgPrepared;

// What the hooks noticed. They may say more than there is: a report looks at the session itself,
// but for the members marked "told", which Postgres keeps where nobody can look.
typedef struct HgSession {
  MemoryContext memory;  // Lives as long as the session; holds the lists below.
  bool dirty;            // The state may differ from the last report.
  bool temp_dirty;       // Temporary objects may have come or gone.
  bool has_temp;         // As found by the last report.
  bool has_advisory;     // As found by the last report.
  bool listened;         // LISTEN was run at least once.
  bool sequence_used;    // Told: currval and lastval may have something to say.
  bool sequence_read;    // Told: the client called currval or lastval.
  bool seeded;           // Told: setseed was called.
  bool library_loaded;   // Told: LOAD was run.
  bool slot_made;        // Functions that make replication slots were called.
  uint64 deallocations;  // Told: how often all prepared statements were dropped.
  List* cursors;         // Names that DECLARE ... WITH HOLD was given (char*).
  List* prepared;        // What PREPARE was given (HgPrepared*).
} HgSession;

extern HgSession hg_session;

// session_report.c: defines halogen.report_session. Call when the library is loaded.
void hg_session_init(void);
// The report is due when the message now being worked on is done with.
void hg_session_report_later(void);
// From here to the end of the report there is a transaction to read catalogs in. Idempotent.
void hg_session_need_transaction(void);

// session_watch.c: the hooks that keep hg_session. Call once, in a session that reports.
void hg_session_watch(void);

// session_notify.c: marks around the notifications of a transaction.
void hg_session_notifies(void);  // Before NOTIFY or pg_notify.
void hg_session_notify_transaction(XactEvent event);
void hg_session_tell_notified(void);  // After the transaction, if it notified.

// session_settings.c: appends members settings, role, session_authorization and known. True if one
// more was set with rights that the login role does not have: not restorable.
bool hg_session_settings(StringInfo out);
// A text that set_config takes back to exactly the value that the setting has now.
const char* hg_setting_value(struct config_generic* setting);

// session_custom.c: custom settings that exist without a value, member known.
void hg_session_custom_begins(void);  // Call before the client can make some.
bool hg_session_is_known(const struct config_generic* setting);
void hg_session_hide_known(const List* wanted);  // All but these (char*).
void hg_session_make_known(const char* name);

// session_objects.c: appends the rest.
void hg_session_objects(StringInfo out, bool privileged_setting);
List* hg_session_channels(void);           // LISTEN's, in order (char*).
const char* hg_session_lasting_pin(void);  // One that no statement undoes; NULL if there is none.

// session_prepared.c: statements prepared by SQL; those that could not be prepared anew are late.
void hg_session_watch_prepared(void);
void hg_session_append_prepared(StringInfo out);
void hg_session_drop_prepared(void);
void hg_session_prepared_as(const char* name);  // PREPARE of this name has succeeded.
typedef struct HgStatement {
  const char* text;
  List* settings;  // HgNamedValue*.
} HgStatement;
void hg_session_prepare_all(const List* statements);  // HgStatement*; in a transaction.
// Before PREPARE of the query text `text`: ERROR if a late one has the name.
void hg_session_check_name(const char* name, const char* text);
// Before DEALLOCATE, NULL for all. True if it was a late one: then Postgres knows of none.
bool hg_session_deallocate_late(const char* name);

// session_restore.c: SET halogen.session.
const char* hg_session_own_statement(const Node* statement);  // The X of SET halogen.X, or NULL.
// The next of a list of string constants, moving on.
const char* hg_session_item(const List* items, int* at);
void hg_session_restore(const VariableSetStmt* statement, bool top_level);
void hg_session_restore_ended(void);   // Its transaction is committed.
void hg_session_check_restored(void);  // Before the next message: FATAL if it failed.
#define HG_STARTUP_SETTING "startup setting"
void hg_session_restoring(const char* what, const char* name);  // For the message of an error.

// session_startup.c: what the session's startup packet set, put over what this server started with.
void hg_session_startup_begins(void);  // Call while the startup packet is worked on.
void hg_session_tell_defaults(void);   // When roles and databases have given the session theirs.
// HgNamedValue*, what roles and databases gave the session, and as in the packet.
void hg_session_startup_set(const List* defaults, const List* wanted);

// session_pass.c: ERROR unless the pass is good, and not good twice.
void hg_session_pass_init(void);  // Call when the library is loaded.
void hg_session_require_pass(const char* pass, const char* name);

// session_parse.c: settings under which SQL is parsed.
void hg_session_tell(const char* name, const char* value);     // A ParameterStatus.
void hg_session_tell_parse_settings(const char* source_text);  // Before its ParseComplete.
List* hg_session_parse_settings(void);  // What the session has set (HgNamedValue*).
// Makes these, and only these, the settings of the session, until done with the level returned.
int hg_session_parse_under(const List* wanted);
void hg_session_parse_done(int level);
void hg_session_set_parse(const VariableSetStmt* statement);
void hg_session_parse_aborted(void);

// session_names.c: names of statements of the protocol.
void hg_session_set_names(const VariableSetStmt* statement);
void hg_session_forget_names(void);
void hg_session_rename(ExecuteStmt* statement);  // ERROR if that statement cannot be run any more.
void hg_session_check_protocol_name(const char* name);  // ERROR if the client has one.
bool hg_session_deallocate_name(const char* name);      // True if it was one; told.
bool hg_session_is_of_protocol(const char* name);       // By the name it has on the server.

// session_json.c: JSON in pure ASCII, so that no client encoding matters. A comma is put where one
// is needed. Raises ERROR for text that is not valid in the server's encoding.
void hg_json_key(StringInfo out, const char* key);
void hg_json_item(StringInfo out, const char* text, size_t length);  // In an array, or after a key.
void hg_json_names(StringInfo out, const char* key, const List* names);  // Nothing if none (char*).

#endif
