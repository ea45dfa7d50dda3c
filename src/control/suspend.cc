#include "control/suspend.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/log_trace.h"
#include "control/settings/endpoint_settings.h"
#include "control/suspend_machine.h"

namespace halogen::control {
namespace {

const log::Logger logger("control");

constexpr int kWakeAttempts = 10;
// After a job that a compute was woken for: how long until it is looked whether it can go.
constexpr std::chrono::seconds kAfterJob{15};
// An alarm is set no further ahead: clocks may be set.
constexpr std::chrono::seconds kLongestAlarm{3600};

// Seconds, or -1, of what is set: 0 is the default.
int64_t timeout_of(int64_t set) { return set == 0 ? kDefaultIdleTimeout : set; }

Error no_such_endpoint() { return Error(Errc::not_found, "endpoint not found"); }
Error shutting_down() { return Error(Errc::unavailable, "the platform is shutting down"); }

template <typename T>
Outcome<T> failed(Error error) {
  return {std::nullopt, std::move(error)};
}

}  // namespace

std::string_view compute_state_name(ComputeState state) {
  switch (state) {
    case ComputeState::idle:
      return "idle";
    case ComputeState::starting:
      return "starting";
    case ComputeState::active:
      return "active";
    case ComputeState::suspending:
      return "suspending";
  }
  return "unknown";
}

EndpointManager::EndpointManager(Options options)
    : options_(options),
      catalog_(options.catalog),
      host_(options.host),
      looks_(2),
      readers_(4),
      answers_(1),
      logins_(options.jobs),
      starts_of_computes_(options.jobs),
      suspends_(options.jobs),
      work_(options.jobs) {}

EndpointManager::~EndpointManager() { stop(); }

void EndpointManager::start() {
  host_.on_exit([this](const std::string& endpoint_id) { compute_exited(endpoint_id); });
  for (const Endpoint& endpoint : catalog_.all_endpoints()) {
    bool running = host_.running(endpoint.id);
    add(endpoint);
    if (running) begin_start(endpoint.id);  // Takes up one that outlived us, so that it can idle.
  }
}

void EndpointManager::stop() {
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
    for (auto& [id, machine] : machines_) schedule(machine);
    Deadline deadline = Deadline::after(options_.suspend_deadline);
    auto at_work = [](const auto& entry) {
      const Machine& machine = *entry.second;
      return machine.busy || (machine.state == ComputeState::active && !machine.stop_failed);
    };
    while (std::any_of(machines_.begin(), machines_.end(), at_work))
      if (!job_ended_.wait_until(mutex_, deadline.at())) break;
  }
  alarms_.stop();
  looks_.stop();
  readers_.stop();
  logins_.stop();
  starts_of_computes_.stop();
  suspends_.stop();
  work_.stop();
  books_.stop();
  answers_.stop();
  host_.on_exit([](const std::string&) {});
}

EndpointManager::MachinePtr EndpointManager::find(const std::string& endpoint_id) {
  auto found = machines_.find(endpoint_id);
  if (found == machines_.end() || found->second->retired) return nullptr;
  return found->second;
}

EndpointManager::MachinePtr EndpointManager::find_asked_for(const std::string& endpoint_id) {
  MachinePtr machine = find(endpoint_id);
  return machine && machine->asked_for ? machine : nullptr;
}

std::optional<Error> EndpointManager::refusal(const Machine& machine) {
  if (stopping_) return shutting_down();
  if (machine.disabled) return Error(Errc::conflict, "the endpoint is disabled");
  if (auto found = refused_.find(machine.project_id); found != refused_.end())
    return Error(Errc::conflict, "{}", found->second);
  if (auto found = limited_.find(machine.project_id); found != limited_.end())
    return Error(Errc::conflict, "{}", found->second);
  return std::nullopt;
}

bool EndpointManager::exists(const std::string& endpoint_id) {
  MutexLock lock(mutex_);
  return find_asked_for(endpoint_id) != nullptr;
}

std::optional<std::string> EndpointManager::endpoint_of_branch(const std::string& branch_id) {
  MutexLock lock(mutex_);
  auto found = by_branch_.find(branch_id);
  if (found == by_branch_.end() || !find_asked_for(found->second)) return std::nullopt;
  return found->second;
}

