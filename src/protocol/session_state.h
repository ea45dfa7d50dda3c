// session_state.h: what a Postgres session holds, as the extension tells the proxy, and the
// statement by which the proxy makes another connection hold the same.
//
// A pooled server connection starts with the startup parameter `halogen.report_session=on`, and of
// others only with user, database and the secret below: what else its real startup packet set would
// belong to the server for good, under every session that is restored on it.
//
// ---- Passes ----
//
// Clients can say to their server what the proxy says. So the first item of each statement here is
// a pass: 'number.mac', with a number that is greater than those before on this connection and the
// HMAC-SHA256 of its digits, in hexadecimal, keyed by the digits of a secret. The proxy makes the
// secret for each connection, 64 hexadecimal digits, and tells it in the startup packet as
// `halogen.session_secret`; nothing shows it. A pass shows where statements show, and is of no use
// by then. With a pass that is wrong, or none, the statement is ERROR 42501 and does nothing.
//
// ---- The report ----
//
// The extension sends, only when it changed, a ParameterStatus message named kSessionStateParameter
// whose value is the whole state as one JSON object; the proxy takes it out of the stream. It comes
// right before ReadyForQuery, never inside a transaction block; in a pipeline also right after a
// transaction that ends before the Sync. The last one received holds. A fresh session has the state
// {} and says nothing; absent members are empty. What the startup packet set is not in it.
//
//   "settings": {"name": "value", ...}
//       Set in this session (SET, set_config, RESET takes it out again), even to the default. Give
//       it back with set_config(name, value, false), not with SET, which takes the value of a list
//       such as search_path for one item. Numbers are in the setting's base unit, without it.
//   "session_authorization": "name", "role": "name"
//       Only when they differ from those of the login; "none" is a role. Restore after the settings
//       and in this order.
//   "known": ["my.name", ...]
//       Custom settings without a value that the session has once named (SET LOCAL, RESET, a
//       function's SET): current_setting gives '' where a fresh session has an error or null.
//   "listen": ["channel", ...]
//   "prepared": [{"name": "n", "statement": "PREPARE n AS ...", "from_sql": true,
//                 "settings": {"name": "value", ...}}, ...]
//       By SQL, in the order made; those of the protocol are the proxy's own to know. The settings
//       are what the session had set as it was made, of those that count (parse_settings.h).
//   "deallocations": 2
//       How often DEALLOCATE ALL or DISCARD ALL dropped all prepared statements of this connection,
//       those of the protocol too. Only grows: a fact about the connection, not to be restored.
//   "sequence_used": true
//       nextval, setval, COPY FROM or an identity column may have left something for currval and
//       lastval to read. Not a pin: most sessions that insert never read it. DISCARD SEQUENCES (or
//       ALL, or a restore) ends it; run it before another client gets the connection, so that its
//       currval is an error and never a stranger's value.
//   "pins": ["advisory_lock", ...]
//       What cannot be given to another connection: the session keeps its server until it is gone.
//         advisory_lock temp_table holdable_cursor backup replication_origin replication_slot
//         replication        a connection of the replication protocol
//         sequence           sequence_used, and the client has called currval or lastval before
//         privileged_setting set with rights that the login role does not have (not among settings)
//         loaded_library random_seed
//         too_large          the state is over 256 KiB
//         unknown            the state could not be computed; tried again after each transaction
//       A restore (as DISCARD ALL) undoes advisory_lock, temp_table, holdable_cursor, sequence,
//       privileged_setting and too_large. The others it refuses: see below. loaded_library and
//       random_seed last until the connection ends: close it after its session.
//
// The JSON is pure ASCII (\uXXXX for all else), so it reads the same in every client encoding.
//
// ---- Notifications ----
//
// A transaction of such a session that notifies has its notifications stand between two of our own
// on the channel kNotifyChannel: "begin <number>" and "end <number>", from the same backend. After
// its commit, before ReadyForQuery, the session is sent a ParameterStatus kNotifiedParameter with
// the number (the last one, if there were several transactions). A number is that connection's own
// and only grows. What C code notifies by itself has no marks. "begin" is missing where the first
// notification was rolled back with its subtransaction. Clients may listen to the channel or use it
// themselves; they disturb nobody but the sessions of their own database.
//
// ---- Logins ----
//
// What a login depends on (roles, memberships, databases, who may connect, ALTER ROLE and ALTER
// DATABASE ... SET) has an *epoch*: a number that only grows, and does so whenever a transaction
// that changed any of it commits. A connection that reports is told
//   kLoginParameter  in its greeting: "epoch role database role_limit database_limit". The epoch is
//                    one before role and database (OIDs) were looked up, so that a change in
//                    between counts as one after. Limits are those on connections; -1: none.
//   kDefaultsParameter  in its greeting, if there are any: a JSON object of the settings, names and
//                    values, that ALTER ROLE and ALTER DATABASE ... SET gave it.
//   kEpochParameter  before ReadyForQuery, if the epoch is another than last told.
//   kVacateParameter at once, in the middle of a statement that waits until nobody uses a database:
//                    its OID. (DROP DATABASE and the like wait 5 s, then fail.)
// Superusers read the epoch by SHOW halogen.epoch.
//
// ---- Statements of the protocol ----
//
// What a text means is settled at its Parse by the session's settings then. The proxy has them from
// the reports. What the transaction under way has changed since is told in a ParameterStatus named
// kParseSettingsParameter, a JSON object of names and values, ahead of the ParseComplete of the
// first statement that this concerns: it holds until another is told.
//
//   SET halogen.parse TO pass, 'name', 'value', ...
//
// puts these settings in force and takes back whatever else the session has set, of those that
// count, until SET halogen.parse TO DEFAULT, which needs no pass. For what stands in between, a
// Parse. If the transaction fails, all is as before it.
//
//   SET halogen.names TO pass, 'name', 'server name', 'error', ...
//
// says by which names the session's client knows statements of the protocol, until the next such
// statement or restore. EXECUTE (also in EXPLAIN and CREATE TABLE AS) of such a name finds the
// statement, or raises the error if one is given: five letters of SQLSTATE and the message.
// PREPARE finds the name taken. DEALLOCATE takes the name away, not the statement, which other
// clients use; it is told in a ParameterStatus named kDeallocatedParameter with that name. So it is
// when DEALLOCATE drops a statement of the protocol by the name it has on the server.
//
// ---- The restore ----
//
//   SET halogen.session TO pass, 'operation', 'argument', ... , 'operation', ...
//
// makes the connection the session that is described, and nothing that is not: all else becomes as
// in a connection that has just begun. Each item is a string constant. Operations, done in the
// order of this list; those of one kind in the order given:
//
//   'default', name, value      A role or a database had given it to the session, as it was told in
//                               kDefaultsParameter. RESET goes back to it.
//   'startup', name, value      The session's startup packet said so. The value is given as the
//                               packet would (source `client`), so that RESET goes back to it.
//                               `options` may be given as one value: -c name=value, --name=value.
//                               Not user, database, replication, _pq_.*, halogen.*.
//   'setting', name, value      set_config(name, value, false)
//   'known', name
//   'session_authorization', name
//   'role', name
//   'listen', channel
//   'under', name, value        For the next 'prepare': a setting the session had as it was made.
//   'prepare', text             Runs this PREPARE statement. If that fails, as a table is gone,
//                               the session has it all the same (reports tell it, though
//                               pg_prepared_statements does not), and EXECUTE tries again. A text
//                               that is none, or has the name of one before it, is left out.
//
// Dropped: prepared statements made by SQL (those of the protocol stay), channels, holdable
// cursors, temporary objects, session advisory locks, what currval and lastval know. Startup
// settings that were given by an earlier restore and are not named go back to what the server has
// without them. Roles' and databases' settings are those of the list, and no others.
//
// It is a transaction of its own. Whatever else fails, ERROR in the cause becomes FATAL with the
// same SQLSTATE ("cannot restore the session: setting "x": ..."; of a startup setting the message
// is the cause's, as a login would see it): a query sent right behind never runs in a wrong
// session. A connection that holds what cannot be undone is refused in this way (55000), a
// malformed list too (42601). Only inside a transaction block, a function, a pipeline or a query of
// several statements is it a plain ERROR (25001) and nothing happens.
//
// Send it as Parse, Bind, Execute and *no* Sync, right ahead of the client's messages, whatever
// kind they are. It commits by itself and is answered by ParseComplete, BindComplete,
// CommandComplete. Then an error that comes before the statement is even reached (a cancel that was
// meant for the session before, its statement_timeout, a conversion) makes the server skip all that
// follows up to a Sync, a simple Query too. As a simple Query of its own it works as well, but such
// an error would let the next query run in a wrong session.
//
// The report comes after it as after any transaction, if the state is another than last reported.
//
// Quote items as E'...' with '' for a quote, \\ for a backslash and \uXXXX or \UXXXXXXXX for all
// that is not ASCII: that reads the same under every client_encoding, standard_conforming_strings
// and backslash_quote of the session before. What the database's encoding does not have fails.
//
// Plain C, for the extension.
#ifndef HALOGEN_PROTOCOL_SESSION_STATE_H
#define HALOGEN_PROTOCOL_SESSION_STATE_H

