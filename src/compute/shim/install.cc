#include "compute/shim/install.h"

#include <cstring>

#include "compute/shim/fd_table.h"
#include "compute/shim/sys.h"

namespace halogen::shim {

constinit FdTable g_fds;

namespace {

// The open file of a request: its own descriptor, or, if that has been closed since, a new one. To
// be made under the chunk's lock with absent blocks left: then the segment is not yet unlinked, and
// the path is its own.
class InstallFile {
 public:
  explicit InstallFile(const Pending& request) {
    if (g_fds.entry(request.fd) == request.entry &&
        generation_of(request.fd) == request.generation) {
      fd_ = request.fd;
      return;
    }
    const Entry& entry = g_map.entry(request.entry);
    if (entry.state.load(std::memory_order_acquire) != kMade) return;
    char path[kSegmentPathMax];
    format_segment(entry.id, g_map.header().version_directory, path);
    fd_ = sys::open(path, O_WRONLY | O_CLOEXEC);
    own_ = true;
  }
  ~InstallFile() {
    if (own_ && fd_ >= 0) sys::close(fd_);
  }
  InstallFile(const InstallFile&) = delete;
  InstallFile& operator=(const InstallFile&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
  bool own_ = false;
};

int pwrite_whole(int fd, const char* from, size_t n, off_t at) {
  while (n != 0) {
    ssize_t written = sys::pwrite(fd, from, n, at);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return written < 0 ? errno : ENOSPC;
    from += written;
    at += written;
    n -= static_cast<size_t>(written);
  }
  return 0;
}

// The pages of those `blocks` that are `missing`, in runs. `pages` holds those of all `blocks`.
template <typename Install>
void for_each_run(const ChunkMask& blocks, const ChunkMask& missing, const char* pages,
                  Install install) {
  for (uint32_t i = 0; i < kChunkBlocks;) {
    uint32_t run = 0;
    while (i + run < kChunkBlocks && missing.test(i + run)) ++run;
    if (run != 0) install(i, run, pages);
    uint32_t step = run != 0 ? run : 1;
    if (blocks.test(i)) pages += size_t{step} * kPageSize;
    i += step;
  }
}

// Only while the block is absent is what storage has the block's content.
void hand_over(const Pending& request, uint32_t first, uint32_t run, const char* pages,
               DirectRead& direct) {
  if (direct.page == nullptr || direct.entry != request.entry) return;
  uint32_t base = request.chunk * kChunkBlocks + first;
  if (direct.block < base || direct.block >= base + run) return;
  std::memcpy(direct.page, pages + size_t{direct.block - base} * kPageSize, kPageSize);
  direct.done = true;
}

}  // namespace

uint16_t generation_of(int fd) {
  return g_fds.entry(fd) == kNoEntry ? uint16_t{0} : g_fds.state(fd).generation;
}

int install_pages(const Pending& request, const ChunkMask& blocks, const char* pages,
                  DirectRead& direct) {
  uint32_t total = blocks.count();
  ChunkLock lock(g_map, request.entry, request.chunk);
  if (request.lsn < lock.given_up_at()) return 0;  // Who waits for it asks again.
#ifdef HALOGEN_SHIM_BREAK_INSTALL
  ChunkMask missing = blocks;  // The bug that the stress test must find.
#else
  ChunkMask missing = g_map.absent(request.entry, request.chunk, blocks);
#endif
  Counters& counters = g_map.counters();
  uint32_t installing = missing.count();
  if (installing != total)
    counters.conflicts.fetch_add(total - installing, std::memory_order_relaxed);
  if (installing == 0) return 0;
  InstallFile file(request);
  if (file.fd() < 0) return 0;  // Unlinked meanwhile.

  // What it counts as: cached, or written.
  int64_t clean = g_map.unwritten(request.entry, request.chunk, missing).count();
  int failed = 0;
  for_each_run(blocks, missing, pages, [&](uint32_t first, uint32_t run, const char* from) {
    off_t at = (static_cast<off_t>(request.chunk) * kChunkBlocks + first) * kPageSize;
    int error = pwrite_whole(file.fd(), from, size_t{run} * kPageSize, at);
    if (error == 0) {
      g_map.set_present(request.entry, request.chunk, ChunkMask::range(first, run));
      g_map.set_fetched(request.entry, request.chunk, ChunkMask::range(first, run));
    } else {
      hand_over(request, first, run, from, direct);
      failed = error;  // The wanted block may be in a later run.
    }
  });
  if (failed != 0) return failed;
  if (can_evict(g_map.entry(request.entry))) {
    g_map.header().cached.fetch_add(clean, std::memory_order_relaxed);
    g_map.add_written(request.entry, installing - clean);
  }
  counters.pages_installed.fetch_add(installing, std::memory_order_relaxed);
  return 0;
}

}  // namespace halogen::shim
