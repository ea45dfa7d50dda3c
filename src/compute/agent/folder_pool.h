// folder_pool.h: empty data directories made ahead of need, and old ones removed behind our back.
//
// Making or deleting some thirty files takes milliseconds on an idle disk and far longer on a busy
// journalled one, so a wake only renames; the work comes when no wake or suspend is under way, on a
// thread that takes only processor time nobody else wants. Safe from any thread.
#pragma once
#include <chrono>
#include <functional>
#include <vector>

#include "base/file.h"
#include "base/mutex.h"
#include "compute/agent/worker.h"

namespace halogen::compute {

class FolderPool {
 public:
  // Works below `root`, in .pool and .trash; what a former run left in .trash is deleted.
  FolderPool(const fs::path& root, size_t ready_target);
  // Deletions that have not begun are left to the next start.
  ~FolderPool();

  // An empty data directory (all the fixed folders, mode 0700, PG_VERSION and pg_hba.conf of
  // `major`) at `destination`, which must not exist.
  void take(int major, const fs::path& destination);
  // Away at once, deleted in the background. Nothing there: fine.
  void discard(const fs::path& folder);
  // Waits until everything discarded is deleted and the pool is full; for tests.
  void settle();

 private:
  void post(std::function<void()> job);
  void wait_for_quiet();
  bool stopping();
  void refill(int major);
  void build(int major, const fs::path& folder);
  void remove_later(const fs::path& path);

  const fs::path pool_;
  const fs::path trash_;
  const size_t target_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<fs::path> ready_ GUARDED_BY(mutex_);  // Of one major version only.
  int ready_major_ GUARDED_BY(mutex_) = 0;
  std::chrono::steady_clock::time_point last_use_ GUARDED_BY(mutex_);
  size_t settling_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
  Worker worker_{"hg-folders"};  // Last: its jobs use the rest.
};

}  // namespace halogen::compute
