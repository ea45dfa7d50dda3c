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

// What a compute is worth, in compute units: one stands for a processor and 4 GiB.
struct ComputeShare {
  double least_units = 0.25;  // Its weight when others want the processor, too.
  double most_units = 0.25;   // It gets no more: but a whole processor, if nobody else wants it.
};

// One room's. Removed with its end; what is still in it then stays until the next start.
class ControlGroup {
 public:
  // Of these controllers; `most_memory` is what no compute may exceed.
  ControlGroup(fs::path folder, std::vector<std::string> controllers, uint64_t most_memory)
      : folder_(std::move(folder)),
        controllers_(std::move(controllers)),
        most_memory_(most_memory) {}
  ~ControlGroup();
  ControlGroup(const ControlGroup&) = delete;
  ControlGroup& operator=(const ControlGroup&) = delete;

  UniqueFd open() const;     // For CLONE_INTO_CGROUP.
  void take(int pid) const;  // A process of ours that works for this room only. Throws io.
  // From now on. Throws io.
  void limit(const ComputeShare& share) const;

 private:
  const fs::path folder_;
  const std::vector<std::string> controllers_;
  const uint64_t most_memory_;
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

  const User owner_;
  fs::path computes_;
  std::vector<std::string> controllers_;
  uint64_t memory_of_compute_ = 0;
};

}  // namespace halogen::compute
