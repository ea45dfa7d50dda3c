// suspend.h: which computes run. Wakes them for connections, suspends them when idle.
//
// Each endpoint is a small state machine: idle -> starting -> active -> suspending -> idle. At most
// one job at a time works on an endpoint, so calls to the ComputeHost about it come one after
// another; whatever arrives meanwhile (connections, questions about roles, requests to suspend)
// waits in the endpoint's queues, and the end of each job decides what is next. Any number of
// connections share one start. A failed start fails all that wait for it; the next one starts anew.
//
// Uses are counted beside all that, without its lock (endpoint_uses.h); alarms (alarms.h) tell when
// a suspend can be due, so that nothing looks at all endpoints.
//
// Threads: any may call. Jobs run on pools, where projects take turns: one for logins, one for
// starts, one for suspends, one for the API's work. Callbacks run on a thread of ours, without the
// lock.
#pragma once
#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/deadline.h"
#include "base/mutex.h"
#include "control/activity.h"
#include "control/alarms.h"
#include "control/books.h"
#include "control/catalog.h"
#include "control/endpoint_uses.h"
#include "control/fair_jobs.h"
#include "control/jobs.h"
#include "control/settings/allow_list.h"
#include "control/settings/allowed_settings.h"
#include "protocol/compute_host.h"
#include "protocol/endpoints.h"

namespace halogen::control {

constexpr int64_t kDefaultIdleTimeout = 300;  // Seconds.

enum class ComputeState { idle, starting, active, suspending };
std::string_view compute_state_name(ComputeState state);

struct WakeRequest;

class EndpointManager final : public Endpoints {
 public:
  struct Options {
    Catalog& catalog;
    ComputeHost& host;
    bool settings_guard = true;  // Of what is stored, only allowed settings count.
    FairJobs::Options jobs{};    // Of each pool.
    std::chrono::seconds start_deadline{60};
    std::chrono::seconds suspend_deadline{120};
    // One that was suspended by force although autovacuum had work is woken for it after so long.
    std::chrono::seconds vacuum_rest{3600};
    // A compute with jobs of pg_cron is woken so long before one is due, and up to twice that, so
    // that not all are at once; it is not woken for jobs more often than once in `job_rest`.
    std::chrono::seconds job_lead{6};
    std::chrono::seconds job_rest{60};
  };

  explicit EndpointManager(Options options);
  ~EndpointManager() override;

  // Takes up the catalog's endpoints and begins to watch for idle ones.
  void start();
  // Refuses new wakes, suspends what runs, ends the threads.
  void stop();

  // For the proxy.
  bool exists(const std::string& endpoint_id) override;
  std::optional<std::string> endpoint_of_branch(const std::string& branch_id) override;
  void look_at(const std::string& endpoint_id, const std::string& moment,
               std::function<void(Outcome<std::string>)> done) override;
  bool address_allowed(const std::string& endpoint_id, const IpAddress& address) override;
  void role_secret(const std::string& endpoint_id, const std::string& role,
                   std::function<void(Outcome<RoleSecret>)> done) override;
  void wake(const std::string& endpoint_id,
            std::function<void(Outcome<ComputeAddress>)> done) override;
  std::optional<uint64_t> use_began(const std::string& endpoint_id) override;
  void use_ended(const std::string& endpoint_id) override;
  PoolSettings pool_settings(const std::string& endpoint_id) override;

  // Answers look_at(). Before the proxy begins, and for as long as it works.
  using Look =
      std::function<std::string(const std::string& endpoint_id, const std::string& moment)>;
  void set_look(Look look) { look_ = std::move(look); }
  // Makes the timeline that a read-only endpoint reads from this start on: at its branch's head.
  using ReaderTimeline = std::function<TimelineId(const Endpoint& endpoint)>;
  void set_reader_timeline(ReaderTimeline make) { reader_timeline_ = std::move(make); }
  // More settings that a compute starts with. Before start().
  using MoreSettings = std::function<SettingValues(const Endpoint& endpoint)>;
  void set_more_settings(MoreSettings settings) { more_settings_ = std::move(settings); }

