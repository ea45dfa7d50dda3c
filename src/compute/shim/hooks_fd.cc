// hooks_fd.cc: the interposed calls on open files.
//
// All but segments of the manifest, sockets above all, pass with one look into the table.
#include <stdarg.h>
#include <stdlib.h>

#include "compute/shim/blocks.h"
#include "compute/shim/fd_table.h"
#include "compute/shim/hook.h"
#include "compute/shim/segments.h"
#include "compute/shim/sys.h"
#include "compute/shim/wal.h"

namespace halogen::shim {
namespace {

// The file position, or -1 if this is no file any more: closed behind our back and used anew.
off_t position_of(int fd) {
  int saved = errno;
  off_t at = sys::lseek(fd, 0, SEEK_CUR);
  if (at < 0) g_fds.clear(fd);
  errno = saved;
  return at;
}

bool is_segment(int fd) { return g_fds.entry(fd) != kNoEntry; }

ssize_t read_at(int fd, const iovec* parts, int count, off_t at) {
  return read_blocks(fd, g_fds.entry(fd), parts, count, at);
}

// At the file position, which moves on.
ssize_t read_here(int fd, const iovec* parts, int count) {
  off_t at = position_of(fd);
  if (at < 0) return sys::readv(fd, parts, count);
  ssize_t got = read_at(fd, parts, count, at);
  if (got > 0) sys::lseek(fd, at + got, SEEK_SET);
  return got;
}

ssize_t write_at(int fd, const iovec* parts, int count, off_t at) {
  ssize_t done = 0;
  for (int i = 0; i < count; ++i) {
    ssize_t n = write_blocks(fd, g_fds.entry(fd), parts[i].iov_base, parts[i].iov_len, at + done);
    if (n < 0) return done != 0 ? done : -1;
    done += n;
    if (static_cast<size_t>(n) < parts[i].iov_len) break;
  }
  return done;
}

ssize_t write_here(int fd, const iovec* parts, int count) {
  off_t at = position_of(fd);
  if (at < 0) return sys::writev(fd, parts, count);
  ssize_t done = write_at(fd, parts, count, at);
  if (done > 0) sys::lseek(fd, at + done, SEEK_SET);
  return done;
}

// All of it stays, so that the kernel may read it, or write to it.
int before_kernel(int fd, off_t at, uint64_t bytes) {
  if (!is_segment(fd)) return 0;
  int error = keep_here(fd, g_fds.entry(fd), at < 0 ? position_of(fd) : at, bytes);
  return error == 0 ? 0 : fail(error);
}

void copy_entry(int from, int to) {
  if (to < 0) return;
  uint32_t index = g_fds.entry(from);
  if (index == kNoEntry) {
    g_fds.clear(to);
    g_fds.set_wal(to, g_fds.wal(from));
  } else {
    g_fds.set(to, index);
  }
}

}  // namespace

extern "C" {

int hook_close(int fd) HALOGEN_HOOK("close");
int hook_close(int fd) {
  g_fds.clear(fd);
  return sys::close(fd);
}

int hook_dup(int fd) HALOGEN_HOOK("dup");
int hook_dup(int fd) {
  int copy = sys::dup(fd);
  copy_entry(fd, copy);
  return copy;
}

int hook_dup3(int from, int to, int flags) HALOGEN_HOOK("dup3");
int hook_dup3(int from, int to, int flags) {
  int copy = sys::dup3(from, to, flags);
  copy_entry(from, copy);
  return copy;
}

int hook_dup2(int from, int to) HALOGEN_HOOK("dup2");
int hook_dup2(int from, int to) {
  if (from == to) return sys::fcntl(from, F_GETFD, 0) < 0 ? -1 : to;
  return hook_dup3(from, to, 0);
}

int hook_fcntl(int fd, int command, ...) HALOGEN_HOOK("fcntl");
int hook_fcntl(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  auto argument = va_arg(arguments, unsigned long);  // Whatever it is: the kernel knows.
  va_end(arguments);
  int result = sys::fcntl(fd, command, argument);
  if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) copy_entry(fd, result);
  return result;
}
int hook_fcntl64(int fd, int command, ...) HALOGEN_ALIAS("fcntl64", "fcntl");

ssize_t hook_pread(int fd, void* to, size_t n, off_t at) HALOGEN_HOOK("pread");
ssize_t hook_pread(int fd, void* to, size_t n, off_t at) {
  if (!is_segment(fd)) return sys::pread(fd, to, n, at);
  const iovec whole = {to, n};
  return read_at(fd, &whole, 1, at);
}
ssize_t hook_pread64(int fd, void* to, size_t n, off_t at) HALOGEN_ALIAS("pread64", "pread");

ssize_t hook_pread_chk(int fd, void* to, size_t n, off_t at, size_t room)
    HALOGEN_HOOK("__pread_chk");
ssize_t hook_pread_chk(int fd, void* to, size_t n, off_t at, size_t room) {
  if (n > room) ::abort();
  return hook_pread(fd, to, n, at);
}
ssize_t hook_pread64_chk(int fd, void* to, size_t n, off_t at, size_t room)
    HALOGEN_ALIAS("__pread64_chk", "__pread_chk");

ssize_t hook_preadv(int fd, const iovec* parts, int count, off_t at) HALOGEN_HOOK("preadv");
ssize_t hook_preadv(int fd, const iovec* parts, int count, off_t at) {
  return is_segment(fd) ? read_at(fd, parts, count, at) : sys::preadv(fd, parts, count, at);
}
ssize_t hook_preadv64(int fd, const iovec* parts, int count, off_t at)
    HALOGEN_ALIAS("preadv64", "preadv");

ssize_t hook_preadv2(int fd, const iovec* parts, int count, off_t at, int flags)
    HALOGEN_HOOK("preadv2");
ssize_t hook_preadv2(int fd, const iovec* parts, int count, off_t at, int flags) {
  if (!is_segment(fd)) return sys::preadv2(fd, parts, count, at, flags);
  return at < 0 ? read_here(fd, parts, count) : read_at(fd, parts, count, at);
}
ssize_t hook_preadv64v2(int fd, const iovec* parts, int count, off_t at, int flags)
    HALOGEN_ALIAS("preadv64v2", "preadv2");

ssize_t hook_read(int fd, void* to, size_t n) HALOGEN_HOOK("read");
ssize_t hook_read(int fd, void* to, size_t n) {
  if (!is_segment(fd)) return sys::read(fd, to, n);
  const iovec whole = {to, n};
  return read_here(fd, &whole, 1);
}

ssize_t hook_read_chk(int fd, void* to, size_t n, size_t room) HALOGEN_HOOK("__read_chk");
ssize_t hook_read_chk(int fd, void* to, size_t n, size_t room) {
  if (n > room) ::abort();
  return hook_read(fd, to, n);
}

ssize_t hook_readv(int fd, const iovec* parts, int count) HALOGEN_HOOK("readv");
ssize_t hook_readv(int fd, const iovec* parts, int count) {
  return is_segment(fd) ? read_here(fd, parts, count) : sys::readv(fd, parts, count);
}

ssize_t hook_pwrite(int fd, const void* from, size_t n, off_t at) HALOGEN_HOOK("pwrite");
ssize_t hook_pwrite(int fd, const void* from, size_t n, off_t at) {
  uint32_t index = g_fds.entry(fd);
  if (index == kNoEntry) {
    if (uint32_t segment = g_fds.wal(fd)) return write_wal(fd, segment, from, n, at);
    return sys::pwrite(fd, from, n, at);
  }
  return write_blocks(fd, index, from, n, at);
}
ssize_t hook_pwrite64(int fd, const void* from, size_t n, off_t at)
    HALOGEN_ALIAS("pwrite64", "pwrite");

ssize_t hook_pwritev(int fd, const iovec* parts, int count, off_t at) HALOGEN_HOOK("pwritev");
ssize_t hook_pwritev(int fd, const iovec* parts, int count, off_t at) {
  return is_segment(fd) ? write_at(fd, parts, count, at) : sys::pwritev(fd, parts, count, at);
}
ssize_t hook_pwritev64(int fd, const iovec* parts, int count, off_t at)
    HALOGEN_ALIAS("pwritev64", "pwritev");

ssize_t hook_pwritev2(int fd, const iovec* parts, int count, off_t at, int flags)
    HALOGEN_HOOK("pwritev2");
ssize_t hook_pwritev2(int fd, const iovec* parts, int count, off_t at, int flags) {
  if (!is_segment(fd)) return sys::pwritev2(fd, parts, count, at, flags);
  return at < 0 ? write_here(fd, parts, count) : write_at(fd, parts, count, at);
}
ssize_t hook_pwritev64v2(int fd, const iovec* parts, int count, off_t at, int flags)
    HALOGEN_ALIAS("pwritev64v2", "pwritev2");

ssize_t hook_write(int fd, const void* from, size_t n) HALOGEN_HOOK("write");
ssize_t hook_write(int fd, const void* from, size_t n) {
  if (!is_segment(fd)) return sys::write(fd, from, n);
  const iovec whole = {const_cast<void*>(from), n};
  return write_here(fd, &whole, 1);
}

ssize_t hook_writev(int fd, const iovec* parts, int count) HALOGEN_HOOK("writev");
ssize_t hook_writev(int fd, const iovec* parts, int count) {
  return is_segment(fd) ? write_here(fd, parts, count) : sys::writev(fd, parts, count);
}

int hook_ftruncate(int fd, off_t size) HALOGEN_HOOK("ftruncate");
int hook_ftruncate(int fd, off_t size) {
  uint32_t index = g_fds.entry(fd);
  if (index == kNoEntry) return sys::ftruncate(fd, size);
  int error = ftruncate_segment(index, fd, size);
  return error == 0 ? 0 : fail(error);
}
int hook_ftruncate64(int fd, off_t size) HALOGEN_ALIAS("ftruncate64", "ftruncate");

// Where WAL is written in place all other files are a cache, but Postgres syncs them, too.
int hook_fdatasync(int fd) HALOGEN_HOOK("fdatasync");
int hook_fdatasync(int fd) {
  if (!wal_is_in_place()) return sys::fdatasync(fd);
  return g_fds.wal(fd) != 0 ? sync_wal(fd) : 0;
}

int hook_fsync(int fd) HALOGEN_HOOK("fsync");
int hook_fsync(int fd) { return wal_is_in_place() ? hook_fdatasync(fd) : sys::fsync(fd); }

// Returns an errno, as posix_ calls do.
int hook_posix_fadvise(int fd, off_t at, off_t n, int advice) HALOGEN_HOOK("posix_fadvise");
int hook_posix_fadvise(int fd, off_t at, off_t n, int advice) {
  uint32_t index = g_fds.entry(fd);
  if (index != kNoEntry && advice == POSIX_FADV_WILLNEED) {
    uint64_t bytes = n > 0 ? static_cast<uint64_t>(n) : kPageSize;  // 0 means to the end.
    if (prefetch(fd, index, at, bytes)) return 0;
  }
  return sys::fadvise(fd, at, n, advice);
}
int hook_posix_fadvise64(int fd, off_t at, off_t n, int advice)
    HALOGEN_ALIAS("posix_fadvise64", "posix_fadvise");

ssize_t hook_copy_file_range(int in, off_t* in_at, int out, off_t* out_at, size_t n, unsigned flags)
    HALOGEN_HOOK("copy_file_range");
ssize_t hook_copy_file_range(int in, off_t* in_at, int out, off_t* out_at, size_t n,
                             unsigned flags) {
  if (before_kernel(in, in_at != nullptr ? *in_at : -1, n) != 0 ||
      before_kernel(out, out_at != nullptr ? *out_at : -1, n) != 0)
    return -1;
  return sys::copy_file_range(in, in_at, out, out_at, n, flags);
}

}  // extern "C"

}  // namespace halogen::shim