void EndpointManager::look_at(const std::string& endpoint_id, const std::string& moment,
                              std::function<void(Outcome<std::string>)> done) {
  looks_.add([this, endpoint_id, moment, done = std::move(done)] {
    Outcome<std::string> outcome;
    try {
      outcome.value = look_(endpoint_id, moment);
    } catch (const Error& error) {
      outcome.error = error;
    }
    done(std::move(outcome));
  });
}

bool EndpointManager::address_allowed(const std::string& endpoint_id, const IpAddress& address) {
  MutexLock lock(mutex_);
  MachinePtr machine = find(endpoint_id);
  if (!machine) return true;
  auto allowed = allowed_.find(machine->project_id);
  if (allowed == allowed_.end()) return true;
  if (allowed->second.only_protected && !machine->is_protected) return true;
  return allowed->second.list.allows(address);
}

void EndpointManager::set_allowed_addresses(const std::string& project_id, AllowList list,
                                            bool only_protected) {
  MutexLock lock(mutex_);
  if (list.allows_everybody())
    allowed_.erase(project_id);
  else
    allowed_[project_id] = {std::move(list), only_protected};
}

void EndpointManager::set_protected(const std::string& branch_id, bool is_protected) {
  MutexLock lock(mutex_);
  for (auto& [id, machine] : machines_)
    if (machine->branch_id == branch_id) machine->is_protected = is_protected;
}

void EndpointManager::refuse_project(const std::string& project_id, const std::string& reason) {
  MutexLock lock(mutex_);
  if (reason.empty())
    refused_.erase(project_id);
  else
    refused_[project_id] = reason;
  for (auto& [id, machine] : machines_)
    if (machine->project_id == project_id) set_open(*machine);
}

bool EndpointManager::limit_project(const std::string& project_id, const std::string& reason) {
  MutexLock lock(mutex_);
  auto found = limited_.find(project_id);
  if ((found == limited_.end() ? "" : found->second) == reason) return false;
  if (reason.empty())
    limited_.erase(project_id);
  else
    limited_[project_id] = reason;
  for (auto& [id, machine] : machines_)
    if (machine->project_id == project_id) set_open(*machine);
  return true;
}

void EndpointManager::set_open(Machine& machine) {
  machine.use->open = machine.asked_for && !refusal(machine);
}

// Of a running compute whose roles have not changed since they were read.
std::optional<Outcome<RoleSecret>> EndpointManager::known_secret(const std::string& endpoint_id,
                                                                 const std::string& role) {
  EndpointUsePtr use = uses_.find(endpoint_id);
  const uint64_t start = use ? use->start.load() : 0;
  if (start == 0 || !use->open) return std::nullopt;
  std::shared_ptr<const RoleList> roles = host_.known_roles(endpoint_id);
  if (!roles) return std::nullopt;
  return find_role(*roles, role, start);
}

void EndpointManager::role_secret(const std::string& endpoint_id, const std::string& role,
                                  std::function<void(Outcome<RoleSecret>)> done) {
  if (auto known = known_secret(endpoint_id, role)) return done(std::move(*known));
  MutexLock lock(mutex_);
  MachinePtr machine = find_asked_for(endpoint_id);
  std::optional<Error> error = machine ? refusal(*machine) : no_such_endpoint();
  if (error) {
    answers_.add([done = std::move(done), error = *error] { done(failed<RoleSecret>(error)); });
    return;
  }
  machine->questions.push_back({role, std::move(done), log::trace_id()});
  schedule(machine);
}

void EndpointManager::wake(const std::string& endpoint_id,
                           std::function<void(Outcome<ComputeAddress>)> done) {
  MutexLock lock(mutex_);
  MachinePtr machine = find_asked_for(endpoint_id);
  std::optional<Error> error = machine ? refusal(*machine) : no_such_endpoint();
  if (error) {
    answers_.add([done = std::move(done), error = *error] { done(failed<ComputeAddress>(error)); });
    return;
  }
  machine->wakes.push_back({std::move(done), log::trace_id()});
  schedule(machine);
}

