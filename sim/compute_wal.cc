// A compute on the disk that loses power: what it writes of its WAL into the safekeeper's segments.
//
// Linked with the shim into the library that stock Postgres preloads in tests of a whole platform
// (libhalogen_shim_power_loss.so). The shim calls the kernel by libc's syscall(), which is replaced
// here. The notes are in the data directory, the one place that a compute may write to in its room;
// lose_power() finds them there. Postgres writes and syncs WAL under one lock, so there is one
// writer at a time in a data directory.
#include <cerrno>
#include <string_view>

#include "sim/compute_wal.h"
#include "sim/kernel_call.h"
#include "sim/raw.h"
#include "sim/sector_notes.h"

namespace halogen::sim {
namespace {

// The data directory whose WAL this is, or "".
std::string data_of_wal(int fd) {
  char path[4096];
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t size = ::readlink(link.c_str(), path, sizeof path);
  const std::string_view name(path, size > 0 ? static_cast<size_t>(size) : 0);
  const size_t folder = name.rfind("/pg_wal/");
  return std::string(name.substr(0, folder == name.npos ? 0 : folder));
}

SectorNotes notes_in(const std::string& data) {
  const std::string folder = data + "/" + kComputeNotes;
  raw::mkdirat(AT_FDCWD, folder.c_str(), 0777);
  return SectorNotes(folder);
}

void before_write(int fd, uint64_t at, uint64_t size) {
  const int before = errno;
  const std::string data = data_of_wal(fd);
  if (!data.empty()) notes_in(data).before_write(fd, at, size);
  errno = before;
}

// Not passed on to the kernel: nothing here depends on the real disk.
long sync_wal(int fd) {
  const std::string data = data_of_wal(fd);
  struct stat status{};
  if (data.empty() || ::fstat(fd, &status) != 0) return 0;
  if (::access((data + "/" + kForgetsSyncs).c_str(), F_OK) != 0)
    notes_in(data).synced(status.st_ino);
  errno = 0;
  return 0;
}

}  // namespace
}  // namespace halogen::sim

HALOGEN_REPLACES_SYSCALL {
  using namespace halogen::sim;
  if (number == SYS_fdatasync) return sync_wal(static_cast<int>(given[0]));
  if (number == SYS_pwrite64)
    before_write(static_cast<int>(given[0]), static_cast<uint64_t>(given[3]),
                 static_cast<uint64_t>(given[2]));
  return to_kernel(number, given);
}
