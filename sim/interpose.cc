// The functions of libc that change files: noted while something is tracked, else passed on.
#include <stdarg.h>
#include <sys/uio.h>

#include <cerrno>

#include "sim/raw.h"
#include "sim/tracker.h"

namespace halogen::sim {
namespace {

template <typename Note, typename Pass>
auto by_descriptor(int fd, Note note, Pass pass) {
  if (Tracker* tracker = Tracker::current()) {
    const int before = errno;
    std::optional<std::string> path = tracker->tracked(fd);
    errno = before;
    if (path) return note(*tracker, *path);
  }
  return pass();
}

template <typename Note, typename Pass>
auto by_path(int folder, const char* name, Note note, Pass pass) {
  if (Tracker* tracker = Tracker::current()) {
    const int before = errno;
    std::optional<std::string> path = tracker->tracked(folder, name);
    errno = before;
    if (path) return note(*tracker, *path);
  }
  return pass();
}

int open_at(int folder, const char* name, int flags, mode_t mode) {
  auto pass = [&] { return raw::openat(folder, name, flags, mode); };
  if ((flags & (O_CREAT | O_TRUNC)) == 0) return pass();
  return by_path(
      folder, name, [&](Tracker& t, const std::string& path) { return t.open(path, flags, mode); },
      pass);
}

ssize_t write_at(int fd, const void* data, size_t size, std::optional<off_t> at) {
  return by_descriptor(
      fd, [&](Tracker& t, const std::string& path) { return t.write(fd, path, data, size, at); },
      [&] { return at ? raw::pwrite(fd, data, size, *at) : raw::write(fd, data, size); });
}

int truncate_to(int fd, off_t size) {
  return by_descriptor(
      fd, [&](Tracker& t, const std::string& path) { return t.truncate(fd, path, size); },
      [&] { return raw::ftruncate(fd, size); });
}

int allocate(int fd, int mode, off_t at, off_t size) {
  return by_descriptor(
      fd, [&](Tracker& t, const std::string& path) { return t.allocate(fd, path, mode, at, size); },
      [&] { return raw::fallocate(fd, mode, at, size); });
}

int make_folder(int folder, const char* name, mode_t mode) {
  return by_path(
      folder, name, [&](Tracker& t, const std::string& path) { return t.make_folder(path, mode); },
      [&] { return raw::mkdirat(folder, name, mode); });
}

int remove_name(int folder, const char* name, int flags) {
  return by_path(
      folder, name,
      [&](Tracker& t, const std::string& path) {
        return (flags & AT_REMOVEDIR) != 0 ? t.remove_folder(path) : t.unlink(path);
      },
      [&] { return raw::unlinkat(folder, name, flags); });
}

// What comes from or goes to where nothing is tracked is made or removed without a note.
int rename_at(int from_folder, const char* from, int folder, const char* to, unsigned flags) {
  auto pass = [&] { return raw::rename(from_folder, from, folder, to, flags); };
  if (flags != 0) return pass();
  return by_path(
      from_folder, from,
      [&](Tracker& t, const std::string& source) {
        std::optional<std::string> target = t.tracked(folder, to);
        return target ? t.rename(source, *target) : pass();
      },
      pass);
}

mode_t mode_of(int flags, va_list arguments) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

}  // namespace
}  // namespace halogen::sim

using namespace halogen::sim;

#pragma GCC visibility push(default)
extern "C" {

// NOLINTBEGIN: these names are libc's.
#define HALOGEN_OPEN(NAME)                         \
  int NAME(const char* path, int flags, ...) {     \
    va_list arguments;                             \
    va_start(arguments, flags);                    \
    const mode_t mode = mode_of(flags, arguments); \
    va_end(arguments);                             \
    return open_at(AT_FDCWD, path, flags, mode);   \
  }
#define HALOGEN_OPENAT(NAME)                               \
  int NAME(int folder, const char* path, int flags, ...) { \
    va_list arguments;                                     \
    va_start(arguments, flags);                            \
    const mode_t mode = mode_of(flags, arguments);         \
    va_end(arguments);                                     \
    return open_at(folder, path, flags, mode);             \
  }
HALOGEN_OPEN(open)
HALOGEN_OPEN(open64)
HALOGEN_OPENAT(openat)
HALOGEN_OPENAT(openat64)
int creat(const char* path, mode_t mode) {
  return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}
ssize_t write(int fd, const void* data, size_t size) { return write_at(fd, data, size, {}); }
ssize_t pwrite(int fd, const void* data, size_t size, off_t at) {
  return write_at(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void* data, size_t size, off64_t at) {
  return write_at(fd, data, size, at);
}
int ftruncate(int fd, off_t size) noexcept { return truncate_to(fd, size); }
int ftruncate64(int fd, off64_t size) noexcept { return truncate_to(fd, size); }
int truncate(const char* path, off_t size) noexcept {
  int fd = raw::openat(AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);
  if (fd < 0) return -1;
  const int result = truncate_to(fd, size);
  const int why = errno;
  ::close(fd);
  errno = why;
  return result;
}
int truncate64(const char* path, off64_t size) noexcept { return truncate(path, size); }
int fallocate(int fd, int mode, off_t at, off_t size) { return allocate(fd, mode, at, size); }
int fallocate64(int fd, int mode, off64_t at, off64_t size) { return allocate(fd, mode, at, size); }
int posix_fallocate(int fd, off_t at, off_t size) {
  return allocate(fd, 0, at, size) == 0 ? 0 : errno;
}
int posix_fallocate64(int fd, off64_t at, off64_t size) { return posix_fallocate(fd, at, size); }
int fsync(int fd) {
  return by_descriptor(
      fd, [&](Tracker& t, const std::string& path) { return t.sync(fd, path); },
      [&] { return raw::fsync(fd); });
}
int fdatasync(int fd) {
  return by_descriptor(
      fd, [&](Tracker& t, const std::string& path) { return t.sync(fd, path); },
      [&] { return raw::fdatasync(fd); });
}
int rename(const char* from, const char* to) noexcept {
  return rename_at(AT_FDCWD, from, AT_FDCWD, to, 0);
}
int renameat(int from_folder, const char* from, int folder, const char* to) noexcept {
  return rename_at(from_folder, from, folder, to, 0);
}
int renameat2(int from_folder, const char* from, int folder, const char* to,
              unsigned flags) noexcept {
  return rename_at(from_folder, from, folder, to, flags);
}
int unlink(const char* path) noexcept { return remove_name(AT_FDCWD, path, 0); }
int unlinkat(int folder, const char* path, int flags) noexcept {
  return remove_name(folder, path, flags);
}
int rmdir(const char* path) noexcept { return remove_name(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char* path) noexcept {
  const int result = unlink(path);
  return result != 0 && (errno == EISDIR || errno == EPERM) ? rmdir(path) : result;
}
int mkdir(const char* path, mode_t mode) noexcept { return make_folder(AT_FDCWD, path, mode); }
int mkdirat(int folder, const char* path, mode_t mode) noexcept {
  return make_folder(folder, path, mode);
}
// NOLINTEND
}
#pragma GCC visibility pop