std::optional<uint64_t> EndpointManager::use_began(const std::string& endpoint_id) {
  EndpointUsePtr use = uses_.find(endpoint_id);
  if (!use) return std::nullopt;
  ++use->count;
  ++use->begun;
  const uint64_t start = use->start;
  return start == 0 ? std::nullopt : std::optional(start);
}

void EndpointManager::use_ended(const std::string& endpoint_id) {
  EndpointUsePtr use = uses_.find(endpoint_id);
  if (!use) return;
  // Before it counts as idle: nobody may take it for idle since an earlier moment.
  use->idle_since = steady_clock::now();
  use->last_used = now_micros();
  int before = use->count;
  while (before > 0 && !use->count.compare_exchange_weak(before, before - 1)) {
  }
  if (before == 1) watch(use);
}

PoolSettings EndpointManager::pool_settings(const std::string& endpoint_id) {
  MutexLock lock(mutex_);
  MachinePtr machine = find(endpoint_id);
  return machine ? machine->pool : PoolSettings{};
}

void EndpointManager::add(const Endpoint& endpoint) {
  auto machine = std::make_shared<Machine>();
  machine->id = endpoint.id;
  machine->project_id = endpoint.project_id;
  machine->branch_id = endpoint.branch_id;
  machine->use = std::make_shared<EndpointUse>(endpoint.id);
  machine->use->timeout = timeout_of(endpoint.idle_timeout);
  machine->pool = control::pool_settings(nlohmann::json::parse(endpoint.settings));
  machine->units = endpoint.most_cu;
  machine->read_only = endpoint.read_only;
  machine->asked_for = endpoint.asked_for;
  machine->disabled = endpoint.disabled;
  machine->vacuum_due = endpoint.vacuum_due;
  machine->next_job = endpoint.next_job_at.value_or(0);
  uses_.add(machine->use);
  MutexLock lock(mutex_);
  set_open(*machine);
  watch_for_vacuum(*machine);
  watch_for_job(*machine);
  if (!endpoint.read_only) by_branch_[endpoint.branch_id] = endpoint.id;
  machines_.emplace(endpoint.id, std::move(machine));
}

void EndpointManager::set_branch(const Endpoint& endpoint) {
  MutexLock lock(mutex_);
  MachinePtr machine = find(endpoint.id);
  if (!machine) throw no_such_endpoint();
  machine->branch_id = endpoint.branch_id;
  if (!endpoint.read_only) by_branch_[endpoint.branch_id] = endpoint.id;
}

void EndpointManager::update(const Endpoint& endpoint) {
  MutexLock lock(mutex_);
  MachinePtr machine = find(endpoint.id);
  if (!machine) throw no_such_endpoint();
  machine->use->timeout = timeout_of(endpoint.idle_timeout);
  // It may be due before the alarm that there is.
  ++machine->use->generation;
  machine->use->watched = false;
  watch(machine->use);
  watch_for_vacuum(*machine);
  machine->pool = control::pool_settings(nlohmann::json::parse(endpoint.settings));
  machine->units = endpoint.most_cu;
  machine->asked_for = endpoint.asked_for;
  machine->disabled = endpoint.disabled;
  set_open(*machine);
}

ComputeState EndpointManager::state(const std::string& endpoint_id) {
  MutexLock lock(mutex_);
  MachinePtr machine = find(endpoint_id);
  if (!machine) return ComputeState::idle;
  // Whoever sees that it is suspended finds in the catalog what it left.
  if (machine->state == ComputeState::idle && machine->unrecorded > 0)
    return ComputeState::suspending;
  return machine->state;
}

std::optional<Micros> EndpointManager::last_active(const std::string& endpoint_id) {
  MutexLock lock(mutex_);
  MachinePtr machine = find(endpoint_id);
  if (!machine) return std::nullopt;
  if (machine->state == ComputeState::active && machine->use->count > 0) return now_micros();
  const Micros last = machine->use->last_used;
  return last == 0 ? std::nullopt : std::optional(last);
}

std::string EndpointManager::keeps_awake(const std::string& endpoint_id) {
  MutexLock lock(mutex_);
  MachinePtr machine = find(endpoint_id);
  if (!machine || machine->state != ComputeState::active) return "";
  const EndpointUse& use = *machine->use;
  if (const int uses = use.count; uses > 0) return fmt::format("sessions at work: {}", uses);
  if (use.timeout < 0) return "suspending is off";
  return use.begun == machine->kept_after ? machine->kept_awake : "";
}

