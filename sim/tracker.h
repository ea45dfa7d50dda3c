// tracker.h: the changes of this process to one tracked disk. See power_loss.h.
//
// Threads: any; one change at a time.
#pragma once
#include <mutex>
#include <optional>
#include <string>

#include "sim/name_notes.h"
#include "sim/power_loss.h"
#include "sim/sector_notes.h"

namespace halogen::sim {

class Tracker {
 public:
  Tracker(const Disk& disk, Faults faults);

  // The one of this process; null while nothing is tracked, and within a call of the tracker, whose
  // own changes of files are not noted.
  static Tracker* current();
  static void set_current(Tracker* tracker);

  // The absolute path, if what it names is tracked.
  std::optional<std::string> tracked(int folder, const char* path) const;
  std::optional<std::string> tracked(int fd) const;

  // Each makes the change as the system call does, with errno.
  int open(const std::string& path, int flags, mode_t mode);
  ssize_t write(int fd, const std::string& path, const void* data, size_t size,
                std::optional<off_t> at);
  int truncate(int fd, const std::string& path, off_t size);
  int allocate(int fd, const std::string& path, int mode, off_t at, off_t size);
  int sync(int fd, const std::string& path);
  int unlink(const std::string& path);
  int rename(const std::string& from, const std::string& to);
  int make_folder(const std::string& path, mode_t mode);
  int remove_folder(const std::string& path);

 private:
  class Step;
  int remove(const std::string& path);
  std::string below_root(const std::string& path) const {
    return path == root_ ? "." : path.substr(root_.size() + 1);
  }

  const std::string root_;
  const Faults faults_;
  volatile char* control_;  // The armed cut point, in the memory of a file.
  std::mutex mutex_;
  SectorNotes sectors_;
  NameNotes names_;
};

}  // namespace halogen::sim
