// project_turns.h: what changes a project's tree of branches takes turns; what only adds to it goes
// side by side, and lets those go first that wait to be alone.
//
// Threads: any. A turn may be held while storage and computes are waited for.
#pragma once
#include <map>
#include <string>
#include <utility>

#include "base/mutex.h"

namespace halogen::control {

class ProjectTurns {
 public:
  enum class Kind { shared, alone };

  class Hold {
   public:
    Hold(ProjectTurns& turns, std::string project_id, Kind kind)
        : turns_(turns), project_(std::move(project_id)), kind_(kind) {
      turns_.begin(project_, kind_);
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

  void begin(const std::string& project, Kind kind) {
    MutexLock lock(mutex_);
    State& state = states_[project];
    ++state.present;
    if (kind == Kind::shared) {
      while (state.alone || state.waiting_to_be_alone > 0) changed_.wait(mutex_);
      ++state.sharing;
    } else {
      ++state.waiting_to_be_alone;
      while (state.alone || state.sharing > 0) changed_.wait(mutex_);
      --state.waiting_to_be_alone;
      state.alone = true;
    }
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