  // For the API. not_found for an endpoint that was not added.
  void add(const Endpoint& endpoint);
  // For new connections to all endpoints of the project, now and later ones.
  void set_allowed_addresses(const std::string& project_id, AllowList list,
                             bool only_protected = false);
  void set_protected(const std::string& branch_id, bool is_protected);
  // It is another branch's now, as the catalog says. Requires: its compute is suspended.
  void set_branch(const Endpoint& endpoint);
  // As the catalog has it now, but for its Postgres settings: those count from the next start on.
  void update(const Endpoint& endpoint);
  // Clients of the project's endpoints are told this reason, now and at later ones; empty: no more.
  void refuse_project(const std::string& project_id, const std::string& reason);
  // The same because it has used all that it may; its computes are not started for the API's work
  // either. Returns whether this is news.
  bool limit_project(const std::string& project_id, const std::string& reason);
  ComputeState state(const std::string& endpoint_id);
  // When clients last used it: now, while they do. Nothing: it has not been active since the start
  // of this program.
  std::optional<Micros> last_active(const std::string& endpoint_id);
  // What an active compute is kept awake by: for people; "" if it sleeps or nothing does.
  std::string keeps_awake(const std::string& endpoint_id);
  // When a suspended compute is needed for a job of pg_cron's, if it is.
  std::optional<Micros> next_job(const std::string& endpoint_id);
  size_t active();
  // How long which computes have run since the last call.
  std::vector<Activity> take_activity() { return activity_.take(); }
  // Return at once; the operation tells when it is done. Suspending disconnects clients.
  Operation begin_start(const std::string& endpoint_id);
  Operation begin_suspend(const std::string& endpoint_id);
  // Runs `work` while nothing else is done to the endpoint and waits for it; it is told whether the
  // compute runs. What it throws, this throws.
  void exclusively(const std::string& endpoint_id, std::function<void(bool running)> work);
  // The same for work without which nothing can start: if it throws, nothing is started from then
  // on, and all that is left to do is retire().
  void make_ready(const std::string& endpoint_id, const std::function<void()>& work);
  // Suspends the compute, runs `work` before anything can start it again, and waits for it. Clients
  // wait meanwhile as in any suspend; the next query starts it. Returns whether it was running.
  // What `work` throws, this throws, and what keeps the compute from being suspended.
  bool while_suspended(const std::string& endpoint_id, std::function<void()> work);
  // The same with the compute running: it is woken for that, and is suspended later as any other.
  void while_running(const std::string& endpoint_id, const std::function<void()>& work);
  // The same while others use it, too.
  void while_used(const std::string& endpoint_id, const std::function<void()>& work);
  // Ends the compute and destroys what it left; from then on the endpoint does not exist.
  void retire(const std::string& endpoint_id);

 private:
  struct Machine;
  using MachinePtr = std::shared_ptr<Machine>;
  using Job = void (EndpointManager::*)(const MachinePtr&);

  struct Allowed {
    AllowList list;
    bool only_protected = false;
  };

  std::optional<Outcome<RoleSecret>> known_secret(const std::string& endpoint_id,
                                                  const std::string& role);

  MachinePtr find(const std::string& endpoint_id) REQUIRES(mutex_);
  // As wake(), for the platform's own work: whether clients may use it does not matter.
  void wake_and_wait(const std::string& endpoint_id);
  // One that clients may know of.
  MachinePtr find_asked_for(const std::string& endpoint_id) REQUIRES(mutex_);
  // Why clients may not use it now; none: they may.
  std::optional<Error> refusal(const Machine& machine) REQUIRES(mutex_);
  // After what may have changed that: logins that need no lock look at it.
  void set_open(Machine& machine) REQUIRES(mutex_);
  // Gives the endpoint its next job, if it is free and there is one.
  void schedule(const MachinePtr& machine) REQUIRES(mutex_);
  Job next_job(Machine& machine) REQUIRES(mutex_);
  void skip_needless_start(Machine& machine) REQUIRES(mutex_);
  FairJobs& pool_for(Job job);
  void answer_wakes_of_active(const MachinePtr& machine) REQUIRES(mutex_);
  // Tells those who begin a use whether there is a compute for it, and counts how long it runs.
  void publish(Machine& machine);
  // From now on a use that begins asks for a wake first; false, and nothing is changed, if there is
  // a use already.
  static bool keep_uses_out(Machine& machine);
  void end_job(const MachinePtr& machine, ComputeState state);

