// hooks_memory.cc: the server's shared memory is there before it is touched page by page.
#include <sys/mman.h>

#include "compute/shim/hook.h"
#include "compute/shim/server_state.h"
#include "compute/shim/sys.h"
#include "protocol/page_key.h"

namespace halogen::shim {
namespace {

constexpr size_t kMiB = size_t{1} << 20;
// The postmaster writes to nearly all of its shared memory but the buffers themselves while it
// starts: WAL buffers and buffer descriptors at the beginning, hash tables at the end, before a
// reserve. With other settings the places are others; then only some of the gain is lost.
constexpr size_t kHead = 3 * kMiB + kMiB / 2;
constexpr size_t kTail = 8 * kMiB + kMiB * 3 / 4;
constexpr size_t kReserve = 2 * kMiB;
constexpr size_t kSmallest = 64 * kMiB;

// One call for thousands of page faults, each of which may cost as much as twenty microseconds
// under a hypervisor. Kernels before 5.14 do not know it, and then they happen one by one.
void populate(char* from, size_t n) { ::madvise(from, n, MADV_POPULATE_WRITE); }

}  // namespace

extern "C" {

void* hook_mmap(void* at, size_t n, int protection, int flags, int fd, off_t offset)
    HALOGEN_HOOK("mmap");
void* hook_mmap(void* at, size_t n, int protection, int flags, int fd, off_t offset) {
  constexpr int kShared = MAP_SHARED | MAP_ANONYMOUS;
  void* map = sys::mmap(at, n, protection, flags, fd, offset);
  if (map == MAP_FAILED || !g_is_postmaster || n < kSmallest || (flags & kShared) != kShared)
    return map;
  int saved = errno;
  char* memory = static_cast<char*>(map);
  populate(memory, kHead);
  populate(memory + (n - kTail) / kPageSize * kPageSize, kTail - kReserve);
  errno = saved;
  return map;
}
void* hook_mmap64(void* at, size_t n, int protection, int flags, int fd, off_t offset)
    HALOGEN_ALIAS("mmap64", "mmap");

}  // extern "C"

}  // namespace halogen::shim
