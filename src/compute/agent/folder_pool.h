// folder_pool.h: empty data directories made ahead of need, and old ones removed behind our back.
//
// Making or deleting some thirty files takes milliseconds on an idle disk and far longer on a busy
// journalled one, so a wake only renames; the work comes when no wake or suspend is under way.
// Safe from any thread.
#pragma once
#include <vector>

#include "base/file.h"
#include "base/mutex.h"
#include "compute/agent/quiet_worker.h"

namespace halogen::compute {

class FolderPool {
 public:
  // Works below `root`, in .pool and .trash; what a former run left in .trash is deleted.
  FolderPool(const fs::path& root, size_t ready_target);
  // On its end, deletions that have not begun are left to the next start.

  // An empty data directory (all the fixed folders, mode 0700, PG_VERSION of `major`) at
  // `destination`, which must not exist.
  void take(int major, const fs::path& destination);
  // Away at once, deleted in the background. Nothing there: fine.
  void discard(const fs::path& folder);
  // Waits until everything discarded is deleted and the pool is full; for tests.
  void settle() { worker_.settle(); }

 private:
  void refill(int major);
  void build(int major, const fs::path& folder);
  void remove_later(const fs::path& path);

  const fs::path pool_;
  const fs::path trash_;
  const size_t target_;
  Mutex mutex_;
  std::vector<fs::path> ready_ GUARDED_BY(mutex_);  // Of one major version only.
  int ready_major_ GUARDED_BY(mutex_) = 0;
  QuietWorker worker_{"hg-folders"};  // Last: its jobs use the rest.
};

}  // namespace halogen::compute
