// warden.h: the platform's side of the warden, which makes rooms for computes.
//
// A room is a set of namespaces in which one program and its children see only what is theirs
// (mounts.h), with no capability, no way to gain one, and fewer system calls (filter.h). It ends
// when its program does, when it is killed, when the warden is, and when the platform is.
#pragma once
#include <memory>

#include "base/mutex.h"
#include "compute/rooms/control_groups.h"
#include "compute/rooms/messages.h"
#include "compute/rooms/mounts.h"

namespace halogen::compute {

class Warden;

// A program that runs in a room of its own. Killed, with everything in the room, when destroyed.
class RoomProcess {
 public:
  ~RoomProcess();
  RoomProcess(const RoomProcess&) = delete;
  RoomProcess& operator=(const RoomProcess&) = delete;

  int pid() const { return pid_; }
  const UniqueFd& pidfd() const { return pidfd_; }
  // Readable once nothing in the room lives any more.
  const UniqueFd& room() const { return room_; }
  // Counts a process of ours to the room's shares, if it has any. Throws io.
  void charge(int pid) const {
    if (group_) group_->take(pid);
  }
  // What the room gets from now on, if it has shares. Throws io.
  void limit(const ComputeShare& share) const {
    if (group_) group_->limit(share);
  }
  // Ends everything in the room at once.
  void kill() const;

  struct End {
    int how;     // si_code
    int status;  // si_status
  };
  // How the program ended. Call when room() is readable.
  End end() const;

 private:
  friend class Warden;
  RoomProcess(Warden& warden, uint32_t slot) : warden_(warden), slot_(slot) {}

  Warden& warden_;
  const uint32_t slot_;
  std::unique_ptr<ControlGroup> group_;
  UniqueFd report_;
  UniqueFd room_;
  UniqueFd pidfd_;
  int pid_ = 0;
};

// Safe from any thread, but for the constructor.
class Warden {
 public:
  // Forks the warden's processes; requires that we have no other thread yet. Makes `plan.rooms` and
  // chooses `plan.marker`. As root, `plan.users` may name users for the rooms; they are left out if
  // the file system cannot do it. Throws
  // unavailable, naming the step, if this system does not let us make rooms.
  explicit Warden(RoomsPlan plan);
  // Closes our end: all rooms end, unless another process that was forked from us has it, too.
  ~Warden() = default;
  // Ends all rooms, and waits until they are gone. Nothing is started after.
  void end();

  // Starts `command` in a new room whose folder is `<rooms>/<id>`. Throws unavailable.
  std::unique_ptr<RoomProcess> start(const std::string& id, const std::vector<std::string>& command,
                                     const std::vector<std::string>& environment, UniqueFd input,
                                     UniqueFd log);
  // How many users there are for rooms; 0: all run as our own.
  uint32_t users() const { return plan_.users.count; }
  // Rooms have groups of their own: plan.groups, unless the kernel makes no room in one.
  bool has_groups() const { return plan_.groups != nullptr; }
  const fs::path& rooms() const { return plan_.rooms; }
  // A file in rooms() that every process of this warden has at kInsideMarker.
  const fs::path& marker() const { return plan_.marker; }

 private:
  friend class RoomProcess;
  void make_folders();
  void fork_guardian();
  void map_ids() const;
  std::unique_ptr<ControlGroup> make_group(const std::string& id) const;
  void try_with_and_without_groups();
  void try_a_room();
  uint32_t take_slot();
  void give_slot(uint32_t slot);

  RoomsPlan plan_;
  pid_t guardian_ = 0;
  UniqueFd guardian_end_;  // A pidfd: we may not be its parent any more.
  UniqueFd requests_;
  Mutex mutex_;
  std::vector<int> rooms_of_user_ GUARDED_BY(mutex_);
};

}  // namespace halogen::compute
