// session_state.h: what a Postgres session holds, as the extension tells the proxy.
//
// A pooled server connection starts with the startup parameter `halogen.report_session=on`. From
// then on the extension sends, before ReadyForQuery and only when it changed, a ParameterStatus
// message named kSessionStateParameter whose value is the whole state as one JSON object; the proxy
// takes it out of the stream. Absent members are empty. An idle fresh session has the state {} and
// says nothing.
//
//   {"settings": {"name": "value", ...},        // Set in this session (PGC_S_SESSION), transaction
//   over.
//    "role": "name", "session_authorization": "name",   // Only when changed from the login role.
//    "listen": ["channel", ...],
//    "prepared": [{"name": "n", "statement": "PREPARE n AS ...", "from_sql": true}, ...],   // Only
//    SQL-level ones. "pins": ["advisory_lock", "temp_table", "holdable_cursor", "sequence",
//    "large_object", "loaded_library", ...]}
//
// `pins` names what cannot be moved to another server connection: the session keeps its server
// until it is gone.
#pragma once

namespace halogen {

constexpr char kSessionStateParameter[] = "halogen.session";
constexpr char kReportSessionSetting[] = "halogen.report_session";

}  // namespace halogen
