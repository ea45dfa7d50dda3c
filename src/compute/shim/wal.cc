#include "compute/shim/wal.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include <cstring>

#include "compute/shim/server_state.h"
#include "compute/shim/shared_map.h"
#include "compute/shim/sys.h"
#include "protocol/in_place_wal.h"

namespace halogen::shim {
namespace {

constexpr uint64_t kSegmentSize = 16 << 20;
constexpr uint64_t kWalPage = 8192;
constexpr uint64_t kSegmentsPerId = (uint64_t{1} << 32) / kSegmentSize;
// Out of the way of what Postgres opens.
constexpr int kLeastNewsFd = 512;
// For the safekeeper to make room, before it is reminded.
constexpr timespec kRoomWait{0, 100'000'000};
constexpr int64_t kLongWait = 2000;  // Milliseconds; then it is worth a line.

constinit InPlaceWal* g_wal = nullptr;
constinit int g_news = -1;

// Storage sleeps unless there is news, and then looks at most every few milliseconds.
void tell_safekeeper() {
  if (g_wal->asleep.load() == 0 || g_wal->asleep.exchange(0) == 0) return;
  const int saved = errno;
  const uint64_t one = 1;
  (void)!sys::write(g_news, &one, sizeof one);
  errno = saved;
}

void raise(std::atomic<uint64_t>& value, uint64_t to) {
  uint64_t now = value.load();
  while (now < to && !value.compare_exchange_weak(now, to)) {
  }
}

// Says what is wanted and waits for a change, or a while.
void await_room(uint64_t end) {
  const uint32_t given = g_wal->room_given.load();
  if (g_wal->room.load() >= end) return;
  raise(g_wal->wanted, end);
  tell_safekeeper();
  ::syscall(SYS_futex, &g_wal->room_given, FUTEX_WAIT, given, &kRoomWait, nullptr, 0);
}

// Tells of a wait that goes on for long, once.
class Patience {
 public:
  void look() {
    if (said_ || now_ms() - began_ < kLongWait) return;
    said_ = true;
    log_line("waiting for the safekeeper to make room for WAL");
  }

 private:
  const int64_t began_ = now_ms();
  bool said_ = false;
};

// Eight upper-case hexadecimal digits.
bool parse_hex(const char* from, uint32_t* out) {
  uint32_t value = 0;
  for (int i = 0; i < 8; ++i) {
    const char c = from[i];
    const bool digit = c >= '0' && c <= '9';
    if (!digit && (c < 'A' || c > 'F')) return false;
    value = value << 4 | static_cast<uint32_t>(digit ? c - '0' : c - 'A' + 10);
  }
  *out = value;
  return true;
}

}  // namespace

bool open_wal_page(int page, int news) {
  void* map = sys::mmap(nullptr, kInPlaceWalSize, PROT_READ | PROT_WRITE, MAP_SHARED, page, 0);
  sys::close(page);
  if (map == MAP_FAILED) return false;
  g_news = sys::fcntl(news, F_DUPFD_CLOEXEC, kLeastNewsFd);
  sys::close(news);
  g_wal = static_cast<InPlaceWal*>(map);
  return g_news >= 0;
}

bool wal_is_in_place() { return g_wal != nullptr; }

uint32_t wal_segment_of(const char* path) {
  constexpr const char* kFolder = "pg_wal/";
  constexpr size_t kFolderLength = 7, kNameLength = 24;
  if (g_wal == nullptr || path == nullptr) return 0;
  const char* name = g_map.relative(path);
  if (name == nullptr || std::strncmp(name, kFolder, kFolderLength) != 0) return 0;
  name += kFolderLength;
  uint32_t timeline = 0, id = 0, part = 0;
  if (std::strlen(name) != kNameLength || !parse_hex(name, &timeline) ||
      !parse_hex(name + 8, &id) || !parse_hex(name + 16, &part) || part >= kSegmentsPerId)
    return 0;
  return static_cast<uint32_t>(id * kSegmentsPerId + part + 1);
}

int open_wal_segment(const char* path, int flags, mode_t mode, uint32_t segment) {
  const uint64_t start = (uint64_t{segment} - 1) * kSegmentSize;
  for (Patience patience;; patience.look()) {
    const int fd = sys::open(path, flags, mode);
    if (fd >= 0 || errno != ENOENT) return fd;
    await_room(start + kWalPage);
    // It is there by now, unless the compute is no longer wanted, or made it go itself.
    if (g_wal->room.load() > start) {
      const timespec pause{0, 1'000'000};
      ::nanosleep(&pause, nullptr);
    }
  }
}

ssize_t write_wal(int fd, uint32_t segment, const void* from, size_t n, off_t at) {
  const uint64_t end = (uint64_t{segment} - 1) * kSegmentSize + static_cast<uint64_t>(at) + n;
  if (g_wal->room.load() < end) {
    for (Patience patience; g_wal->room.load() < end; patience.look()) await_room(end);
  }
  g_wal->begun.fetch_add(1);
  const ssize_t done = sys::pwrite(fd, from, n < kMostUnsyncedWal ? n : kMostUnsyncedWal, at);
  if (done <= 0) return done;
  const uint64_t written = end - n + static_cast<size_t>(done);
  raise(g_wal->written, written);
  if (written > g_wal->synced_to.load() + kMostUnsyncedWal && sync_wal(fd) != 0) return -1;
  return done;
}

int sync_wal(int fd) {
  const uint64_t begun = g_wal->begun.load();
  const uint64_t written = g_wal->written.load();
  const int result = sys::fdatasync(fd);
  if (result == 0) {
    raise(g_wal->synced, begun);
    raise(g_wal->synced_to, written);
    tell_safekeeper();
  }
  return result;
}

}  // namespace halogen::shim
