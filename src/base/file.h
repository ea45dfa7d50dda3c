// file.h: owned file descriptors and the few whole-file operations everybody needs.
//
// All throw Errc::io with errno's text and the path; not_found where the file does not exist.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "base/bytes.h"

namespace halogen {

namespace fs = std::filesystem;

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  void reset(int fd = -1);
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

// open(2) with O_CLOEXEC added.
UniqueFd open_file(const fs::path& path, int flags, int mode = 0600);

void write_all(int fd, Bytes bytes);
void pwrite_all(int fd, Bytes bytes, uint64_t offset);
// Exactly `size` bytes; fewer in the file is Errc::corrupt.
std::string pread_exact(int fd, size_t size, uint64_t offset);

std::string read_file(const fs::path& path);
// Both writers: `mode` is the file's from before its first byte, whatever the umask and whatever
// mode a file of this name had.
// Without fsync: for files that can be made again.
void write_file(const fs::path& path, std::string_view content, int mode = 0600);
// Durable and all or nothing: a temporary file, fsync, rename, fsync of the folder.
void write_file_durably(const fs::path& path, std::string_view content, int mode = 0600);
// A failed fsync ends the process: what the kernel kept is unknown.
void fsync_or_die(int fd, std::string_view what);
void fdatasync_or_die(int fd, std::string_view what);
void fsync_folder(const fs::path& folder);

}  // namespace halogen
