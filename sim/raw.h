// raw.h: system calls past the functions that interpose.cc defines.
#pragma once
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace halogen::sim {

[[noreturn]] inline void give_up(const std::string& what) {
  std::perror(("power loss layer: " + what).c_str());
  std::abort();
}

namespace raw {

inline int openat(int folder, const char* path, int flags, mode_t mode) {
  return static_cast<int>(::syscall(SYS_openat, folder, path, flags, mode));
}
inline ssize_t write(int fd, const void* data, size_t size) {
  return ::syscall(SYS_write, fd, data, size);
}
inline ssize_t pwrite(int fd, const void* data, size_t size, off_t at) {
  return ::syscall(SYS_pwrite64, fd, data, size, at);
}
inline int ftruncate(int fd, off_t size) {
  return static_cast<int>(::syscall(SYS_ftruncate, fd, size));
}
inline int fallocate(int fd, int mode, off_t at, off_t size) {
  return static_cast<int>(::syscall(SYS_fallocate, fd, mode, at, size));
}
inline int fsync(int fd) { return static_cast<int>(::syscall(SYS_fsync, fd)); }
inline int fdatasync(int fd) { return static_cast<int>(::syscall(SYS_fdatasync, fd)); }
inline int rename(int from_folder, const char* from, int folder, const char* to,
                  unsigned flags = 0) {
  return static_cast<int>(::syscall(SYS_renameat2, from_folder, from, folder, to, flags));
}
inline int unlinkat(int folder, const char* path, int flags) {
  return static_cast<int>(::syscall(SYS_unlinkat, folder, path, flags));
}
inline int mkdirat(int folder, const char* path, mode_t mode) {
  return static_cast<int>(::syscall(SYS_mkdirat, folder, path, mode));
}

// A file of notes. A platform that root has started becomes another user, who adds to it.
inline int open_notes(const std::string& path, int flags) {
  int fd = openat(AT_FDCWD, path.c_str(), flags | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) give_up(path);
  [[maybe_unused]] int not_ours = ::fchmod(fd, 0666);
  return fd;
}

}  // namespace raw
}  // namespace halogen::sim
