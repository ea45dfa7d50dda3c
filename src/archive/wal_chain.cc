#include "archive/wal_chain.h"

#include <algorithm>

namespace halogen::archive {

std::vector<ChainLink> chain_of(std::vector<PieceKey> pieces) {
  std::sort(pieces.begin(), pieces.end());
  std::vector<ChainLink> chain;
  for (const PieceKey& piece : pieces) {
    while (!chain.empty() && chain.back().key.from >= piece.from) chain.pop_back();
    if (!chain.empty() && chain.back().to < piece.from) chain.clear();
    if (!chain.empty()) chain.back().to = std::min(chain.back().to, piece.from);
    chain.push_back({piece, piece.to});
  }
  return chain;
}

}  // namespace halogen::archive
