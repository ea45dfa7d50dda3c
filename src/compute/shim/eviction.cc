#include "compute/shim/eviction.h"

#include "compute/shim/sys.h"

namespace halogen::shim {
namespace {

constexpr int64_t kMorePages = 2 * kChunkBlocks;  // So that not every install evicts.
// Of a large database little may be local: so many chunks at a time are looked at for some.
constexpr uint32_t kChunksAtATime = 1024;

// False if the file system cannot: then there is no use in going on.
bool punch(int fd, uint32_t chunk, const ChunkMask& blocks) {
  for (uint32_t i = 0; i < kChunkBlocks;) {
    uint32_t run = 0;
    while (i + run < kChunkBlocks && blocks.test(i + run)) ++run;
    off_t at = (static_cast<off_t>(chunk) * kChunkBlocks + i) * kPageSize;
    if (run != 0 && sys::punch_hole(fd, at, static_cast<off_t>(run) * kPageSize) != 0 &&
        errno == EOPNOTSUPP)
      return false;
    i += run + 1;
  }
  return true;
}

// Takes the present bits of the chunk's clean blocks and returns which those were.
ChunkMask give_up_clean(uint32_t index, uint32_t chunk) {
  uint32_t pages = g_map.entry(index).pages - chunk * kChunkBlocks;
  ChunkMask all = ChunkMask::range(0, pages < kChunkBlocks ? pages : kChunkBlocks);
  ChunkMask present = all.without(g_map.absent(index, chunk, all));
  ChunkMask clean = g_map.unwritten(index, chunk, present);
  g_map.clear_present(index, chunk, clean);
  ChunkMask still_clean = g_map.unwritten(index, chunk, clean);
  g_map.set_present(index, chunk, clean.without(still_clean));
  return still_clean;
}

// Returns how many blocks it was.
uint32_t evict_chunk(uint32_t index, uint32_t chunk) {
  ChunkLock lock(g_map, index, chunk);
  const Entry& entry = g_map.entry(index);
  if (!lock.held() || !can_evict(entry)) return 0;
  // With clean blocks it is not unlinked, and the path is its own: see keep_local().
  char path[kSegmentPathMax];
  format_segment(entry.id, g_map.header().version_directory, path);
  int fd = sys::open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ChunkMask victims = give_up_clean(index, chunk);
  g_map.header().evictions.fetch_add(1);
  if (!punch(fd, chunk, victims)) g_map.header().cache_limit.store(0);
  sys::close(fd);
  return victims.count();
}

// The hand goes round over all chunks, so that what was fetched longest ago tends to go first.
void evict(int64_t pages, uint32_t keep_index, uint32_t keep_chunk) {
  int saved = errno;
  ManifestHeader& header = g_map.header();
  uint64_t chunks = g_map.chunks();
  for (uint32_t i = 0; i < kChunksAtATime && i < chunks && pages > 0; ++i) {
    uint64_t numbered = header.hand.fetch_add(1, std::memory_order_relaxed) % chunks;
    if (!g_map.has_clean(numbered)) continue;
    uint32_t index = g_map.entry_of(numbered);
    const Entry& entry = g_map.entry(index);
    auto chunk = static_cast<uint32_t>(numbered - entry.first_bit / kChunkBlocks);
    if (!can_evict(entry) || (index == keep_index && chunk == keep_chunk)) continue;
    uint32_t evicted = evict_chunk(index, chunk);
    header.cached.fetch_sub(evicted, std::memory_order_relaxed);
    header.counters.pages_evicted.fetch_add(evicted, std::memory_order_relaxed);
    pages -= evicted;
  }
  errno = saved;
}

}  // namespace

void keep_cache_limit(uint32_t index, uint32_t chunk) {
  auto limit = static_cast<int64_t>(g_map.header().cache_limit.load(std::memory_order_relaxed));
  int64_t over = g_map.header().cached.load(std::memory_order_relaxed) - limit;
  if (limit != 0 && over > 0) evict(over + kMorePages, index, chunk);
}

void evict_for_room(uint32_t index, uint32_t chunk) { evict(kMorePages, index, chunk); }

}  // namespace halogen::shim
