// hooks_memory.cc: memory is there before it is touched page by page.
//
// Under a hypervisor a page fault may cost as much as twenty microseconds, and a server's start is
// thousands of them. One madvise() does what many faults would, at a tenth of the cost. Kernels
// before 5.14 do not know it, and then they happen one by one.
#include "compute/shim/memory.h"

#include <sys/mman.h>

#include "compute/shim/hook.h"
#include "compute/shim/server_state.h"
#include "compute/shim/sys.h"
#include "protocol/page_key.h"

namespace halogen::shim {
namespace {

struct Range {
  char* from;
  size_t size;
};

constexpr size_t kKiB = size_t{1} << 10;
constexpr size_t kMiB = size_t{1} << 20;
// What a server with the settings of a new compute asks for (tests/shim/test_start_memory.py).
constexpr size_t kUsual = 149528576;
constexpr size_t kReserved = kUsual + 8 * kMiB;  // For one with more libraries.
constexpr size_t kSmallest = 64 * kMiB;
// What the postmaster writes of it while it starts: WAL buffers at the beginning, the descriptors
// of buffers behind caches that are left alone, and hash tables at the end, before a reserve. With
// other settings the places are others; then only some of the gain is lost.
constexpr size_t kWalBuffers = kMiB + 128 * kKiB;
constexpr size_t kDescriptorsAt = 2 * kMiB + 512 * kKiB;
constexpr size_t kDescriptors = kMiB;
constexpr size_t kTail = 11 * kMiB + 128 * kKiB;
constexpr size_t kReserve = 2 * kMiB + 768 * kKiB;
// Buffers are used in order, and the first backend fills these with catalogs.
constexpr size_t kFirstBuffers = kMiB;

constexpr int kShared = MAP_SHARED | MAP_ANONYMOUS;

constinit Range g_reserved = {};

// What the postmaster is about to write, of shared memory of `n` bytes.
struct Hot {
  Range parts[3];

  Hot(char* memory, size_t n)
      : parts{{memory, kWalBuffers},
              {memory + kDescriptorsAt, kDescriptors + kFirstBuffers},
              {memory + (n - kTail) / kPageSize * kPageSize, kTail - kReserve}} {}
};

void populate(const Range& range) { ::madvise(range.from, range.size, MADV_POPULATE_WRITE); }

// Some hypervisors only learn of a page when it is used. These hold zeros so far.
void touch(const Range& range) {
  for (size_t at = 0; at < range.size; at += kPageSize / 2)
    static_cast<volatile char*>(range.from)[at] = 0;
}

// What was reserved, if it is enough; the rest goes back.
void* take_reserved(size_t n) {
  Range reserved = g_reserved;
  g_reserved = {};
  if (reserved.from == nullptr) return nullptr;
  size_t used = n <= reserved.size ? (n + kPageSize - 1) / kPageSize * kPageSize : 0;
  if (used < reserved.size) ::munmap(reserved.from + used, reserved.size - used);
  return used > 0 ? reserved.from : nullptr;
}

}  // namespace

void reserve_shared_memory() {
  void* map = sys::mmap(nullptr, kReserved, PROT_READ | PROT_WRITE, kShared, -1, 0);
  if (map == MAP_FAILED) return;
  g_reserved = {static_cast<char*>(map), kReserved};
  Hot hot(g_reserved.from, kUsual);
  for (const Range& range : hot.parts) {
    populate(range);
    touch(range);
  }
}

extern "C" {

void* hook_mmap(void* at, size_t n, int protection, int flags, int fd, off_t offset)
    HALOGEN_HOOK("mmap");
void* hook_mmap(void* at, size_t n, int protection, int flags, int fd, off_t offset) {
  if (!g_is_postmaster || n < kSmallest || flags != kShared)
    return sys::mmap(at, n, protection, flags, fd, offset);
  void* map = take_reserved(n);
  if (map != nullptr && n == kUsual) return map;
  if (map == nullptr) map = sys::mmap(at, n, protection, flags, fd, offset);
  if (map == MAP_FAILED) return map;
  int saved = errno;
  Hot hot(static_cast<char*>(map), n);
  for (const Range& range : hot.parts) populate(range);
  errno = saved;
  return map;
}
void* hook_mmap64(void* at, size_t n, int protection, int flags, int fd, off_t offset)
    HALOGEN_ALIAS("mmap64", "mmap");

}  // extern "C"

}  // namespace halogen::shim
