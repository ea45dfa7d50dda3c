// disk_watch.h: has caches make room when the home's disk fills up, and tells the operator, before
// and when it is full.
// Whoever meets the full disk first (mostly Postgres, at any place) can only say what it could not
// write.
#pragma once
#include <cstdint>
#include <functional>
#include <thread>

#include "base/file.h"
#include "base/mutex.h"

namespace halogen::platform {

// Bytes that are free on the disk of `folder` for us.
uint64_t free_space(const fs::path& folder);

class DiskWatch {
 public:
  // Looks at once, and then once a second on a thread of its own, until it is destroyed. While room
  // is low it calls `drop_one`, which gives up a part of what is only a cache.
  DiskWatch(fs::path home, std::function<void()> drop_one);
  ~DiskWatch();

 private:
  enum class Room { enough, low, none };

  void run();
  void look();
  static Room judge(uint64_t free, Room before);
  void tell(Room room, uint64_t free) const;

  const fs::path home_;
  const std::function<void()> drop_one_;
  Room room_ = Room::enough;  // As it was told last.
  Mutex mutex_;
  CondVar changed_;
  bool stop_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace halogen::platform
