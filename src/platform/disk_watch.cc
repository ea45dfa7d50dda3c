#include "platform/disk_watch.h"

#include <sys/statvfs.h>

#include <cerrno>

#include "base/deadline.h"
#include "base/error.h"
#include "base/log.h"

namespace halogen::platform {
namespace {

const log::Logger logger("platform");

constexpr std::chrono::seconds kInterval{1};
constexpr uint64_t kLow = 256 << 20;    // Some minutes of a busy database.
constexpr uint64_t kNone = 20 << 20;    // Less than Postgres wants for its next WAL file.
constexpr uint64_t kMargin = 16 << 20;  // What must be free beyond a limit to have left it.

}  // namespace

uint64_t free_space(const fs::path& folder) {
  struct statvfs space{};
  if (::statvfs(folder.c_str(), &space) != 0) throw system_error(errno, folder.string());
  return uint64_t{space.f_bavail} * space.f_frsize;
}

DiskWatch::DiskWatch(fs::path home, std::function<void()> drop_one)
    : home_(std::move(home)), drop_one_(std::move(drop_one)) {
  thread_ = std::thread([this] { run(); });
}

DiskWatch::~DiskWatch() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void DiskWatch::run() {
  for (;;) {
    look();
    const Deadline next = Deadline::after(kInterval);
    MutexLock lock(mutex_);
    while (!stop_ && !next.passed()) changed_.wait_until(mutex_, next.at());
    if (stop_) return;
  }
}

void DiskWatch::look() {
  try {
    const uint64_t free = free_space(home_);
    const Room room = judge(free, room_);
    if (room != Room::enough) drop_one_();  // The room that it gives is seen next time.
    if (room == room_) return;
    tell(room, free);
    room_ = room;
  } catch (const Error& error) {
    logger.debug("the free space of {} is not known: {}", home_.string(), error.what());
  }
}

DiskWatch::Room DiskWatch::judge(uint64_t free, Room before) {
  if (free < kNone + (before == Room::none ? kMargin : 0)) return Room::none;
  if (free < kLow + (before != Room::enough ? kMargin : 0)) return Room::low;
  return Room::enough;
}

void DiskWatch::tell(Room room, uint64_t free) const {
  switch (room) {
    case Room::none:
      logger.error(
          "the disk of {} is full ({} MiB free), so commits wait or fail (nothing acknowledged is "
          "lost): make room on it, and all goes on by itself",
          home_.string(), free >> 20);
      return;
    case Room::low:
      logger.warn(
          "the disk of {} is nearly full ({} MiB free): make room on it; commits will wait or fail "
          "when it is full",
          home_.string(), free >> 20);
      return;
    case Room::enough:
      logger.info("the disk of {} has room again ({} MiB free)", home_.string(), free >> 20);
      return;
  }
}

}  // namespace halogen::platform
