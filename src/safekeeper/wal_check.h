// wal_check.h: looks whether a timeline's stored WAL is whole. Changes nothing.
//
// Requires: no Safekeeper has the folder open. One thread.
#pragma once
#include <string>
#include <vector>

#include "safekeeper/durable_state.h"

namespace halogen::safekeeper {

struct CheckedWal {
  DurableState state;
  Lsn end;                            // Of the last complete record.
  std::vector<std::string> problems;  // For people, each with the folder.
};

// Reads all records from `from` on, which is a record's end: checksums, links, page headers, and
// that all that was acknowledged is there. Throws what reading the state throws.
CheckedWal check_wal(const fs::path& folder, Lsn from);

}  // namespace halogen::safekeeper
