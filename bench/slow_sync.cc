// A disk on which a sync takes a millisecond more: preloaded into stock Postgres and the platform,
// whose fdatasync() is replaced, and linked with the shim for computes, which call the kernel by
// syscall().
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sim/kernel_call.h"

HALOGEN_REPLACES_SYSCALL {
  const long result = halogen::sim::to_kernel(number, given);
  if (number != SYS_fdatasync && number != SYS_fsync) return result;
  const int why = errno;
  const timespec more{0, 1'000'000};
  ::nanosleep(&more, nullptr);
  errno = why;
  return result;
}

#ifndef HALOGEN_WITH_SHIM
extern "C" int fdatasync(int fd) { return static_cast<int>(::syscall(SYS_fdatasync, fd)); }
extern "C" int fsync(int fd) { return static_cast<int>(::syscall(SYS_fsync, fd)); }
#endif