std::optional<Micros> EndpointManager::next_job(const std::string& endpoint_id) {
  MutexLock lock(mutex_);
  MachinePtr machine = find(endpoint_id);
  if (!machine || machine->state != ComputeState::idle || machine->next_job == 0)
    return std::nullopt;
  return machine->next_job;
}

size_t EndpointManager::active() {
  MutexLock lock(mutex_);
  return static_cast<size_t>(
      std::count_if(machines_.begin(), machines_.end(),
                    [](const auto& entry) { return entry.second->state == ComputeState::active; }));
}

Operation EndpointManager::new_operation(const Endpoint& endpoint, const std::string& action) {
  Operation operation;
  operation.id = random_uuid();
  operation.project_id = endpoint.project_id;
  operation.branch_id = endpoint.branch_id;
  operation.endpoint_id = endpoint.id;
  operation.action = action;
  operation.status = "scheduling";
  operation.created_at = operation.updated_at = now_micros();
  return operation;
}

void EndpointManager::wake_and_wait(const std::string& endpoint_id) {
  auto woken = std::make_shared<std::promise<Outcome<ComputeAddress>>>();
  std::future<Outcome<ComputeAddress>> answer = woken->get_future();
  {
    MutexLock lock(mutex_);
    MachinePtr machine = find(endpoint_id);
    if (!machine) throw no_such_endpoint();
    if (stopping_) throw shutting_down();
    if (auto limit = limited_.find(machine->project_id); limit != limited_.end())
      throw Error(Errc::conflict, "{}", limit->second);
    machine->wakes.emplace_back(
        [woken](Outcome<ComputeAddress> outcome) { woken->set_value(std::move(outcome)); });
    schedule(machine);
  }
  if (Outcome<ComputeAddress> outcome = answer.get(); outcome.error) throw *outcome.error;
}

void EndpointManager::while_used(const std::string& endpoint_id,
                                 const std::function<void()>& work) {
  struct Use {
    EndpointManager& endpoints;
    const std::string& id;
    ~Use() { endpoints.use_ended(id); }
  };
  for (int attempt = 0; attempt < kWakeAttempts; attempt++) {
    wake_and_wait(endpoint_id);
    const bool runs = use_began(endpoint_id).has_value();
    const Use use{*this, endpoint_id};
    if (runs) return work();
  }
  throw Error(Errc::unavailable, "the compute ends again and again before it can be used");
}

void EndpointManager::while_running(const std::string& endpoint_id,
                                    const std::function<void()>& work) {
  for (int attempt = 0; attempt < kWakeAttempts; attempt++) {
    wake_and_wait(endpoint_id);
    bool done = false;
    exclusively(endpoint_id, [&](bool running) {
      if (!running) return;
      work();
      done = true;
    });
    if (done) return;  // Else it has been suspended in between.
  }
  throw Error(Errc::unavailable, "the compute ends again and again before it can be used");
}

Operation EndpointManager::begin_start(const std::string& endpoint_id) {
  {
    MutexLock lock(mutex_);
    MachinePtr machine = find(endpoint_id);
    if (!machine) throw no_such_endpoint();
    std::optional<Error> refused = refusal(*machine);
    if (refused && !stopping_) throw Error(Errc::conflict, "{}", refused->what());
  }
  Operation operation = new_operation(catalog_.known(endpoint_id).endpoint, "start_compute");
  // Known to the catalog before the job can finish it; never written under the mutex.
  catalog_.put_operation(operation);
  std::optional<Operation> shared;
  {
    MutexLock lock(mutex_);
    MachinePtr machine = find(endpoint_id);
    if (!machine) throw no_such_endpoint();
    const bool runs = machine->state == ComputeState::active && !machine->suspend_wanted;
    if (!runs && !machine->start_operation && !stopping_) {
      machine->start_operation = operation;
      machine->start_trace = log::trace_id();
      machine->start_wanted = true;
      schedule(machine);
      return operation;
    }
    shared = machine->start_operation;
  }
  catalog_.finish_operation(operation.id, "skipped");
  operation.status = "skipped";
  return shared.value_or(operation);
}

