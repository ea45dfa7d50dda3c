// session_state.h: what a session holds, as the extension reports it, and the statement that makes
// another connection hold the same. Pure. The format: protocol/session_state.h.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "postgres/wire.h"

namespace halogen::proxy {

struct SessionState {
  // What restores it: items of kRestoreStatement, quoted, with a comma before each. Two states are
  // the same to their clients if this is the same.
  std::string restore;
  std::vector<std::string> listen;  // Channels; not in `restore`, see listen_items().
  std::vector<std::string> pins;    // Why it cannot be given to another connection.
  uint64_t deallocations = 0;
  bool sequence_used = false;
};

using StatePtr = std::shared_ptr<const SessionState>;

// The state of a session that has just begun.
StatePtr fresh_state();
// Takes bytes from a server: throws corrupt if it is not such a report.
StatePtr parse_session_state(std::string_view json);
// A number in a parameter of the extension's, as kNotifiedParameter; as before.
uint64_t parse_number(std::string_view value);

// Items that say what a client's startup packet asked for.
std::string startup_items(const wire::Parameters& settings);
std::string listen_items(const std::vector<std::string>& channels);
// The whole statement, of items as above; they may be empty.
std::string restore_statement(std::string_view startup, std::string_view state,
                              std::string_view listen);

}  // namespace halogen::proxy
