// The jobs of EndpointManager: each works on one endpoint, alone, and ends with end_job().
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/log.h"
#include "base/log_trace.h"
#include "base/metrics.h"
#include "control/settings/compute_size.h"
#include "control/settings/endpoint_settings.h"
#include "control/settings/job_settings.h"
#include "control/settings/preload_libraries.h"
#include "control/suspend_machine.h"

namespace halogen::control {
namespace {

const log::Logger logger("control");

metrics::Histogram wake_seconds =
    metrics::histogram("halogen_wake_seconds", "Time from a wake's start to a ready compute.");

// API work can do nothing without the catalog either.
constexpr std::chrono::seconds kBooksPatience{5};

// What an older release stored and this one does not allow must not keep an endpoint from starting.
SettingValues allowed_settings_of(const Endpoint& endpoint) {
  SettingsInForce found =
      settings_in_force(postgres_values(nlohmann::json::parse(endpoint.settings)));
  for (const auto& [name, reason] : found.ignored)
    logger.warn("{}: ignoring a stored setting: pg_settings.{} {}; remove it by the API",
                endpoint.id, name, reason);
  return found.values;
}

ComputeSpec compute_spec(const KnownEndpoint& known, bool settings_guard) {
  const auto& [endpoint, branch, project, pending] = known;
  ComputeSpec spec;
  spec.endpoint_id = endpoint.id;
  spec.tenant = project.tenant;
  spec.timeline = branch.timeline;
  spec.system_identifier = project.system_identifier;
  spec.major = project.pg_version;
  const nlohmann::json settings = nlohmann::json::parse(endpoint.settings);
  spec.outgoing_traffic = outgoing_traffic(settings);
  spec.least_units = endpoint.least_cu;
  spec.most_units = endpoint.most_cu;
  spec.settings = settings_guard ? allowed_settings_of(endpoint) : postgres_values(settings);
  std::string libraries =
      libraries_to_start_with(spec.settings["shared_preload_libraries"],
                              nlohmann::json::parse(project.settings), project.pg_version);
  spec.settings.erase("shared_preload_libraries");
  if (!libraries.empty()) spec.settings["shared_preload_libraries"] = std::move(libraries);
  const bool reads_only = branch.is_look || endpoint.read_only;
  prepare_for_jobs(spec.settings, reads_only, kFirstDatabase);
  spec.settings.merge(settings_of_size(endpoint.most_cu, spec.settings));
  if (reads_only) {
    spec.settings["halogen.read_only"] = "on";
    spec.settings["default_transaction_read_only"] = "on";
    spec.settings["autovacuum"] = "off";
  }
  return spec;
}

// To those who ask for a role or a compute, not_found says that there is none and conflict that it
// is not to be had (a refusal()). What goes wrong on the way to it says neither, whatever its code.
Error as_failure(const Error& error) {
  const bool says_more = error.code() == Errc::not_found || error.code() == Errc::conflict;
  return says_more ? Error(Errc::unavailable, "{}", error.what()) : error;
}

}  // namespace

Outcome<RoleSecret> find_role(const RoleList& list, const std::string& name, uint64_t start) {
  auto found = std::ranges::find(list.roles, name, &StoredRole::name);
  if (found == list.roles.end() || found->verifier.empty())
    return {std::nullopt, Error(Errc::not_found, "role \"{}\" cannot log in", name)};
  RoleSecret secret{found->verifier, found->oid, found->can_login};
  if (found->valid_until)
    secret.valid_until =
        std::chrono::system_clock::time_point(std::chrono::microseconds(*found->valid_until));
  secret.start = start;
  secret.epoch = list.epoch;
  return {std::move(secret), std::nullopt};
}

void EndpointManager::end_job(const MachinePtr& machine, ComputeState state) {
  MutexLock lock(mutex_);
  machine->busy = false;
  machine->state = state;
  if (state == ComputeState::idle) {
    machine->kept_awake.clear();
    end_vacuum(machine->id);
    watch_for_vacuum(*machine);
    watch_for_job(*machine);
  }
  schedule(machine);
  if (machine->state == ComputeState::active && machine->use->count == 0) watch(machine->use);
  if (stopping_) job_ended_.notify_all();
}

void EndpointManager::fail_wakes(const MachinePtr& machine, const Error& error) {
  std::vector<WakeRequest> wakes;
  std::vector<RoleQuestion> questions;
  {
    MutexLock lock(mutex_);
    wakes = std::exchange(machine->wakes, {});
    questions = std::exchange(machine->questions, {});
  }
  for (WakeRequest& wake : wakes) wake.done({std::nullopt, error});
  for (RoleQuestion& question : questions) question.done({std::nullopt, error});
}

void EndpointManager::run_start(const MachinePtr& machine) {
  Operation operation;
  std::string trace;
  {
    MutexLock lock(mutex_);
    trace = machine->wakes.empty() ? machine->start_trace : machine->wakes.front().trace;
    machine->start_trace.clear();
    machine->start_wanted = false;
    machine->exit_seen = false;
    machine->vacuum_due = false;
    machine->for_job = std::exchange(machine->job_wanted, false) && machine->wakes.empty();
    if (machine->start_operation) operation = *machine->start_operation;
  }
  log::Trace for_whom(trace);
  auto began = steady_clock::now();
  try {
    const KnownEndpoint known = catalog_.known(machine->id);
    if (operation.id.empty())
      operation = new_operation(known.endpoint, "start_compute");
    else
      record(operation, "running");
    ComputeAddress address = start_compute(machine, known);
    address.start = ++starts_;
    std::vector<WakeRequest> wakes;
    {
      MutexLock lock(mutex_);
      machine->state = ComputeState::active;
      machine->address = address;
      machine->used_before = machine->use->begun;
      begin_idle(*machine);
      publish(*machine);
      machine->start_operation.reset();
      wakes = std::exchange(machine->wakes, {});
    }
    for (WakeRequest& wake : wakes) wake.done({address, std::nullopt});
    std::chrono::duration<double> took = steady_clock::now() - began;
    wake_seconds.observe(took.count());
    logger.info("{}: compute started in {:.0f} ms", machine->id, took.count() * 1000);
    // The endpoint is free for its next job meanwhile.
    operation.status = "finished";
    operation.updated_at = now_micros();
    books_.add(machine->id + ": its start", [this, endpoint = known.endpoint, operation] {
      catalog_.compute_started(endpoint, operation.updated_at, operation);
    });
    end_job(machine, ComputeState::active);
  } catch (const std::exception& error) {
    logger.error("{}: compute did not start: {}", machine->id, error.what());
    auto* known = dynamic_cast<const Error*>(&error);
    const Error told = as_failure(known ? *known : Error(Errc::internal, "{}", error.what()));
    {
      MutexLock lock(mutex_);
      machine->start_operation.reset();
    }
    fail_wakes(machine, told);
    if (!operation.id.empty()) record(operation, "failed", error.what());
    end_job(machine, ComputeState::idle);
  }
}

void EndpointManager::record(Operation operation, const std::string& status,
                             const std::string& error) {
  operation.status = status;
  operation.error = error;
  operation.updated_at = now_micros();
  books_.add(operation.action + " " + operation.id,
             [this, operation] { catalog_.put_operation(operation); });
}

void EndpointManager::record_suspend(const MachinePtr& machine, const Endpoint& endpoint,
                                     ComputeStopped stopped, const Operation& operation) {
  {
    MutexLock lock(mutex_);
    ++machine->unrecorded;
  }
  books_.add(
      machine->id + ": its suspend",
      [this, endpoint, stopped = std::move(stopped), operation] {
        catalog_.compute_suspended(endpoint, operation.updated_at, stopped, operation);
      },
      [this, machine] {
        MutexLock lock(mutex_);
        --machine->unrecorded;
        recorded_.notify_all();
      });
}

void EndpointManager::wait_for_books(const MachinePtr& machine) {
  const Deadline deadline = Deadline::after(kBooksPatience);
  MutexLock lock(mutex_);
  while (machine->unrecorded > 0)
    if (!recorded_.wait_until(mutex_, deadline.at())) return;
}

ComputeAddress EndpointManager::start_compute(const MachinePtr& machine,
                                              const KnownEndpoint& known) {
  const Endpoint& endpoint = known.endpoint;
  ComputeSpec spec = compute_spec(known, options_.settings_guard);
  if (endpoint.read_only) spec.timeline = make_reader_timeline(endpoint);
  if (more_settings_)
    for (const auto& [name, value] : more_settings_(endpoint)) spec.settings[name] = value;
  // Its roles may change as soon as it takes a connection. After a crash that is seen by where its
  // log ends.
  catalog_.note_starting(endpoint);
  ComputeAddress address = host_.start(spec, Deadline::after(options_.start_deadline));
  try {
    if (known.has_pending_sql && !endpoint.read_only) apply_pending(endpoint);
  } catch (...) {
    host_.suspend(machine->id, true, Deadline::after(options_.suspend_deadline));
    throw;
  }
  return address;
}

TimelineId EndpointManager::make_reader_timeline(const Endpoint& reader) {
  try {
    return reader_timeline_(reader);
  } catch (const Error& error) {
    if (error.code() != Errc::io) throw;
    throw Error(Errc::unavailable,
                "a read-only endpoint cannot start while the catalog is not to be had: {}",
                error.what());
  }
}

// Not applied again once clients can connect: they may have changed what it set. So this is for the
// catalog itself, not for the books.
void EndpointManager::apply_pending(const Endpoint& endpoint) {
  try {
    const std::vector<PendingSql> all = catalog_.pending_sql(endpoint.branch_id);
    for (const PendingSql& pending : all)
      host_.execute(endpoint.id, pending.database, pending.statement);
    catalog_.remove_pending_sql(all);
  } catch (const Error& error) {
    if (error.code() != Errc::io) throw;
    throw Error(Errc::unavailable,
                "the first start of a branch is not possible while the catalog is not to be had: "
                "{}",
                error.what());
  }
}

void EndpointManager::run_suspend(const MachinePtr& machine) {
  Operation operation;
  bool force;
  bool running;
  uint64_t begun;
  {
    MutexLock lock(mutex_);
    machine->suspend_wanted = false;
    force = std::exchange(machine->suspend_force, false);
    running = machine->state == ComputeState::suspending;
    begun = machine->use->begun;
    if (machine->suspend_operation) operation = *machine->suspend_operation;
    machine->suspend_operation.reset();
  }
  ComputeState state = ComputeState::idle;
  std::string status = running ? "finished" : "skipped";
  std::string failure;
  std::string kept_awake;
  bool vacuum_due = false;
  std::optional<Micros> next_job;
  try {
    const Endpoint endpoint = catalog_.known(machine->id).endpoint;
    if (operation.id.empty()) operation = new_operation(endpoint, "suspend_compute");
    if (running) {
      ComputeStopped stopped =
          host_.suspend(machine->id, force, Deadline::after(options_.suspend_deadline));
      vacuum_due = stopped.vacuum_due;
      next_job = stopped.next_job;
      catalog_.note_suspended(endpoint, stopped);
      logger.info("{}: compute suspended at {}", machine->id, stopped.end.str());
      operation.status = status;
      operation.updated_at = now_micros();
      record_suspend(machine, endpoint, std::move(stopped), operation);
    }
  } catch (const std::exception& error) {
    failure = error.what();
    status = "failed";
    state = host_.running(machine->id) ? ComputeState::active : ComputeState::idle;
    auto* known = dynamic_cast<const Error*>(&error);
    if (!force && known && known->code() == Errc::conflict)
      logger.info("{}: not suspended: {}", machine->id, kept_awake = failure);
    else
      logger.error("{}: not suspended cleanly: {}", machine->id, failure);
  }
  {
    MutexLock lock(mutex_);
    begin_idle(*machine);  // If it still runs, not again at once.
    machine->kept_awake = kept_awake;
    machine->kept_after = begun;
    if (state == ComputeState::idle && running) machine->vacuum_due = vacuum_due;
    if (next_job) machine->next_job = *next_job;
    machine->stop_failed = stopping_ && state == ComputeState::active;
    if (state == ComputeState::active)
      refuse_while_suspended(*machine, Error(Errc::unavailable, "not suspended: {}", failure));
  }
  const bool recorded = running && failure.empty();
  if (!recorded && !operation.id.empty()) record(operation, status, failure);
  end_job(machine, state);
}

// Questions about roles. A running compute is asked, once for all that wait now: whoever asks later
// is answered by the next round, so a password counts from the moment it is changed.
void EndpointManager::run_roles(const MachinePtr& machine) {
  std::vector<RoleQuestion> questions;
  ComputeState state;
  uint64_t start = 0;
  {
    MutexLock lock(mutex_);
    questions = std::exchange(machine->questions, {});
    state = machine->state;
    if (state == ComputeState::active) start = machine->address.start;
  }
  log::Trace for_whom(questions.empty() ? "" : questions.front().trace);
  std::optional<Error> failure;
  std::optional<RoleList> roles;
  try {
    if (state == ComputeState::active) {
      roles = host_.roles(machine->id);
    } else if (auto kept = catalog_.exact_roles(machine->branch_id)) {
      roles = RoleList{std::move(kept->roles)};
    }
  } catch (const Error& error) {
    failure = as_failure(error);
    if (state == ComputeState::active && !host_.running(machine->id)) {
      state = ComputeState::idle;  // It ended under us: ask again, from the beginning.
      failure.reset();
    }
  }
  if (roles || failure) {
    for (RoleQuestion& question : questions)
      question.done(failure ? Outcome<RoleSecret>{std::nullopt, failure}
                            : find_role(*roles, question.role, start));
  } else {
    MutexLock lock(mutex_);
    machine->start_wanted = true;
    if (!questions.empty()) machine->start_trace = questions.front().trace;
    machine->questions.insert(machine->questions.begin(),
                              std::make_move_iterator(questions.begin()),
                              std::make_move_iterator(questions.end()));
  }
  end_job(machine, state);
}

// Work that wants the endpoint to itself, or a look at whether the compute still runs.
void EndpointManager::run_exclusive(const MachinePtr& machine) {
  std::packaged_task<void(bool)> task;
  ComputeState state;
  bool look;
  {
    MutexLock lock(mutex_);
    state = machine->state;
    look = std::exchange(machine->exit_seen, false);
    if (!machine->exclusive.empty()) {
      task = std::move(machine->exclusive.front());
      machine->exclusive.pop_front();
    }
  }
  if (look && state == ComputeState::active && !host_.running(machine->id)) {
    logger.info("{}: compute has ended by itself", machine->id);
    state = ComputeState::idle;
  }
  if (task.valid()) {
    if (state == ComputeState::idle) wait_for_books(machine);
    task(state == ComputeState::active);
    if (state == ComputeState::active && !host_.running(machine->id)) state = ComputeState::idle;
  }
  end_job(machine, state);
}

void EndpointManager::run_while_suspended(const MachinePtr& machine) {
  SuspendedWork next;
  {
    MutexLock lock(mutex_);
    next = std::move(machine->while_suspended.front());
    machine->while_suspended.pop_front();
  }
  std::exception_ptr failure;
  wait_for_books(machine);
  try {
    next.work();
  } catch (...) {
    failure = std::current_exception();
  }
  // The endpoint is free before the caller goes on: it may be about to retire it.
  end_job(machine, ComputeState::idle);
  if (failure)
    next.done.set_exception(failure);
  else
    next.done.set_value(next.was_running);
}

void EndpointManager::refuse_while_suspended(Machine& machine, const Error& error) {
  for (SuspendedWork& refused : std::exchange(machine.while_suspended, {}))
    refused.done.set_exception(std::make_exception_ptr(error));
}

void EndpointManager::answer_active(const MachinePtr& machine, WakeRequest wake) {
  // The proxy may hear of a compute's death (a closed socket) before we do.
  bool running = host_.running(machine->id);
  std::optional<ComputeAddress> address;
  {
    MutexLock lock(mutex_);
    if (running && machine->state == ComputeState::active) {
      address = machine->address;
    } else {
      if (!running) machine->exit_seen = true;
      machine->wakes.push_back(std::move(wake));
      schedule(machine);
    }
  }
  if (address) wake.done({*address, std::nullopt});
}

}  // namespace halogen::control