Operation EndpointManager::begin_suspend(const std::string& endpoint_id) {
  Operation operation = new_operation(catalog_.known(endpoint_id).endpoint, "suspend_compute");
  catalog_.put_operation(operation);
  std::optional<Operation> shared;
  {
    MutexLock lock(mutex_);
    MachinePtr machine = find(endpoint_id);
    if (!machine) throw no_such_endpoint();
    if (!machine->suspend_operation) {
      machine->suspend_operation = operation;
      machine->suspend_wanted = true;
      machine->suspend_force = true;
      schedule(machine);
      return operation;
    }
    shared = machine->suspend_operation;
  }
  catalog_.finish_operation(operation.id, "skipped");
  return *shared;
}

void EndpointManager::exclusively(const std::string& endpoint_id,
                                  std::function<void(bool running)> work) {
  std::packaged_task<void(bool)> task(std::move(work));
  std::future<void> done = task.get_future();
  {
    MutexLock lock(mutex_);
    MachinePtr machine = find(endpoint_id);
    if (!machine) throw no_such_endpoint();
    if (stopping_) throw shutting_down();
    machine->exclusive.push_back(std::move(task));
    schedule(machine);
  }
  done.get();
}

void EndpointManager::make_ready(const std::string& endpoint_id,
                                 const std::function<void()>& work) {
  exclusively(endpoint_id, [&](bool) {
    try {
      work();
    } catch (...) {
      MutexLock lock(mutex_);
      if (MachinePtr machine = find(endpoint_id)) machine->retired = true;
      throw;
    }
  });
}

bool EndpointManager::while_suspended(const std::string& endpoint_id, std::function<void()> work) {
  std::future<bool> done;
  {
    MutexLock lock(mutex_);
    MachinePtr machine = find(endpoint_id);
    if (!machine) throw no_such_endpoint();
    if (stopping_) throw shutting_down();
    machine->while_suspended.push_back({std::move(work), {}});
    done = machine->while_suspended.back().done.get_future();
    schedule(machine);
  }
  return done.get();
}

void EndpointManager::retire(const std::string& endpoint_id) {
  std::packaged_task<void(bool)> task([this, endpoint_id](bool running) {
    if (running) {
      try {
        host_.suspend(endpoint_id, true, Deadline::after(options_.suspend_deadline));
      } catch (const Error& error) {
        logger.info("{}: no clean suspend before its deletion: {}", endpoint_id, error.what());
      }
    }
    host_.destroy(endpoint_id);
  });
  std::future<void> done = task.get_future();
  MachinePtr machine;
  {
    MutexLock lock(mutex_);
    if (auto found = machines_.find(endpoint_id); found != machines_.end()) {
      machine = found->second;
      machine->retired = true;
      machine->exclusive.push_back(std::move(task));
      schedule(machine);
    }
  }
  if (!machine) return host_.destroy(endpoint_id);  // What an earlier attempt may have left.
  std::exception_ptr failure;
  try {
    done.get();
  } catch (...) {
    failure = std::current_exception();
  }
  fail_wakes(machine, no_such_endpoint());
  MutexLock lock(mutex_);
  refuse_while_suspended(*machine, no_such_endpoint());
  if (failure) {
    machine->retired = false;  // So that the deletion can be tried again.
    std::rethrow_exception(failure);
  }
  if (auto found = by_branch_.find(machine->branch_id);
      found != by_branch_.end() && found->second == endpoint_id)
    by_branch_.erase(found);
  machines_.erase(endpoint_id);
  uses_.remove(endpoint_id);
  activity_.ended(endpoint_id);
  end_vacuum(endpoint_id);
}

void EndpointManager::schedule(const MachinePtr& machine) {
  Machine& m = *machine;
  if (m.busy) return;
  if (stopping_ && m.state == ComputeState::active && !m.stop_failed)
    m.suspend_wanted = m.suspend_force = true;
  if (stopping_ && m.state == ComputeState::idle) {
    m.start_wanted = false;
    answers_.add([this, machine] { fail_wakes(machine, shutting_down()); });
    if (m.exclusive.empty() && !m.suspend_wanted && m.while_suspended.empty()) return;
  }
  if (!m.while_suspended.empty() && m.state == ComputeState::active) {
    m.suspend_wanted = m.suspend_force = true;
    for (SuspendedWork& work : m.while_suspended) work.was_running = true;
  }
  if (Job job = next_job(m)) {
    m.busy = true;
    if (m.read_only && job == &EndpointManager::run_start)
      readers_.add([this, machine] { run_start(machine); });
    else
      pool_for(job).add(m.project_id, [this, machine, job] { (this->*job)(machine); });
  }
  skip_needless_start(m);
  publish(m);
  answer_wakes_of_active(machine);
}

