#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace halogen {

void UniqueFd::reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

UniqueFd open_file(const fs::path& path, int flags, int mode) {
  int fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  if (fd >= 0) return UniqueFd(fd);
  if (errno == ENOENT) throw Error(Errc::not_found, "{}: {}", path.string(), std::strerror(errno));
  throw system_error(errno, path.string());
}

void write_all(int fd, Bytes bytes) {
  while (!bytes.empty()) {
    ssize_t done = ::write(fd, bytes.data(), bytes.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) throw system_error(errno, "write");
    bytes = bytes.subspan(static_cast<size_t>(done));
  }
}

void pwrite_all(int fd, Bytes bytes, uint64_t offset) {
  while (!bytes.empty()) {
    ssize_t done = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) throw system_error(errno, "pwrite");
    bytes = bytes.subspan(static_cast<size_t>(done));
    offset += static_cast<size_t>(done);
  }
}

std::string pread_exact(int fd, size_t size, uint64_t offset) {
  std::string out(size, '\0');
  size_t have = 0;
  while (have < size) {
    ssize_t done = ::pread(fd, out.data() + have, size - have, static_cast<off_t>(offset + have));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) throw system_error(errno, "pread");
    if (done == 0)
      throw Error(Errc::corrupt, "file ends at {}, before {}", offset + have, offset + size);
    have += static_cast<size_t>(done);
  }
  return out;
}

std::string read_file(const fs::path& path) {
  UniqueFd fd = open_file(path, O_RDONLY);
  std::string content;
  char buffer[16384];
  for (;;) {
    ssize_t done = ::read(fd.get(), buffer, sizeof buffer);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) throw system_error(errno, path.string());
    if (done == 0) return content;
    content.append(buffer, static_cast<size_t>(done));
  }
}

namespace {

UniqueFd create_file(const fs::path& path, int mode) {
  UniqueFd fd = open_file(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
  if (::fchmod(fd.get(), static_cast<mode_t>(mode)) != 0) throw system_error(errno, path.string());
  return fd;
}

}  // namespace

void write_file(const fs::path& path, std::string_view content, int mode) {
  UniqueFd fd = create_file(path, mode);
  write_all(fd.get(), as_bytes(content));
}

void write_file_durably(const fs::path& path, std::string_view content, int mode) {
  fs::path temporary = path;
  temporary += ".tmp";
  {
    UniqueFd fd = create_file(temporary, mode);
    write_all(fd.get(), as_bytes(content));
    fsync_or_die(fd.get(), temporary.string());
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) throw system_error(errno, path.string());
  fsync_folder(path.parent_path());
}

void fsync_or_die(int fd, std::string_view what) {
  if (::fsync(fd) != 0) die(fmt::format("fsync of {}: {}", what, std::strerror(errno)));
}

void fdatasync_or_die(int fd, std::string_view what) {
  if (::fdatasync(fd) != 0) die(fmt::format("fdatasync of {}: {}", what, std::strerror(errno)));
}

void fsync_folder(const fs::path& folder) {
  UniqueFd fd = open_file(folder.empty() ? fs::path(".") : folder, O_RDONLY | O_DIRECTORY);
  fsync_or_die(fd.get(), folder.string());
}

}  // namespace halogen
