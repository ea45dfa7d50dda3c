// suspend_machine.h: one endpoint's state, shared by the two files that implement EndpointManager.
#pragma once
#include <deque>
#include <future>
#include <optional>

#include "control/endpoint_uses.h"
#include "control/suspend.h"

namespace halogen::control {

struct RoleQuestion {
  std::string role;
  std::function<void(Outcome<RoleSecret>)> done;
  std::string trace;  // Who asks, for log lines.
};

struct WakeRequest {
  std::function<void(Outcome<ComputeAddress>)> done;
  std::string trace;
};

// What the list says of a role, of this start of the compute; not_found.
Outcome<RoleSecret> find_role(const RoleList& list, const std::string& name, uint64_t start);

// Work that needs the compute to be suspended. `done` has whether it was running.
struct SuspendedWork {
  std::function<void()> work;
  std::promise<bool> done;
  bool was_running = false;
};

// All but the ids is guarded by EndpointManager::mutex_.
struct EndpointManager::Machine {
  std::string id;
  std::string project_id;
  std::string branch_id;
  PoolSettings pool;
  double units = kLeastComputeUnits;  // Of its next start.
  bool read_only = false;
  bool asked_for = true;
  bool disabled = false;
  bool is_protected = false;  // Its branch.

  ComputeState state = ComputeState::idle;
  ComputeAddress address;  // While active.
  bool busy = false;       // A job is queued or runs.
  bool exit_seen = false;  // The host reported an exit that no job has looked into yet.
  bool retired = false;
  bool start_wanted =
      false;  // By the API, or by a question that only a running compute can answer.
  bool suspend_wanted = false;
  bool suspend_force = false;
  bool stop_failed = false;            // While stopping: tried once, left alone.
  std::string kept_awake;              // Why the last idle suspend was refused,
  uint64_t kept_after = 0;             // after so many uses: until another begins.
  bool vacuum_due = false;             // While idle: to be woken for it,
  bool vacuum_watched = false;         // and an alarm is set for that.
  Micros next_job = 0;                 // Of pg_cron's, when it was last known; 0: there is none.
  uint64_t job_alarm = 0;              // While idle: the one alarm for it that counts.
  bool job_wanted = false;             // To be started for it.
  bool for_job = false;                // It was, and nobody has used it
  uint64_t used_before = 0;            // since it began, after so many uses.
  steady_clock::time_point job_tried;  // When it was last to be started for one.
  int unrecorded = 0;                  // Suspends that the catalog has not been told of yet.

  EndpointUsePtr use;
  bool counted_as_running = false;  // In the activity that is told.

  std::vector<WakeRequest> wakes;
  std::vector<RoleQuestion> questions;
  std::deque<std::packaged_task<void(bool)>> exclusive;
  std::deque<SuspendedWork> while_suspended;
  std::optional<Operation> start_operation;
  std::string start_trace;  // Who asked for it by the API.
  std::optional<Operation> suspend_operation;
};

}  // namespace halogen::control
