// session_state.h: what a Postgres session holds, as the extension tells the proxy.
//
// A pooled server connection starts with the startup parameter `halogen.report_session=on`. From
// then on the extension sends, only when it changed, a ParameterStatus message named
// kSessionStateParameter whose value is the whole state as one JSON object; the proxy takes it out
// of the stream. It comes right before ReadyForQuery, never inside a transaction block; in a
// pipeline also right after a transaction that ends before the Sync. The last one received holds. A
// fresh session has the state {} and says nothing; absent members are empty.
//
//   "settings": {"name": "value", ...}
//       Set in this session (SET, set_config, RESET takes it out again), even to the default. Give
//       it back with set_config(name, value, false), not with SET, which takes the value of a list
//       such as search_path for one item. Numbers are in the setting's base unit, without it.
//   "session_authorization": "name", "role": "name"
//       Only when they differ from those of the login; "none" is a role. Restore after the settings
//       and in this order.
//   "listen": ["channel", ...]
//   "prepared": [{"name": "n", "statement": "PREPARE n AS ...", "from_sql": true}, ...]
//       By SQL, in the order made; those of the protocol are the proxy's own to know.
//   "deallocations": 2
//       How often DEALLOCATE ALL or DISCARD ALL dropped all prepared statements of this connection,
//       those of the protocol too. Only grows.
//   "sequence_used": true
//       nextval, setval, COPY FROM or an identity column may have left something for currval and
//       lastval to read. Not a pin: most sessions that insert never read it. DISCARD SEQUENCES (or
//       ALL) ends it; run it before another client gets the connection, so that its currval is an
//       error and never a stranger's value.
//   "pins": ["advisory_lock", ...]
//       What cannot be given to another connection: the session keeps its server until it is gone.
//         advisory_lock temp_table holdable_cursor backup replication_origin replication_slot
//         replication        a connection of the replication protocol
//         sequence           sequence_used, and the client has called currval or lastval before
//         privileged_setting set with rights that the login role does not have (not among settings)
//         loaded_library random_seed   until the connection ends: DISCARD ALL does not undo them
//         too_large          the state is over 256 KiB
//         unknown            the state could not be computed; tried again after each transaction
//       After DISCARD ALL a connection with pins cannot be made fresh: close it.
//
// The JSON is pure ASCII (\uXXXX for all else), so it reads the same in every client encoding. When
// restoring, E'\uXXXX' and `client_encoding` last give the same freedom. Plain C, for the
// extension.
#ifndef HALOGEN_PROTOCOL_SESSION_STATE_H
#define HALOGEN_PROTOCOL_SESSION_STATE_H

#define HALOGEN_SESSION_STATE_PARAMETER "halogen.session"
#define HALOGEN_REPORT_SESSION_SETTING "halogen.report_session"

#ifdef __cplusplus
namespace halogen {

constexpr char kSessionStateParameter[] = HALOGEN_SESSION_STATE_PARAMETER;
constexpr char kReportSessionSetting[] = HALOGEN_REPORT_SESSION_SETTING;

}  // namespace halogen
#endif

#endif
