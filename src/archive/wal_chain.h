// wal_chain.h: which pieces of WAL make a timeline's log. Pure.
#pragma once
#include <vector>

#include "archive/keys.h"

namespace halogen::archive {

// A piece, and how much of it counts: [key.from, to).
struct ChainLink {
  PieceKey key;
  Lsn to;
};

// One after the other without a gap, oldest first. Of pieces that overlap the one put later counts
// from where it begins: behind there the log had been cut. What is before a gap has been trimmed.
std::vector<ChainLink> chain_of(std::vector<PieceKey> pieces);

}  // namespace halogen::archive