EndpointManager::Job EndpointManager::next_job(Machine& m) {
  if (m.suspend_wanted && !m.suspend_force && m.use->count > 0)
    m.suspend_wanted = false;  // A use began while it waited.
  if (!m.exclusive.empty() || (m.exit_seen && m.state == ComputeState::active))
    return &EndpointManager::run_exclusive;
  if (m.retired) return nullptr;  // Who waits for it is told so by retire().
  if (m.suspend_wanted && (m.suspend_force || keep_uses_out(m))) {
    if (m.state == ComputeState::active) m.state = ComputeState::suspending;
    return &EndpointManager::run_suspend;
  }
  if (m.state == ComputeState::idle && !m.while_suspended.empty())
    return &EndpointManager::run_while_suspended;
  if (m.state == ComputeState::idle && (!m.wakes.empty() || m.start_wanted)) {
    m.state = ComputeState::starting;
    return &EndpointManager::run_start;
  }
  if (!m.questions.empty()) return &EndpointManager::run_roles;
  return nullptr;
}

// One that was to follow a suspend, which has failed or is not to be any more.
void EndpointManager::skip_needless_start(Machine& m) {
  if (m.state != ComputeState::active || m.suspend_wanted || !m.start_operation) return;
  record(*m.start_operation, "skipped");
  m.start_operation.reset();
  m.start_wanted = false;
}

FairJobs& EndpointManager::pool_for(Job job) {
  if (job == &EndpointManager::run_roles) return logins_;
  if (job == &EndpointManager::run_start) return starts_of_computes_;
  if (job == &EndpointManager::run_suspend) return suspends_;
  return work_;
}

void EndpointManager::publish(Machine& m) {
  m.use->start = m.state == ComputeState::active && !m.exit_seen ? m.address.start : 0;
  const bool runs = m.state == ComputeState::active || m.state == ComputeState::suspending;
  if (std::exchange(m.counted_as_running, runs) == runs) return;
  if (runs)
    activity_.began({m.id, m.project_id, m.branch_id, {}, m.units});
  else
    activity_.ended(m.id);
}

bool EndpointManager::keep_uses_out(Machine& m) {
  m.use->start = 0;
  if (m.use->count == 0) return true;
  m.suspend_wanted = false;
  return false;
}

// A running compute's address is known: no need to wait for a job.
void EndpointManager::answer_wakes_of_active(const MachinePtr& machine) {
  if (machine->state != ComputeState::active || machine->exit_seen) return;
  for (WakeRequest& wake : std::exchange(machine->wakes, {}))
    answers_.add([this, machine, wake = std::move(wake)]() mutable {
      answer_active(machine, std::move(wake));
    });
}

void EndpointManager::compute_exited(const std::string& endpoint_id) {
  MutexLock lock(mutex_);
  MachinePtr machine = find(endpoint_id);
  if (!machine) return;
  machine->exit_seen = true;
  publish(*machine);
  schedule(machine);
}

void EndpointManager::watch(const EndpointUsePtr& use) {
  const int64_t timeout = use->timeout;
  if (timeout < 0 || use->watched.exchange(true)) return;
  const uint64_t generation = use->generation;
  alarms_.set(use->idle_since.load() + std::chrono::seconds(timeout),
              [this, use, generation] { look_whether_idle(use, generation); });
}

void EndpointManager::look_whether_idle(const EndpointUsePtr& use, uint64_t generation) {
  MutexLock lock(mutex_);
  if (use->generation != generation) return;
  // Before looking: a use that ends from now on sets an alarm of its own.
  use->watched = false;
  MachinePtr machine = find(use->id);
  if (!machine || machine->use != use || stopping_) return;
  if (machine->state != ComputeState::active || use->count > 0 || machine->suspend_wanted) return;
  const int64_t timeout = use->timeout;
  if (timeout < 0) return;
  if (use->idle_since.load() + std::chrono::seconds(timeout) > steady_clock::now())
    return watch(use);
  machine->suspend_wanted = true;
  machine->suspend_force = false;
  schedule(machine);
}

