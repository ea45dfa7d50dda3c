#include "compute/shim/eviction.h"

#include "compute/shim/same_page.h"
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

// From here on these are absent. Under the chunk's lock.
void drop(uint32_t index, uint32_t chunk, const ChunkMask& blocks, int fd) {
  ManifestHeader& header = g_map.header();
  g_map.clear_present(index, chunk, blocks);
  header.evictions.fetch_add(1);
  if (!punch(fd, chunk, blocks)) header.cache_limit.store(0);
}

// Returns how many blocks it was.
uint32_t evict_chunk(uint32_t index, uint32_t chunk) {
  ChunkLock lock(g_map, index, chunk);
  const Entry& entry = g_map.entry(index);
  if (!lock.held() || !can_evict(entry)) return 0;
  int fd = open_entry(entry);
  if (fd < 0) return 0;
  ChunkMask clean = g_map.unwritten(index, chunk, g_map.old_blocks(index, chunk));
  clean = clean.without(g_map.absent(index, chunk, clean));
  drop(index, chunk, clean, fd);
  sys::close(fd);
  return clean.count();
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

// Written blocks. Under the chunk's lock.
void give_up(uint32_t index, uint32_t chunk, const ChunkMask& blocks, int fd) {
  if (blocks.empty()) return;
  g_map.clear_written(index, chunk, blocks);
  drop(index, chunk, blocks, fd);
  g_map.add_written(index, -int64_t{blocks.count()});
  g_map.counters().written_evicted.fetch_add(blocks.count(), std::memory_order_relaxed);
}

}  // namespace

int open_entry(const Entry& entry) {
  char path[kSegmentPathMax];
  format_segment(entry.id, g_map.header().version_directory, path);
  return sys::open(path, O_RDWR | O_CLOEXEC);
}

bool read_block(int fd, uint32_t chunk, uint32_t i, char* to, size_t n) {
  off_t at = (static_cast<off_t>(chunk) * kChunkBlocks + i) * kPageSize;
  return sys::pread(fd, to, n, at) == static_cast<ssize_t>(n);
}

void keep_cache_limit(uint32_t index, uint32_t chunk) {
  ManifestHeader& header = g_map.header();
  auto limit = static_cast<int64_t>(header.cache_limit.load(std::memory_order_relaxed));
  int64_t written = header.written.load(std::memory_order_relaxed);
  int64_t over = header.cached.load(std::memory_order_relaxed) +
                 (written < limit / 2 ? written : limit / 2) - limit;
  if (limit != 0 && over > 0) evict(over + kMorePages, index, chunk);
}

void evict_for_room(uint32_t index, uint32_t chunk) { evict(kMorePages, index, chunk); }

void give_up_fetched(uint32_t index, uint32_t chunk, int fd) {
  ChunkLock lock(g_map, index, chunk);
  if (!lock.held() || !can_evict(g_map.entry(index))) return;
  ChunkMask all = ChunkMask::range(0, kChunkBlocks).without(g_map.old_blocks(index, chunk));
  ChunkMask fetched = g_map.unwritten(index, chunk, all);
  fetched = fetched.without(g_map.absent(index, chunk, fetched));
  give_up(index, chunk, fetched, fd);
}

void give_up_same(const Pending& request, const ChunkMask& blocks, const char* pages) {
  uint32_t index = request.entry, chunk = request.chunk;
  const Entry& entry = g_map.entry(index);
  ChunkLock lock(g_map, index, chunk);
  if (!lock.held() || !can_evict(entry)) return;
  int fd = open_entry(entry);
  if (fd < 0) return;
  ChunkMask here = blocks.without(g_map.absent(index, chunk, blocks));
  ChunkMask same;
  for (uint32_t i = 0; i < kChunkBlocks; ++i) {
    if (!blocks.test(i)) continue;
    char local[kPageSize];
    if (here.test(i) && read_block(fd, chunk, i, local, sizeof local) &&
        page_lsn(local) >= kFirstLsn && same_page(local, pages))
      same = same.with(ChunkMask::range(i, 1));
    pages += kPageSize;
  }
  lock.note_given_up(request.lsn);
  give_up(index, chunk, same.without(g_map.unwritten(index, chunk, same)), fd);
  sys::close(fd);
}

void pin_segment(uint32_t index) {
  Entry& entry = g_map.entry(index);
  if ((entry.flags.load() & kPinned) != 0) return;
  ChunkMask all = ChunkMask::range(0, kChunkBlocks);
  uint32_t chunks = chunks_of(g_map.limit(index));
  for (uint32_t chunk = 0; chunk < chunks; ++chunk) {
    ChunkLock lock(g_map, index, chunk);
    g_map.set_written(index, chunk, all);
  }
  entry.flags.fetch_or(kPinned);
  g_map.count_written(index, 0);
  for (uint32_t chunk = 0; chunk < chunks_of(kRelSegmentPages); ++chunk)
    ChunkLock(g_map, index, chunk);  // Who evicts there has done so.
}

void recount_written(uint32_t index, int fd) {
  struct stat info;
  if (!can_evict(g_map.entry(index)) || sys::fstat(fd, &info) != 0) return;
  uint32_t pages = g_map.entry(index).pages;
  int64_t here = info.st_blocks / (kPageSize / 512);
  for (uint32_t chunk = 0; chunk < chunks_of(pages); ++chunk) {
    ChunkMask clean = g_map.unwritten(index, chunk, g_map.old_blocks(index, chunk));
    here -= clean.without(g_map.absent(index, chunk, clean)).count();
  }
  auto size = static_cast<uint32_t>(info.st_size / kPageSize);
  g_map.growth(index).blocks.store(size > pages ? size - pages : 0);
  g_map.count_written(index, here > 0 ? static_cast<int32_t>(here) : 0);
}

}  // namespace halogen::shim
