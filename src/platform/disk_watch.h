// disk_watch.h: tells the operator that the home's disk fills up, before and when it is full.
// Whoever meets the full disk first (mostly Postgres, at any place) can only say what it could not
// write.
#pragma once
#include <cstdint>
#include <thread>

#include "base/file.h"
#include "base/mutex.h"

namespace halogen::platform {

// Bytes that are free on the disk of `folder` for us.
uint64_t free_space(const fs::path& folder);

class DiskWatch {
 public:
  // Looks at once, and then again and again on a thread of its own, until it is destroyed.
  explicit DiskWatch(fs::path home);
  ~DiskWatch();

 private:
  enum class Room { enough, low, none };

  void run();
  void look();
  static Room judge(uint64_t free, Room before);
  void tell(Room room, uint64_t free) const;

  const fs::path home_;
  Room room_ = Room::enough;  // As it was told last.
  Mutex mutex_;
  CondVar changed_;
  bool stop_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace halogen::platform
