#include "compute/agent/folder_pool.h"

#include <sys/stat.h>

#include <cerrno>

#include "base/error.h"
#include "base/ids.h"
#include "base/log.h"
#include "compute/agent/settings.h"

namespace halogen::compute {
namespace {

const log::Logger logger("compute");

// What initdb makes, parents first. The same for versions 15 to 18.
constexpr const char* kFixedFolders[] = {
    "base",
    "global",
    "pg_commit_ts",
    "pg_dynshmem",
    "pg_logical",
    "pg_logical/mappings",
    "pg_logical/snapshots",
    "pg_multixact",
    "pg_multixact/members",
    "pg_multixact/offsets",
    "pg_notify",
    "pg_replslot",
    "pg_serial",
    "pg_snapshots",
    "pg_stat",
    "pg_stat_tmp",
    "pg_subtrans",
    "pg_tblspc",
    "pg_twophase",
    "pg_wal",
    "pg_wal/archive_status",
    "pg_xact",
};

void make_folder(const fs::path& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) throw system_error(errno, path.string());
}

void remove_tree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) logger.warn("{} cannot be removed: {}", path.string(), error.message());
}

}  // namespace

FolderPool::FolderPool(const fs::path& root, size_t ready_target)
    : pool_(root / ".pool"), trash_(root / ".trash"), target_(ready_target) {
  make_folder(root);
  make_folder(pool_);
  make_folder(trash_);
  // Ready ones of a former run may be of another version of ours: made anew, it is cheap.
  std::vector<fs::path> old;
  for (const fs::path& base : {pool_, trash_})
    for (const auto& entry : fs::directory_iterator(base)) old.push_back(entry.path());
  worker_.post_now([this] { refill(15); });
  for (const fs::path& path : old) remove_later(path);
}

void FolderPool::remove_later(const fs::path& path) {
  worker_.post([path] { remove_tree(path); });
}

void FolderPool::build(int major, const fs::path& folder) {
  make_folder(folder);
  for (const char* name : kFixedFolders) make_folder(folder / name);
  write_file(folder / "PG_VERSION", std::to_string(major) + "\n");
  write_file(folder / "postgresql.auto.conf", "");
}

void FolderPool::take(int major, const fs::path& destination) {
  fs::path ready;
  {
    MutexLock lock(mutex_);
    if (ready_major_ == major && !ready_.empty()) {
      ready = ready_.back();
      ready_.pop_back();
    }
  }
  if (ready.empty()) {
    build(major, destination);
  } else if (::rename(ready.c_str(), destination.c_str()) != 0) {
    throw system_error(errno, destination.string());
  }
  worker_.post([this, major] { refill(major); });
}

void FolderPool::refill(int major) {
  for (;;) {
    {
      MutexLock lock(mutex_);
      if (ready_major_ != major) {
        ready_.clear();  // Left on disk until the next start.
        ready_major_ = major;
      }
      if (ready_.size() >= target_) return;
    }
    fs::path folder = pool_ / random_name(12);
    build(major, folder);
    MutexLock lock(mutex_);
    ready_.push_back(folder);
  }
}

void FolderPool::discard(const fs::path& folder) {
  fs::path grave = trash_ / random_name(16);
  if (::rename(folder.c_str(), grave.c_str()) != 0) {
    if (errno == ENOENT) return;
    throw system_error(errno, folder.string());
  }
  remove_later(grave);
}

}  // namespace halogen::compute