#define HALOGEN_SESSION_STATE_PARAMETER "halogen.session"
#define HALOGEN_REPORT_SESSION_SETTING "halogen.report_session"
#define HALOGEN_NOTIFIED_PARAMETER "halogen.notified"
#define HALOGEN_NOTIFY_CHANNEL "halogen.notify"
#define HALOGEN_LOGIN_PARAMETER "halogen.login"
#define HALOGEN_DEFAULTS_PARAMETER "halogen.defaults"
#define HALOGEN_EPOCH_PARAMETER "halogen.epoch"
#define HALOGEN_VACATE_PARAMETER "halogen.vacate"
#define HALOGEN_SESSION_SECRET_SETTING "halogen.session_secret"
#define HALOGEN_SESSION_SECRET_SIZE 64
#define HALOGEN_PARSE_SETTINGS_PARAMETER "halogen.parse"
#define HALOGEN_NAMES_PARAMETER "halogen.names"
#define HALOGEN_DEALLOCATED_PARAMETER "halogen.deallocated"

#ifdef __cplusplus
namespace halogen {

constexpr char kSessionStateParameter[] = HALOGEN_SESSION_STATE_PARAMETER;
constexpr char kReportSessionSetting[] = HALOGEN_REPORT_SESSION_SETTING;
constexpr char kNotifiedParameter[] = HALOGEN_NOTIFIED_PARAMETER;
constexpr char kNotifyChannel[] = HALOGEN_NOTIFY_CHANNEL;
constexpr char kLoginParameter[] = HALOGEN_LOGIN_PARAMETER;
constexpr char kDefaultsParameter[] = HALOGEN_DEFAULTS_PARAMETER;
constexpr char kEpochParameter[] = HALOGEN_EPOCH_PARAMETER;
constexpr char kVacateParameter[] = HALOGEN_VACATE_PARAMETER;
constexpr char kSessionSecretSetting[] = HALOGEN_SESSION_SECRET_SETTING;
constexpr char kParseSettingsParameter[] = HALOGEN_PARSE_SETTINGS_PARAMETER;
constexpr char kDeallocatedParameter[] = HALOGEN_DEALLOCATED_PARAMETER;

}  // namespace halogen
#endif

#endif
