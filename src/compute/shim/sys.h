// sys.h: the system calls under the interposed functions, straight to the kernel.
//
// Not dlsym(RTLD_NEXT): other libraries' constructors call open() before ours has run, and symbol
// lookups cost start-up time. All set errno and return -1 on failure, as libc's do.
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdint>

namespace halogen::shim::sys {

static_assert(sizeof(off_t) == 8 && sizeof(long) == 8, "64-bit kernels only");

inline int openat(int dir, const char* path, int flags, mode_t mode) {
  return static_cast<int>(::syscall(SYS_openat, dir, path, flags, mode));
}
inline int open(const char* path, int flags, mode_t mode = 0) {
  return openat(AT_FDCWD, path, flags, mode);
}
inline int close(int fd) { return static_cast<int>(::syscall(SYS_close, fd)); }
inline int dup(int fd) { return static_cast<int>(::syscall(SYS_dup, fd)); }
inline int dup3(int from, int to, int flags) {
  return static_cast<int>(::syscall(SYS_dup3, from, to, flags));
}
inline int fcntl(int fd, int command, unsigned long argument) {
  return static_cast<int>(::syscall(SYS_fcntl, fd, command, argument));
}
inline ssize_t read(int fd, void* to, size_t n) { return ::syscall(SYS_read, fd, to, n); }
inline ssize_t write(int fd, const void* from, size_t n) {
  return ::syscall(SYS_write, fd, from, n);
}
inline ssize_t pread(int fd, void* to, size_t n, off_t at) {
  return ::syscall(SYS_pread64, fd, to, n, at);
}
inline ssize_t pwrite(int fd, const void* from, size_t n, off_t at) {
  return ::syscall(SYS_pwrite64, fd, from, n, at);
}
inline ssize_t readv(int fd, const iovec* v, int n) { return ::syscall(SYS_readv, fd, v, n); }
inline ssize_t writev(int fd, const iovec* v, int n) { return ::syscall(SYS_writev, fd, v, n); }
// The kernel takes the offset in two halves; on 64 bits the second one is unused. An offset of -1
// is the file's position, but only with the calls that take flags.
inline ssize_t preadv(int fd, const iovec* v, int n, off_t at) {
  return ::syscall(SYS_preadv, fd, v, n, at, 0L);
}
inline ssize_t preadv2(int fd, const iovec* v, int n, off_t at, int flags) {
  return ::syscall(SYS_preadv2, fd, v, n, at, 0L, flags);
}
inline ssize_t pwritev(int fd, const iovec* v, int n, off_t at) {
  return ::syscall(SYS_pwritev, fd, v, n, at, 0L);
}
inline ssize_t pwritev2(int fd, const iovec* v, int n, off_t at, int flags) {
  return ::syscall(SYS_pwritev2, fd, v, n, at, 0L, flags);
}
inline void* mmap(void* at, size_t n, int protection, int flags, int fd, off_t offset) {
  return reinterpret_cast<void*>(::syscall(SYS_mmap, at, n, protection, flags, fd, offset));
}
inline int fdatasync(int fd) { return static_cast<int>(::syscall(SYS_fdatasync, fd)); }
inline int fsync(int fd) { return static_cast<int>(::syscall(SYS_fsync, fd)); }
inline off_t lseek(int fd, off_t at, int whence) { return ::syscall(SYS_lseek, fd, at, whence); }
inline int ftruncate(int fd, off_t size) {
  return static_cast<int>(::syscall(SYS_ftruncate, fd, size));
}
inline int punch_hole(int fd, off_t at, off_t n) {
  return static_cast<int>(
      ::syscall(SYS_fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, n));
}
// Makes the file longer if need be.
inline int allocate(int fd, off_t at, off_t n) {
  return static_cast<int>(::syscall(SYS_fallocate, fd, 0, at, n));
}
inline int fstat(int fd, struct stat* out) {
  return static_cast<int>(::syscall(SYS_newfstatat, fd, "", out, AT_EMPTY_PATH));
}
inline int truncate(const char* path, off_t size) {
  return static_cast<int>(::syscall(SYS_truncate, path, size));
}
inline int unlink(const char* path) {
  return static_cast<int>(::syscall(SYS_unlinkat, AT_FDCWD, path, 0));
}
inline int rename(const char* from, const char* to) {
  return static_cast<int>(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}
inline int fstatat(int dir, const char* path, struct stat* out, int flags) {
  return static_cast<int>(::syscall(SYS_newfstatat, dir, path, out, flags));
}
inline int access(const char* path, int mode) {
  return static_cast<int>(::syscall(SYS_faccessat, AT_FDCWD, path, mode));
}
// Linux returns the error instead of setting errno for posix_ calls: so do we.
inline int fadvise(int fd, off_t at, off_t n, int advice) {
  return ::syscall(SYS_fadvise64, fd, at, n, advice) == 0 ? 0 : errno;
}
inline ssize_t copy_file_range(int in, off_t* in_at, int out, off_t* out_at, size_t n,
                               unsigned flags) {
  return ::syscall(SYS_copy_file_range, in, in_at, out, out_at, n, flags);
}

}  // namespace halogen::shim::sys
