#include "sim/tracker.h"

#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <sstream>

#include "sim/raw.h"

namespace halogen::sim {
namespace {

namespace fs = std::filesystem;

constexpr size_t kControlSize = 4096;

std::atomic<Tracker*> tracker_of_process = nullptr;
thread_local bool within = false;

struct Within {
  Within() { within = true; }
  ~Within() { within = false; }
};

std::string path_of(int fd) {
  char path[PATH_MAX];
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t size = ::readlink(link.c_str(), path, sizeof path);
  return size > 0 ? std::string(path, static_cast<size_t>(size)) : std::string();
}

std::optional<struct stat> status_of(const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return std::nullopt;
  return status;
}

Name name_of(const std::string& path) {
  const fs::path file(path);
  std::optional<struct stat> folder = status_of(file.parent_path());
  return {.folder = folder ? folder->st_ino : 0, .name = file.filename()};
}

bool matches(const std::vector<std::string>& patterns, const std::string& path) {
  for (const std::string& pattern : patterns)
    if (::fnmatch(pattern.c_str(), path.c_str(), 0) == 0) return true;
  return false;
}

volatile char* map_control(const std::string& state) {
  const std::string path = state + "/control";
  int fd = raw::open_notes(path, O_RDWR);
  if (raw::ftruncate(fd, kControlSize) != 0) give_up(path);
  void* at = ::mmap(nullptr, kControlSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) give_up(path);
  ::close(fd);
  return static_cast<volatile char*>(at);
}

[[noreturn]] void cut_power() {
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();
}

}  // namespace

// One step of the process. May be its last.
class Tracker::Step {
 public:
  Step(Tracker& tracker, const char* kind, const std::string& path) : lock_(tracker.mutex_) {
    if (tracker.control_[0] != '\0') reach(tracker, kind, tracker.below_root(path));
  }
  ~Step() {
    if (cut_after_) cut_power();
  }

 private:
  void reach(Tracker& tracker, const char* kind, const std::string& path) {
    auto* control = const_cast<char*>(tracker.control_);
    std::istringstream in{std::string(control, ::strnlen(control, kControlSize))};
    CutPoint point;
    if (!(in >> point.count >> point.after >> point.step >> point.path)) return;
    if (::fnmatch(point.step.c_str(), kind, 0) != 0 ||
        ::fnmatch(point.path.c_str(), path.c_str(), 0) != 0)
      return;
    if (--point.count == 0) {
      control[0] = '\0';
      if (!point.after) cut_power();
      cut_after_ = true;
      return;
    }
    std::ostringstream out;
    out << point.count << ' ' << point.after << ' ' << point.step << ' ' << point.path;
    std::strncpy(control, out.str().c_str(), kControlSize);
  }

  const Within within_;
  const std::lock_guard<std::mutex> lock_;
  bool cut_after_ = false;
};

Tracker* Tracker::current() { return within ? nullptr : tracker_of_process.load(); }
void Tracker::set_current(Tracker* tracker) { tracker_of_process = tracker; }

Tracker::Tracker(const Disk& disk, Faults faults)
    : root_(disk.root),
      faults_(std::move(faults)),
      control_(map_control(disk.state)),
      sectors_(disk.state + "/sectors"),
      names_(disk.state) {}

std::optional<std::string> Tracker::tracked(int folder, const char* path) const {
  fs::path full(path);
  if (full.is_relative()) {
    full = folder == AT_FDCWD ? fs::current_path() / full : fs::path(path_of(folder)) / full;
  }
  std::string normal = full.lexically_normal();
  if (normal.size() > 1 && normal.ends_with('/')) normal.pop_back();
  if (!normal.starts_with(root_ + "/")) return std::nullopt;
  if (matches(faults_.skipped, below_root(normal))) return std::nullopt;
  return normal;
}

std::optional<std::string> Tracker::tracked(int fd) const {
  struct stat status{};
  if (::fstat(fd, &status) != 0 || !(S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)))
    return std::nullopt;
  std::string path = path_of(fd);
  if (path != root_ && !path.starts_with(root_ + "/")) return std::nullopt;
  if (matches(faults_.skipped, below_root(path))) return std::nullopt;
  return path;
}

