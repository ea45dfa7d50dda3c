// server_state.h: what a server connection holds. Kept with the connection, whoever is attached.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "proxy/conversation/passes.h"
#include "proxy/conversation/session_state.h"
#include "proxy/conversation/statements.h"

namespace halogen::proxy {

// Parameters as ParameterStatus last told them. Shared between clients that were told the same.
using Reported = std::map<std::string, std::string>;
using ReportedPtr = std::shared_ptr<const Reported>;

// In place of the names that a server was told: it may know others, or fewer.
constexpr char kUnknownNames[] = "?";

struct ServerState {
  StatePtr state = fresh_state();
  // default_items() and startup_items() that it was opened with, or has been given since.
  std::string startup;
  ReportedPtr reported = std::make_shared<Reported>();
  std::string parse_changes;  // kParseSettingsParameter, as last told: items.
  ServerStatements statements;
  TextPtr unnamed;     // The unnamed statement; null if there is none, or it is not known.
  uint64_t owner = 0;  // The conversation that used it last.
  // The names of its client's statements that it was told last.
  struct Names {
    std::string items;
    uint64_t version = 0;
  } names;
  Passes passes;
};

}  // namespace halogen::proxy
