#include "objectstore/content.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"

namespace halogen::objectstore {

Content Content::of(std::string bytes) {
  Content content;
  content.size_ = bytes.size();
  content.bytes_ = std::make_shared<const std::string>(std::move(bytes));
  return content;
}

Content Content::of_file(const fs::path& path) {
  Content content;
  UniqueFd fd = open_file(path, O_RDONLY);
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) throw system_error(errno, path.string());
  content.size_ = static_cast<uint64_t>(status.st_size);
  content.file_ = std::make_shared<const UniqueFd>(std::move(fd));
  return content;
}

void Content::read(uint64_t offset, std::span<std::byte> into) const {
  CHECK(offset + into.size() <= size_);
  if (bytes_) {
    std::memcpy(into.data(), bytes_->data() + offset, into.size());
    return;
  }
  size_t done = 0;
  while (done < into.size()) {
    const ssize_t got = ::pread(file_->get(), into.data() + done, into.size() - done,
                                static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw system_error(errno, "read of a file that is uploaded");
    if (got == 0) throw Error(Errc::corrupt, "a file has become shorter while it was uploaded");
    done += static_cast<size_t>(got);
  }
}

}  // namespace halogen::objectstore