int Tracker::open(const std::string& path, int flags, mode_t mode) {
  std::optional<struct stat> before = status_of(path);
  const bool empties = before && S_ISREG(before->st_mode) && (flags & O_TRUNC) != 0 &&
                       (flags & O_EXCL) == 0 && before->st_size > 0;
  if (before && !empties) {
    const Within untracked;
    return raw::openat(AT_FDCWD, path.c_str(), flags, mode);
  }
  Step step(*this, before ? "truncate" : "create", path);
  if (empties) {
    int fd = raw::openat(AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC, 0);
    if (fd >= 0) sectors_.before_resize(fd, 0);
    ::close(fd);
    return raw::openat(AT_FDCWD, path.c_str(), flags, mode);
  }
  int fd = raw::openat(AT_FDCWD, path.c_str(), flags, mode);
  if (fd < 0) return fd;
  struct stat made{};
  if (::fstat(fd, &made) != 0) give_up(path);
  sectors_.synced(made.st_ino);  // Notes of a file that had this inode before.
  names_.made(name_of(path), made.st_ino);
  return fd;
}

ssize_t Tracker::write(int fd, const std::string& path, const void* data, size_t size,
                       std::optional<off_t> at) {
  Step step(*this, "write", path);
  const bool appends = (::fcntl(fd, F_GETFL) & O_APPEND) != 0;
  off_t place = at ? *at : ::lseek(fd, 0, SEEK_CUR);
  if (appends) place = status_of(path)->st_size;
  sectors_.before_write(fd, static_cast<uint64_t>(place), size);
  return at ? raw::pwrite(fd, data, size, *at) : raw::write(fd, data, size);
}

int Tracker::truncate(int fd, const std::string& path, off_t size) {
  Step step(*this, "truncate", path);
  sectors_.before_resize(fd, static_cast<uint64_t>(size));
  return raw::ftruncate(fd, size);
}

int Tracker::allocate(int fd, const std::string& path, int mode, off_t at, off_t size) {
  Step step(*this, "allocate", path);
  sectors_.before_write(fd, static_cast<uint64_t>(at), static_cast<uint64_t>(size));
  return raw::fallocate(fd, mode, at, size);
}

int Tracker::sync(int fd, const std::string& path) {
  Step step(*this, "sync", path);
  struct stat status{};
  if (::fstat(fd, &status) != 0) return -1;
  if (matches(faults_.not_synced, below_root(path))) return 0;
  if (S_ISDIR(status.st_mode)) {
    for (ino_t gone : names_.synced(status.st_ino)) sectors_.synced(gone);
  } else {
    sectors_.synced(status.st_ino);
  }
  return 0;
}

// Moved away, so that it can come back.
int Tracker::remove(const std::string& path) {
  const fs::path saved = names_.removing(name_of(path));
  if (raw::rename(AT_FDCWD, path.c_str(), AT_FDCWD, saved.c_str()) == 0) return 0;
  const int why = errno;
  names_.failed();
  errno = why;
  return -1;
}

int Tracker::unlink(const std::string& path) {
  Step step(*this, "unlink", path);
  std::optional<struct stat> status = status_of(path);
  if (!status || S_ISDIR(status->st_mode)) return raw::unlinkat(AT_FDCWD, path.c_str(), 0);
  return remove(path);
}

int Tracker::remove_folder(const std::string& path) {
  Step step(*this, "rmdir", path);
  std::error_code error;
  if (fs::is_directory(path, error) && fs::is_empty(path, error)) return remove(path);
  return raw::unlinkat(AT_FDCWD, path.c_str(), AT_REMOVEDIR);
}

int Tracker::rename(const std::string& from, const std::string& to) {
  Step step(*this, "rename", to);
  std::optional<struct stat> moved = status_of(from);
  std::optional<struct stat> replaced = status_of(to);
  if (!moved || (replaced && replaced->st_ino == moved->st_ino))
    return raw::rename(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str());
  const fs::path saved = names_.moving(name_of(from), name_of(to), moved->st_ino);
  // A second name: there is no moment without a file under the first.
  if (replaced && !S_ISDIR(replaced->st_mode) && ::link(to.c_str(), saved.c_str()) != 0)
    give_up(to);
  if (raw::rename(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str()) == 0) return 0;
  const int why = errno;
  names_.failed();
  errno = why;
  return -1;
}

int Tracker::make_folder(const std::string& path, mode_t mode) {
  Step step(*this, "mkdir", path);
  if (raw::mkdirat(AT_FDCWD, path.c_str(), mode) != 0) return -1;
  names_.made(name_of(path), status_of(path)->st_ino);
  return 0;
}

}  // namespace halogen::sim
