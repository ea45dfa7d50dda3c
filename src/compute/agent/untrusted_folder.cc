#include "compute/agent/untrusted_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "base/error.h"

namespace halogen::compute {
namespace {

Error failure(int error, const fs::path& path) {
  bool damaged = error == ELOOP || error == ENOTDIR || error == EXDEV || error == ENXIO;
  if (damaged) return Error(Errc::corrupt, "{} is not what it was made as", path.string());
  if (error == ENOENT) return Error(Errc::not_found, "{}: it is not there", path.string());
  return system_error(error, path.string());
}

fs::path parent_of(const std::string& path) {
  fs::path parent = fs::path(path).parent_path();
  return parent.empty() ? "." : parent;
}

}  // namespace

UntrustedFolder::UntrustedFolder(fs::path path)
    : path_(std::move(path)),
      folder_(::open(path_.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) {
  if (!folder_.valid()) throw failure(errno, path_);
}

UniqueFd UntrustedFolder::open_any(const std::string& path, int flags) const {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  UniqueFd fd(
      static_cast<int>(::syscall(SYS_openat2, folder_.get(), path.c_str(), &how, sizeof how)));
  if (!fd.valid()) throw failure(errno, path_ / path);
  return fd;
}

UniqueFd UntrustedFolder::open_parent(const std::string& path) const {
  return open_any(parent_of(path), O_PATH | O_DIRECTORY);
}

UniqueFd UntrustedFolder::open(const std::string& path, int flags) const {
  // Without waiting for the other end of a pipe.
  UniqueFd fd = open_any(path, flags | O_NONBLOCK | O_NOCTTY);
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) throw failure(errno, path_ / path);
  if (!S_ISREG(info.st_mode)) throw failure(ELOOP, path_ / path);
  return fd;
}

std::string UntrustedFolder::read(const std::string& path, size_t most) const {
  UniqueFd fd = open(path, O_RDONLY);
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) throw failure(errno, path_ / path);
  if (static_cast<uint64_t>(info.st_size) > most)
    throw Error(Errc::corrupt, "{} is too large", (path_ / path).string());
  return pread_exact(fd.get(), static_cast<size_t>(info.st_size), 0);
}

std::vector<std::string> UntrustedFolder::names(const std::string& folder) const {
  UniqueFd fd = open_any(folder, O_RDONLY | O_DIRECTORY);
  std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(fd.get()), ::closedir);
  if (!stream) throw failure(errno, path_ / folder);
  fd.release();
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(stream.get())) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  return names;
}

void UntrustedFolder::link(const std::string& path, const fs::path& name) const {
  UniqueFd parent = open_parent(path);
  std::string last = fs::path(path).filename();
  if (::linkat(parent.get(), last.c_str(), AT_FDCWD, name.c_str(), 0) != 0)
    throw failure(errno, path_ / path);
}

void UntrustedFolder::remove(const std::string& path) const {
  UniqueFd parent = open_parent(path);
  ::unlinkat(parent.get(), fs::path(path).filename().c_str(), 0);
}

}  // namespace halogen::compute
