// in_place_wal.h: what a compute that writes its WAL into the safekeeper's own segments, and that
// safekeeper, tell each other: a page of memory that both map.
//
// The compute is hostile: what is in here are hints, and a lie costs the liar alone. The safekeeper
// reads records only behind what it has checked, within the room that it has made.
#pragma once
#include <atomic>
#include <cstdint>

namespace halogen {

struct InPlaceWal {
  // ---- The compute's ----
  // Writes of WAL that have begun, and one: what was there before the first.
  std::atomic<uint64_t> begun{1};
  // What `begun` was when a sync began that has succeeded. Postgres writes and syncs its WAL under
  // one lock, so all that was begun then is on disk.
  std::atomic<uint64_t> synced{0};
  std::atomic<uint64_t> written{0};    // The end of the last write, an LSN.
  std::atomic<uint64_t> synced_to{0};  // What `written` was then.
  std::atomic<uint64_t> wanted{0};     // Somebody waits for room up to this LSN.
  // The safekeeper waits for news: whoever makes this 0 writes to its eventfd.
  std::atomic<uint32_t> asleep{0};

  // ---- The safekeeper's ----
  // A futex; changes with `room`.
  std::atomic<uint32_t> room_given{0};
  // WAL may be written up to this LSN: zeros have been written there, durably, and the files are in
  // pg_wal.
  std::atomic<uint64_t> room{0};
};
static_assert(std::atomic<uint64_t>::is_always_lock_free);

constexpr uint64_t kInPlaceWalSize = 4096;
// What is written and not synced is never more than twice this: so much may a crash tear.
constexpr uint64_t kMostUnsyncedWal = 1 << 20;

}  // namespace halogen
