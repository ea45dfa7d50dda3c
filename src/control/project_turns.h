// project_turns.h: what changes a project's tree of branches takes turns; what only adds to it goes
// side by side, and lets those go first that wait to be alone.
//
// Threads: any. A turn may be held while storage and computes are waited for.
#pragma once
#include <map>
#include <string>
#include <utility>

#include "base/deadline.h"
#include "base/error.h"
#include "base/mutex.h"

namespace halogen::control {

// Another change is under way in the project. Nothing has been done: the same call will do later.
class ProjectBusy : public Error {
 public:
  ProjectBusy()
      : Error(Errc::conflict,
              "project already has running conflicting operations, scheduling of new ones is "
              "prohibited") {}
};

class ProjectTurns {
 public:
  enum class Kind { shared, alone };
  static constexpr std::chrono::milliseconds kPatience{2000};

  class Hold {
   public:
    // Waits for its turn, for as long as it takes.
    Hold(ProjectTurns& turns, std::string project_id, Kind kind)
        : Hold(turns, std::move(project_id), kind, Deadline::never()) {}
    // Throws ProjectBusy if the deadline passes first.
    Hold(ProjectTurns& turns, std::string project_id, Kind kind, Deadline deadline)
        : turns_(turns), project_(std::move(project_id)), kind_(kind) {
      if (!turns_.begin(project_, kind_, deadline)) throw ProjectBusy();
    }
    ~Hold() { turns_.end(project_, kind_); }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    ProjectTurns& turns_;
    const std::string project_;
    const Kind kind_;
  };

 private:
  struct State {
    int present = 0;  // That have a turn or wait for one.
    int sharing = 0;
    int waiting_to_be_alone = 0;
    bool alone = false;
  };

  // False if the deadline passed first.
  bool begin(const std::string& project, Kind kind, Deadline deadline) {
    MutexLock lock(mutex_);
    State& state = states_[project];
    ++state.present;
    const bool alone = kind == Kind::alone;
    if (alone) ++state.waiting_to_be_alone;
    auto free = [&]() REQUIRES(mutex_) {
      return !state.alone && (alone ? state.sharing == 0 : state.waiting_to_be_alone == 0);
    };
    while (!free() && !deadline.passed()) changed_.wait_until(mutex_, deadline.at());
    const bool begins = free();
    if (alone) --state.waiting_to_be_alone;
    if (!begins) {
      if (--state.present == 0) states_.erase(project);
      changed_.notify_all();  // Those that share may have waited for this one.
      return false;
    }
    if (alone)
      state.alone = true;
    else
      ++state.sharing;
    return true;
  }

  void end(const std::string& project, Kind kind) {
    MutexLock lock(mutex_);
    auto found = states_.find(project);
    State& state = found->second;
    if (kind == Kind::shared)
      --state.sharing;
    else
      state.alone = false;
    if (--state.present == 0) states_.erase(found);
    changed_.notify_all();
  }

  Mutex mutex_;
  CondVar changed_;
  std::map<std::string, State> states_ GUARDED_BY(mutex_);
};

}  // namespace halogen::control
