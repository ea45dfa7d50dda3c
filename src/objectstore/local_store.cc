#include "objectstore/local_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error.h"
#include "base/ids.h"

namespace halogen::objectstore {
namespace {

constexpr size_t kNameLength = 12;

// What the operating system says, in the words of a store.
Error refusal(int saved_errno, const std::string& what) {
  const Error said = system_error(saved_errno, what);
  if (saved_errno == EACCES || saved_errno == EPERM)
    return Error(Errc::permission_denied, "{}", said.what());
  if (saved_errno == ESTALE || saved_errno == ENOTCONN || saved_errno == EHOSTDOWN ||
      saved_errno == ETIMEDOUT)
    return Error(Errc::unavailable, "{}", said.what());
  return said;
}

class Temporary {
 public:
  explicit Temporary(fs::path path) : path_(std::move(path)) {}
  ~Temporary() { ::unlink(path_.c_str()); }  // What has been renamed is not there any more.
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  const fs::path& path() const { return path_; }

 private:
  const fs::path path_;
};

void write_durably(const fs::path& path, const Content& content) {
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid()) throw refusal(errno, path.string());
  content.each_piece([&](Bytes piece) { write_all(fd.get(), piece); });
  // Not a lost invariant of ours: it is another disk, and the put did not happen.
  if (::fsync(fd.get()) != 0) throw refusal(errno, "fsync of " + path.string());
}

void sync_folder(const fs::path& folder) {
  UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid() || ::fsync(fd.get()) != 0) throw refusal(errno, folder.string());
}

bool begins_with_dot(const fs::path& path) { return path.filename().native().starts_with('.'); }

}  // namespace

LocalStore::LocalStore(fs::path folder) : folder_(std::move(folder)) {
  if (!folder_.is_absolute())
    throw Error(Errc::invalid_argument, "{} is no absolute path: file:///path", folder_.string());
}

fs::path LocalStore::path_of(const std::string& key) const {
  check_key(key);
  return folder_ / key;
}

// Where the folder is, or would be made.
void LocalStore::require_place() const {
  const fs::path place = folder_.parent_path();
  if (!fs::is_directory(place))
    throw Error(Errc::unavailable, "there is no folder {}: is it mounted?", place.string());
}

void LocalStore::make_folders(const fs::path& folder) const {
  if (folder == folder_.parent_path()) return require_place();
  std::error_code failed;
  if (fs::is_directory(folder, failed)) return;
  make_folders(folder.parent_path());
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) throw refusal(errno, folder.string());
  sync_folder(folder.parent_path());
}

fs::path LocalStore::write_temporary(const fs::path& path, const Content& content) const {
  make_folders(path.parent_path());
  fs::path temporary = path.parent_path() / ("." + random_name(kNameLength));
  write_durably(temporary, content);
  return temporary;
}

void LocalStore::put(const std::string& key, const Content& content) {
  const fs::path path = path_of(key);
  const Temporary temporary(write_temporary(path, content));
  if (::rename(temporary.path().c_str(), path.c_str()) != 0) throw refusal(errno, path.string());
  sync_folder(path.parent_path());
}

bool LocalStore::put_if_absent(const std::string& key, const Content& content) {
  const fs::path path = path_of(key);
  const Temporary temporary(write_temporary(path, content));
  const bool made = ::link(temporary.path().c_str(), path.c_str()) == 0;
  if (!made && errno != EEXIST) throw refusal(errno, path.string());
  sync_folder(path.parent_path());
  return made;
}

std::string LocalStore::get(const std::string& key, Range range) {
  const fs::path path = path_of(key);
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid() && (errno == ENOENT || errno == ENOTDIR)) {
    require_place();
    throw Error(Errc::not_found, "there is no object {}", key);
  }
  struct stat status{};
  if (!fd.valid() || ::fstat(fd.get(), &status) != 0) throw refusal(errno, path.string());
  const auto size = static_cast<uint64_t>(status.st_size);
  const uint64_t from = std::min(range.offset, size);
  return pread_exact(fd.get(), std::min(range.size, size - from), from);
}

std::vector<ObjectInfo> LocalStore::list(const std::string& prefix) {
  std::vector<ObjectInfo> found;
  // Down from the folder that all of them are in.
  const fs::path top = folder_ / prefix.substr(0, prefix.rfind('/') + 1);
  std::error_code failed;
  fs::recursive_directory_iterator at(top, failed);
  if (failed == std::errc::no_such_file_or_directory) {
    require_place();
    return {};
  }
  for (; !failed && at != fs::end(at); at.increment(failed)) {
    if (begins_with_dot(at->path())) continue;
    std::error_code gone;
    if (!at->is_regular_file(gone)) continue;
    std::string key = at->path().lexically_relative(folder_).string();
    const uint64_t size = at->file_size(gone);
    if (!gone && key.starts_with(prefix)) found.push_back({std::move(key), size});
  }
  if (failed) throw refusal(failed.value(), top.string());
  std::sort(found.begin(), found.end(),
            [](const ObjectInfo& a, const ObjectInfo& b) { return a.key < b.key; });
  return found;
}

// Folders that are empty now stay: another put may be about to use them.
void LocalStore::remove(const std::string& key) {
  const fs::path path = path_of(key);
  if (::unlink(path.c_str()) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return;
    throw refusal(errno, path.string());
  }
  sync_folder(path.parent_path());
}

}  // namespace halogen::objectstore
