// untrusted_folder.h: files in a folder that a tenant could write to.
//
// A data directory is made by us, but then its compute does with it as it likes: what it leaves may
// be a link to a file of the platform's, or a pipe that nobody writes to. So nothing in it is
// opened by a plain path. Paths are relative to the folder.
#pragma once
#include <fcntl.h>

#include <optional>
#include <string>
#include <vector>

#include "base/file.h"

namespace halogen::compute {

class UntrustedFolder {
 public:
  // `path` itself must be a folder, no link to one; what leads to it is ours. Throws not_found,
  // corrupt.
  explicit UntrustedFolder(fs::path path);

  // A regular file, reached over no link. Throws not_found, corrupt.
  UniqueFd open(const std::string& path, int flags) const;
  // Throws not_found; corrupt, too, if it is longer than `most`.
  std::string read(const std::string& path, size_t most) const;
  // What is in a folder, without "." and "..". Throws not_found, corrupt.
  std::vector<std::string> names(const std::string& folder) const;
  // A folder, reached over no link. Throws not_found, corrupt.
  UniqueFd open_folder(const std::string& path) const {
    return open_any(path, O_RDONLY | O_DIRECTORY);
  }
  // Gives a file another name, outside, which must not exist. Throws not_found, corrupt, io.
  void link(const std::string& path, const fs::path& name) const;
  void remove(const std::string& path) const;

 private:
  UniqueFd open_any(const std::string& path, int flags) const;
  // Of the folder that `path` is in.
  UniqueFd open_parent(const std::string& path) const;

  const fs::path path_;
  UniqueFd folder_;
};

}  // namespace halogen::compute
