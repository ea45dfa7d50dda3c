#include "compute/shim/segments.h"

#include <cstring>

#include "compute/shim/blocks.h"
#include "compute/shim/eviction.h"
#include "compute/shim/sys.h"

namespace halogen::shim {
namespace {

// The file is only visible to other shimmed processes once its state says so, and they wait for
// the lock; so creating and sizing need not be one step, and a maker that died between them is
// simply followed by another.
int create_sparse(const Entry& entry) {
  char path[kSegmentPathMax];
  format_segment(entry.id, g_map.header().version_directory, path);
  int fd = sys::open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return errno;
  int error = 0;
  if (entry.pages != 0 && sys::ftruncate(fd, static_cast<off_t>(entry.pages) * kPageSize) != 0)
    error = errno;
  sys::close(fd);
  return error;
}

uint32_t first_block_past(off_t size) {
  if (size < 0) return 0;
  uint64_t blocks = (static_cast<uint64_t>(size) + kPageSize - 1) / kPageSize;
  return blocks > kNoEntry ? kNoEntry : static_cast<uint32_t>(blocks);
}

}  // namespace

int make_segment(uint32_t index) {
  Entry& entry = g_map.entry(index);
  if (entry.state.load(std::memory_order_acquire) != kNotMade) return 0;
  ChunkLock lock(g_map, index, kWholeFile);
  if (entry.state.load(std::memory_order_acquire) != kNotMade) return 0;
  if (int error = create_sparse(entry)) return error;
  entry.state.store(kMade, std::memory_order_release);
  g_map.counters().files_made.fetch_add(1, std::memory_order_relaxed);
  return 0;
}

int make_directory(Directory& directory) {
  if (directory.all_made.load(std::memory_order_acquire) != 0) return 0;
  for (uint32_t i = 0; i < directory.entries; ++i) {
    int error = make_segment(directory.first_entry + i);
    // The folder itself is gone (DROP DATABASE by another process): the caller will see.
    if (error == ENOENT) return 0;
    if (error != 0) return error;
  }
  directory.all_made.store(1, std::memory_order_release);
  return 0;
}

// Owner, device and times are the data directory's.
int stat_unmade(uint32_t index, struct stat* out) {
  if (sys::fstatat(AT_FDCWD, ".", out, 0) != 0) return -1;
  out->st_mode = S_IFREG | 0600;
  out->st_nlink = 1;
  out->st_ino = 0;
  out->st_size = static_cast<off_t>(g_map.entry(index).pages) * kPageSize;
  out->st_blocks = 0;
  return 0;
}

// Always by way of the lock: who evicts looks under it whether that is still right.
void keep_local(uint32_t index, uint32_t first, uint32_t count) {
  uint32_t limit = g_map.limit(index);
  if (first >= limit) return;
  uint32_t end = count < limit - first ? first + count : limit;
  for (uint32_t chunk = first / kChunkBlocks; chunk * kChunkBlocks < end; ++chunk) {
    uint32_t base = chunk * kChunkBlocks;
    uint32_t from = first > base ? first - base : 0;
    uint32_t to = end - base < kChunkBlocks ? end - base : kChunkBlocks;
    ChunkMask blocks = ChunkMask::range(from, to - from);
    ChunkLock lock(g_map, index, chunk);
    g_map.set_written(index, chunk, blocks);
    g_map.set_present(index, chunk, blocks);
  }
}

void mark_dead(uint32_t index) {
  keep_local(index, 0, kNoEntry);
  g_map.entry(index).state.store(kDead, std::memory_order_release);
  g_map.count_written(index, 0);
}

int unlink_segment(uint32_t index, const char* path) {
  // First, and so that nobody installs by path into a later file of this name.
  keep_local(index, 0, kNoEntry);
  ChunkLock lock(g_map, index, kWholeFile);
  uint32_t state = g_map.entry(index).state.exchange(kDead, std::memory_order_acq_rel);
  g_map.count_written(index, 0);
  if (state == kNotMade) return 0;
  return sys::unlink(path) == 0 ? 0 : errno;
}

int ftruncate_segment(uint32_t index, int fd, off_t size) {
  // A cut block keeps its head: installed later, it would make the file longer again.
  if (size % kPageSize != 0)
    if (int error = keep_here(fd, index, size, 1)) return error;
  keep_local(index, first_block_past(size), kNoEntry);
  if (sys::ftruncate(fd, size) != 0) return errno;
  recount_written(index, fd);
  return 0;
}

}  // namespace halogen::shim
