// hooks_name.cc: the interposed calls that name a file.
#include <stdarg.h>
#include <stdio.h>

#include "compute/shim/blocks.h"
#include "compute/shim/fd_table.h"
#include "compute/shim/hook.h"
#include "compute/shim/segments.h"
#include "compute/shim/server_state.h"
#include "compute/shim/sys.h"
#include "compute/shim/wal.h"

namespace halogen::shim {
namespace {

int track_new_fd(int fd, uint32_t index) {
  if (fd < 0) return fd;
  if (index == kNoEntry) {
    g_fds.clear(fd);  // Closed behind our back, by fclose or exec.
    return fd;
  }
  if (g_fds.set(fd, index)) return fd;
  sys::close(fd);
  return fail(EMFILE);
}

void close_segment(int fd) {
  g_fds.clear(fd);
  sys::close(fd);
}

// Absent blocks are installed through the reader's own descriptor: SLRUs are opened read-only.
int usable(int flags) { return (flags & O_ACCMODE) == O_RDONLY ? flags | O_RDWR : flags; }

int open_segment(uint32_t index, const char* path, int flags, mode_t mode) {
  if (int error = make_segment(index)) return fail(error);
  if (is_dead(index)) return track_new_fd(sys::open(path, flags, mode), kNoEntry);
  int fd = track_new_fd(sys::open(path, usable(flags & ~O_TRUNC), mode), index);
  if (fd < 0 || (flags & O_TRUNC) == 0) return fd;
  if (int error = ftruncate_segment(index, fd, 0)) {
    close_segment(fd);
    return fail(error);
  }
  return fd;
}

// A segment of a table or an index that is not in the manifest: it gets an entry if it is there, or
// is made now, so that it need not stay here for ever.
int open_new_segment(const SegmentId& id, const char* path, int flags, mode_t mode) {
  int fd = sys::open(path, usable(flags), mode);
  return track_new_fd(fd, fd < 0 ? kNoEntry : g_map.add(id));
}

// Postgres looks for a segment to write to before it makes one, which it never may.
int open_wal(const char* path, int flags, mode_t mode, uint32_t segment) {
  const bool writes = (flags & O_ACCMODE) != O_RDONLY && (flags & O_CREAT) == 0;
  int fd = track_new_fd(
      writes ? open_wal_segment(path, flags, mode, segment) : sys::open(path, flags, mode),
      kNoEntry);
  g_fds.set_wal(fd, segment);
  return fd;
}

int open_path(const char* path, int flags, mode_t mode) {
  SegmentId id;
  if (g_map.parse(path, &id)) {
    uint32_t index = g_map.find(id);
    if (index != kNoEntry) return open_segment(index, path, flags, mode);
    if (is_main_fork(id)) return open_new_segment(id, path, flags, mode);
  } else if (uint32_t segment = wal_segment_of(path)) {
    return open_wal(path, flags, mode, segment);
  }
  return track_new_fd(sys::open(path, flags, mode), kNoEntry);
}

bool names_relative_to_cwd(int dir, const char* path) { return dir == AT_FDCWD || path[0] == '/'; }

// What there is to say of a file needs no file.
int stat_path(const char* path, struct stat* out, int flags) {
  uint32_t index = g_map.find(path);
  if (index != kNoEntry && is_unmade(index)) return stat_unmade(index, out);
  return sys::fstatat(AT_FDCWD, path, out, flags);
}

// For calls that read or write a file around our hooks.
bool fetch_named(const char* path) {
  uint32_t index = g_map.find(path);
  if (index == kNoEntry || is_dead(index)) return true;
  int fd = open_segment(index, path, O_RDWR | O_CLOEXEC, 0);
  if (fd < 0) return errno == ENOENT;
  int error = g_fds.entry(fd) == index ? keep_here(fd, index, 0, kWholeSegment) : 0;
  close_segment(fd);
  if (error != 0) errno = error;
  return error == 0;
}

bool creates(int flags) { return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE; }

// Only then is there a further argument.
mode_t mode_of(int flags, va_list arguments) {
  return creates(flags) ? va_arg(arguments, mode_t) : 0;
}

}  // namespace

extern "C" {

int hook_open(const char* path, int flags, ...) HALOGEN_HOOK("open");
int hook_open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_path(path, flags, mode);
}
int hook_open64(const char* path, int flags, ...) HALOGEN_ALIAS("open64", "open");

int hook_open_2(const char* path, int flags) HALOGEN_HOOK("__open_2");
int hook_open_2(const char* path, int flags) { return open_path(path, flags, 0); }
int hook_open64_2(const char* path, int flags) HALOGEN_ALIAS("__open64_2", "__open_2");

int hook_openat(int dir, const char* path, int flags, ...) HALOGEN_HOOK("openat");
int hook_openat(int dir, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  if (names_relative_to_cwd(dir, path)) return open_path(path, flags, mode);
  return track_new_fd(sys::openat(dir, path, flags, mode), kNoEntry);
}
int hook_openat64(int dir, const char* path, int flags, ...) HALOGEN_ALIAS("openat64", "openat");

int hook_creat(const char* path, mode_t mode) HALOGEN_HOOK("creat");
int hook_creat(const char* path, mode_t mode) {
  return open_path(path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}
int hook_creat64(const char* path, mode_t mode) HALOGEN_ALIAS("creat64", "creat");

FILE* hook_fopen(const char* path, const char* mode) HALOGEN_HOOK("fopen");
FILE* hook_fopen(const char* path, const char* mode) {
  static constinit FILE* (*next)(const char*, const char*) = nullptr;
  if (next == nullptr) next = next_symbol<FILE* (*)(const char*, const char*)>("fopen");
  return fetch_named(path) ? next(path, mode) : nullptr;
}
FILE* hook_fopen64(const char* path, const char* mode) HALOGEN_ALIAS("fopen64", "fopen");

int hook_stat(const char* path, struct stat* out) HALOGEN_HOOK("stat");
int hook_stat(const char* path, struct stat* out) { return stat_path(path, out, 0); }
int hook_stat64(const char* path, struct stat* out) HALOGEN_ALIAS("stat64", "stat");

int hook_lstat(const char* path, struct stat* out) HALOGEN_HOOK("lstat");
int hook_lstat(const char* path, struct stat* out) {
  return stat_path(path, out, AT_SYMLINK_NOFOLLOW);
}
int hook_lstat64(const char* path, struct stat* out) HALOGEN_ALIAS("lstat64", "lstat");

int hook_fstatat(int dir, const char* path, struct stat* out, int flags) HALOGEN_HOOK("fstatat");
int hook_fstatat(int dir, const char* path, struct stat* out, int flags) {
  return names_relative_to_cwd(dir, path) ? stat_path(path, out, flags)
                                          : sys::fstatat(dir, path, out, flags);
}
int hook_fstatat64(int dir, const char* path, struct stat* out, int flags)
    HALOGEN_ALIAS("fstatat64", "fstatat");

int hook_access(const char* path, int mode) HALOGEN_HOOK("access");
int hook_access(const char* path, int mode) {
  uint32_t index = g_map.find(path);
  if (index == kNoEntry) return sys::access(path, mode);
  int error = make_segment(index);
  return error == 0 ? sys::access(path, mode) : fail(error);
}

int hook_truncate(const char* path, off_t size) HALOGEN_HOOK("truncate");
int hook_truncate(const char* path, off_t size) {
  uint32_t index = g_map.find(path);
  if (index == kNoEntry || is_dead(index)) return sys::truncate(path, size);
  int fd = open_segment(index, path, O_RDWR | O_CLOEXEC, 0);
  if (fd < 0) return -1;
  int error = ftruncate_segment(index, fd, size);
  close_segment(fd);
  return error == 0 ? 0 : fail(error);
}
int hook_truncate64(const char* path, off_t size) HALOGEN_ALIAS("truncate64", "truncate");

int hook_unlink(const char* path) HALOGEN_HOOK("unlink");
int hook_unlink(const char* path) {
  if (g_map.is_open() && is_relcache_file(path) &&
      (g_map.header().flags & kKeepRelcacheFiles) != 0 && is_startup_process())
    return 0;  // StartupXLOG's, at boot; the agent knows that the file is good at the boot LSN.
  uint32_t index = g_map.find(path);
  if (index == kNoEntry || is_dead(index)) return sys::unlink(path);
  int error = unlink_segment(index, path);
  return error == 0 ? 0 : fail(error);
}

int hook_rename(const char* from, const char* to) HALOGEN_HOOK("rename");
int hook_rename(const char* from, const char* to) {
  uint32_t source = g_map.find(from);
  uint32_t target = g_map.find(to);
  if (source != kNoEntry && !fetch_named(from)) return -1;
  if (target != kNoEntry) mark_dead(target);
  int result = sys::rename(from, to);
  if (result == 0 && source != kNoEntry) mark_dead(source);
  return result;
}

}  // extern "C"

}  // namespace halogen::shim