void EndpointManager::watch_for_vacuum(Machine& machine) {
  if (!machine.vacuum_due || machine.state != ComputeState::idle || machine.use->timeout < 0)
    return;
  if (std::exchange(machine.vacuum_watched, true)) return;
  alarms_.set(machine.use->idle_since.load() + options_.vacuum_rest, [this, id = machine.id] {
    MutexLock lock(mutex_);
    if (MachinePtr due = find(id)) due->vacuum_watched = false;
    wake_for_vacuum(id);
  });
}

void EndpointManager::wake_for_vacuum(const std::string& endpoint_id) {
  MachinePtr machine = find(endpoint_id);
  if (!machine || stopping_) return;
  Machine& m = *machine;
  if (!m.vacuum_due || m.state != ComputeState::idle || m.use->timeout < 0) return;
  if (limited_.contains(m.project_id)) return;  // Nor is it when that ends: its next wake is.
  if (m.use->idle_since.load() + options_.vacuum_rest > steady_clock::now())
    return watch_for_vacuum(m);
  if (!vacuuming_.empty()) {
    waiting_for_vacuum_.push_back(endpoint_id);
    return;
  }
  logger.info("{}: woken for autovacuum", endpoint_id);
  vacuuming_ = endpoint_id;
  m.start_wanted = true;
  schedule(machine);
}

void EndpointManager::end_vacuum(const std::string& endpoint_id) {
  if (vacuuming_ != endpoint_id) return;
  vacuuming_.clear();
  while (vacuuming_.empty() && !waiting_for_vacuum_.empty()) {
    const std::string next = std::move(waiting_for_vacuum_.front());
    waiting_for_vacuum_.pop_front();
    wake_for_vacuum(next);
  }
}

void EndpointManager::watch_for_job(Machine& machine) {
  if (machine.next_job == 0 || machine.state != ComputeState::idle || !machine.asked_for) return;
  const auto now = steady_clock::now();
  const auto spread = std::hash<std::string>()(machine.id) % (options_.job_lead.count() + 1);
  const std::chrono::microseconds left(machine.next_job - now_micros());
  auto at = now + left - options_.job_lead - std::chrono::seconds(spread);
  if (machine.job_tried != steady_clock::time_point())
    at = std::max(at, machine.job_tried + options_.job_rest);
  at = std::clamp<steady_clock::time_point>(at, now, now + kLongestAlarm);
  alarms_.set(at,
              [this, id = machine.id, alarm = ++machine.job_alarm] { wake_for_job(id, alarm); });
}

void EndpointManager::wake_for_job(const std::string& endpoint_id, uint64_t alarm) {
  MutexLock lock(mutex_);
  MachinePtr machine = find(endpoint_id);
  if (!machine || stopping_ || machine->job_alarm != alarm) return;
  Machine& m = *machine;
  if (m.next_job == 0 || m.state != ComputeState::idle || !m.asked_for) return;
  const std::chrono::microseconds left(m.next_job - now_micros());
  if (left > 2 * options_.job_lead + std::chrono::seconds(1)) return watch_for_job(m);
  m.job_tried = steady_clock::now();
  if (refusal(m)) return watch_for_job(m);  // It may be over by the next one.
  logger.info("{}: woken for a job of pg_cron", endpoint_id);
  m.job_wanted = m.start_wanted = true;
  schedule(machine);
}

void EndpointManager::begin_idle(Machine& machine) {
  auto since = steady_clock::now();
  const std::chrono::seconds timeout(machine.use->timeout);
  if (machine.for_job && machine.use->begun == machine.used_before && timeout > kAfterJob) {
    const std::chrono::microseconds left(machine.next_job - now_micros());
    since += std::max<steady_clock::duration>(left, std::chrono::seconds(0)) + kAfterJob - timeout;
  }
  machine.use->idle_since = since;
}

}  // namespace halogen::control