  void run_start(const MachinePtr& machine);
  ComputeAddress start_compute(const MachinePtr& machine, const KnownEndpoint& known);
  TimelineId make_reader_timeline(const Endpoint& reader);
  void apply_pending(const Endpoint& endpoint);
  // In the books: a suspend, or what came of an operation that changed nothing.
  void record_suspend(const MachinePtr& machine, const Endpoint& endpoint, ComputeStopped stopped,
                      const Operation& operation);
  void record(Operation operation, const std::string& status, const std::string& error = "");
  // Waits until the catalog has been told of all suspends, for work that reads it; not for long.
  void wait_for_books(const MachinePtr& machine);
  void run_suspend(const MachinePtr& machine);
  void run_roles(const MachinePtr& machine);
  void run_exclusive(const MachinePtr& machine);
  void run_while_suspended(const MachinePtr& machine);
  static void refuse_while_suspended(Machine& machine, const Error& error);
  void fail_wakes(const MachinePtr& machine, const Error& error);
  void compute_exited(const std::string& endpoint_id);
  void answer_active(const MachinePtr& machine, WakeRequest wake);

  // Sees to it that look_whether_idle() is called when this endpoint is due, and not later.
  void watch(const EndpointUsePtr& use);
  void look_whether_idle(const EndpointUsePtr& use, uint64_t generation);
  // Those that rest although autovacuum has work are woken for it, one at a time.
  void watch_for_vacuum(Machine& machine) REQUIRES(mutex_);
  void wake_for_vacuum(const std::string& endpoint_id) REQUIRES(mutex_);
  void end_vacuum(const std::string& endpoint_id) REQUIRES(mutex_);
  // Those that have jobs of pg_cron are woken ahead of each.
  void watch_for_job(Machine& machine) REQUIRES(mutex_);
  void wake_for_job(const std::string& endpoint_id, uint64_t alarm);
  // Nothing uses it from now on. One that was started for a job alone is due for a suspend sooner.
  void begin_idle(Machine& machine) REQUIRES(mutex_);
  Operation new_operation(const Endpoint& endpoint, const std::string& action);

  const Options options_;
  Catalog& catalog_;
  ComputeHost& host_;
  Mutex mutex_;
  CondVar job_ended_;  // While stopping.
  CondVar recorded_;   // A suspend is in the catalog.
  EndpointUses uses_;
  ActivityLog activity_;
  std::atomic<uint64_t> starts_ = 0;  // Of all endpoints' computes: numbers them.
  std::unordered_map<std::string, MachinePtr> machines_ GUARDED_BY(mutex_);
  std::unordered_map<std::string, std::string> by_branch_ GUARDED_BY(mutex_);
  // By project, if it has one; and why it is refused.
  std::unordered_map<std::string, Allowed> allowed_ GUARDED_BY(mutex_);
  std::unordered_map<std::string, std::string> refused_ GUARDED_BY(mutex_);
  std::unordered_map<std::string, std::string> limited_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::string vacuuming_ GUARDED_BY(mutex_);  // That was woken for it; "": none is.
  std::deque<std::string> waiting_for_vacuum_ GUARDED_BY(mutex_);
  Look look_;
  ReaderTimeline reader_timeline_;
  MoreSettings more_settings_;
  Jobs looks_;    // These wait for other jobs.
  Jobs readers_;  // Likewise: starts of read-only computes.
  Jobs answers_;  // Short: callbacks of wakes that need no start.
  Books books_;
  FairJobs logins_;
  FairJobs starts_of_computes_;
  FairJobs suspends_;
  FairJobs work_;
  Alarms alarms_;
};

}  // namespace halogen::control
