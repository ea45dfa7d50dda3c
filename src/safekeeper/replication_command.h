// replication_command.h: what a client of the replication protocol asks. Pure.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/lsn.h"

namespace halogen::safekeeper {

struct ReplicationCommand {
  enum class Kind {
    empty,
    identify_system,
    show,                   // name
    start_replication,      // name (of the slot, maybe empty), start, timeline if given
    timeline_history,       // timeline
    read_replication_slot,  // name
    unsupported,            // name: its first word
  };
  Kind kind = Kind::empty;
  std::string name;
  Lsn start;
  std::optional<uint32_t> timeline;
};

// Throws invalid_argument with a message for the client when it is malformed.
ReplicationCommand parse_replication_command(std::string_view text);

}  // namespace halogen::safekeeper
