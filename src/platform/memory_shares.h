// memory_shares.h: how the memory that --memory allows is shared out. All in bytes.
#pragma once
#include <algorithm>
#include <cstdint>

namespace halogen::platform {

struct MemoryShares {
  // Of storage: caches of pages, and of blocks and indexes of layer files; WAL that is in no file.
  uint64_t pages, blocks, indexes, layers;
  // Of messages that the proxy holds as a whole, and of bodies and answers over HTTP. What is
  // counted is in memory up to three times while it is passed on: the budget is so much more.
  uint64_t messages, bodies;

  static constexpr uint64_t kLeastHeld = uint64_t{32} << 20;  // For one large statement.
  static constexpr uint64_t kMostMessages = uint64_t{512} << 20;
  static constexpr uint64_t kMostBodies = uint64_t{192} << 20;

  static MemoryShares of(uint64_t all) {
    const uint64_t part = all / 64;
    return {.pages = 16 * part,
            .blocks = 8 * part,
            .indexes = 4 * part,
            .layers = 21 * part,
            .messages = std::clamp(4 * part, kLeastHeld, kMostMessages),
            .bodies = std::clamp(part, kLeastHeld, kMostBodies)};
  }
};

}  // namespace halogen::platform
