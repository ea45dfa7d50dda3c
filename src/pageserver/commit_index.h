// commit_index.h: from moments to LSNs, by the times that ingest keeps of commits.
//
// The index is the versions of one key, in the order of the log: so the commit at or below an LSN
// is a read like any other, falls through to ancestors, outlives what layers outlive, and a time is
// found in as many such reads as the log's length has bits.
//
// Pure. Threads: any.
#pragma once
#include <optional>

#include "pageserver/layers/store.h"

namespace halogen::pageserver {

struct CommitEntry {
  Lsn lsn;           // The end of the commit.
  int64_t time = 0;  // Microseconds since 2000-01-01, as stored.
};

// The last commit that ends at or below `lsn`.
std::optional<CommitEntry> last_commit(const Store& store, Lsn lsn);

// The last commit at or below `newest` before the first one that is later than `time`. Where the
// clock was set back by more than a minute there are several such places; it is one of them, mostly
// the newest. Reads nothing below `oldest`: it is nothing where the last commit at or below that is
// later.
std::optional<CommitEntry> last_commit_by(const Store& store, int64_t time, Lsn newest,
                                          Lsn oldest = Lsn(0));

}  // namespace halogen::pageserver
