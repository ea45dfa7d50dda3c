// session_state.h: what a session holds, as the extension reports it, and the statement that makes
// another connection hold the same. Pure. The format: protocol/session_state.h.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "postgres/wire.h"

namespace halogen::proxy {

struct SessionState {
  // What restores it: items of the statement, quoted, with a comma before each. Two states are the
  // same to their clients if this is the same.
  std::string restore;
  std::string parse_settings;  // Those that count when SQL is parsed: parse_items_of().
  // Statements by SQL: name and items. They are the last part of `restore`.
  std::vector<std::pair<std::string, std::string>> prepared;
  bool has_prepared(std::string_view name) const {
    for (auto& [known, items] : prepared)
      if (known == name) return true;
    return false;
  }
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

// The same without a statement made by SQL.
StatePtr without_prepared(const SessionState& state, std::string_view name);

// Items that say what roles and databases gave a session, of a report, kDefaultsParameter. Throws
// corrupt.
std::string default_items(std::string_view json);
// Items that say what a client's startup packet asked for.
std::string startup_items(const wire::Parameters& settings);
std::string listen_items(const std::vector<std::string>& channels);
// Name and value of each setting that counts when SQL is parsed (protocol/parse_settings.h), of a
// report, kParseSettingsParameter. Throws corrupt.
std::string parse_items_of(std::string_view json);
// An item, if the text can be one: it must be UTF-8.
std::optional<std::string> item(std::string_view text);

// The whole statement, of items as above; they may be empty. `pass`: passes.h.
std::string restore_statement(std::string_view pass, std::string_view startup,
                              std::string_view state, std::string_view listen);

}  // namespace halogen::proxy
