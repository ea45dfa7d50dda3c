// control_groups.h: what computes get of the machine, by control groups (cgroup v2): shares of the
// processor, and bounds of memory and of processes, so that no compute starves another or has the
// platform killed. Format of the files: https://docs.kernel.org/admin-guide/cgroup-v2.html.
//
//   <ours>/platform       this process, and the warden
//         /computes       all computes together: less memory than the machine has
//         /computes/<id>  one compute's room
#pragma once
#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "compute/rooms/mounts.h"

namespace halogen::compute {

// One room's. Removed with its end; what is still in it then stays until the next start.
class ControlGroup {
 public:
  explicit ControlGroup(fs::path folder) : folder_(std::move(folder)) {}
  ~ControlGroup();
  ControlGroup(const ControlGroup&) = delete;
  ControlGroup& operator=(const ControlGroup&) = delete;

  UniqueFd open() const;     // For CLONE_INTO_CGROUP.
  void take(int pid) const;  // A process of ours that works for this room only. Throws io.

 private:
  const fs::path folder_;
};

// Safe from any thread once made.
class ControlGroups {
 public:
  struct Place {
    fs::path tree;     // Where the cgroup2 file system is mounted; empty: nowhere.
    fs::path own;      // The group that this process is in, below it.
    std::string name;  // Of a group for us below the tree's root, if we are root.
    User owner;        // Gets what we make.
    uint64_t memory;   // The machine's, in bytes.
  };
  // Where we are, by /proc; `name` and `owner` are the caller's.
  static Place find_place(std::string name, User owner);

  // Takes our own group, if nobody else is in it (a service, a scope of our own); else, as root,
  // one below the tree's root. Moves this process into `platform`. Before threads. Throws
  // unavailable, saying why there are no shares.
  explicit ControlGroups(const Place& place);

  // Throws io.
  std::unique_ptr<ControlGroup> make_group(const std::string& id) const;
  // The controllers in force: "cpu, memory, pids".
  std::string controllers() const;

 private:
  void find_controllers(const fs::path& group);
  std::string switched_on() const;
  void settle(const fs::path& group, const Place& place);
  void remove_left_over() const;
  void set(const fs::path& group, const char* file, uint64_t value) const;

  const User owner_;
  fs::path computes_;
  std::vector<std::string> controllers_;
  uint64_t memory_of_compute_ = 0;
};

}  // namespace halogen::compute
