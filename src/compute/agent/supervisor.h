// supervisor.h: spawns child processes, hears when they are ready and when they end.
//
// All are spawned from one thread that lives as long as the supervisor, because the kernel's
// parent-death signal, which ends a compute when the platform is killed, is tied to the spawning
// thread, not to the process. The same thread waits on pidfds and sd_notify sockets: no polling.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/deadline.h"
#include "base/file.h"
#include "base/mutex.h"
#include "compute/rooms/warden.h"

namespace halogen::compute {

// The first after standard input, output and error.
inline constexpr int kThirdDescriptor = 3;

struct Launch {
  std::string program;
  std::vector<std::string> arguments;    // Without the program's own name.
  std::vector<std::string> environment;  // "NAME=value": all of it, nothing is inherited.
  fs::path folder;                       // The working directory; in a room, its own.
  fs::path log;                          // Standard output and error are appended here.
  fs::path notify_socket;    // Empty, or where to take sd_notify messages (at most 107 bytes).
  fs::path notify_inside;    // The child's name for that, if it has another.
  Warden* warden = nullptr;  // Null: on its own; else in the room whose folder is `room`.
  std::string room;
  bool held = false;  // It reads its standard input before it begins: Child::release().
  int third = -1;     // Not in a room: open in the child, too, as kThirdDescriptor.
};

// A child process. Safe from any thread.
class Child {
 public:
  int pid() const { return pid_; }
  void signal(int signal) const;
  // In a room of its own all that it started ends with it.
  bool has_room() const { return room_ != nullptr; }
  // What the process `pid` uses counts to this one's room. Throws io.
  void charge(int pid) const {
    if (room_) room_->charge(pid);
  }
  // What its room gets of the machine from now on. Throws io.
  void limit(const ComputeShare& share) const {
    if (room_) room_->limit(share);
  }
  // At once; in a room, everything there.
  void kill() const;

  // A held child begins, with these ("NAME=value") in its environment and its output appended to
  // `log`; it gets copies of `descriptors`, too (at most three). `on_end` as in spawn(). False if
  // it has ended before.
  bool release(const std::vector<std::string>& environment, const fs::path& log,
               std::vector<int> descriptors, std::function<void()> on_end);
  // A held child ends without having begun.
  void dismiss();

  enum class State { starting, ready, ended };
  State state() const;
  // Returns when it said READY=1, or ended, or the deadline passed.
  State wait_ready(Deadline deadline) const;
  // False if the deadline passed first.
  bool wait_end(Deadline deadline) const;
  // "exit status 1", "signal 9 (Killed)"; only of an ended one.
  std::string how_it_ended() const;
  bool ended_well() const;

 private:
  friend class Supervisor;
  // Readable when it has ended; in a room, when all has.
  int end_fd() const { return room_ ? room_->room().get() : pidfd_.get(); }

  int pid_ = 0;
  UniqueFd pidfd_;
  std::unique_ptr<RoomProcess> room_;
  UniqueFd notify_;
  UniqueFd hold_;  // Of whom release() or dismiss() is called.

  mutable Mutex mutex_;
  mutable CondVar changed_;
  State state_ GUARDED_BY(mutex_) = State::starting;
  int status_ GUARDED_BY(mutex_) = 0;  // si_status.
  int how_ GUARDED_BY(mutex_) = 0;     // si_code.
  std::function<void()> on_end_ GUARDED_BY(mutex_);
};

class Supervisor {
 public:
  Supervisor();
  // The children should have ended; those that have not get SIGKILL by the parent-death signal.
  ~Supervisor();

  // `on_end` runs once, on the supervisor's thread, so it must not block. Throws io if the program
  // cannot be started.
  std::shared_ptr<Child> spawn(const Launch& launch, std::function<void()> on_end = {});

 private:
  struct Request {
    const Launch* launch = nullptr;
    std::shared_ptr<Child> child;
    int input = -1;  // Its standard input; else nothing.
    bool done = false;
    int error = 0;
  };

  void run();
  void wake();
  void take_requests();
  void wait_for_events();
  void read_notify(Child& child);
  bool reap(Child& child);

  UniqueFd wake_;
  std::vector<std::shared_ptr<Child>> children_;  // The thread's own.
  Mutex mutex_;
  CondVar answered_;
  std::vector<Request*> requests_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace halogen::compute
