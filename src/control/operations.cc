#include "control/operations.h"

#include <future>
#include <memory>

#include "base/error.h"
#include "base/ids.h"
#include "base/log.h"

namespace halogen::control {
namespace {

const log::Logger logger("control");

}  // namespace

Operation new_operation(const Branch& branch, const std::string& endpoint_id,
                        const std::string& action) {
  Operation operation{random_uuid(), branch.project_id, branch.id, endpoint_id, action, "running"};
  operation.created_at = operation.updated_at = now_micros();
  return operation;
}

// Shared by the caller and the job. The mutex decides whether the caller is told that it runs, or
// how it has ended: held across the catalog, which nobody else waits for here.
struct Operations::Ending {
  std::promise<void> promise;
  Mutex mutex;
  bool is_over GUARDED_BY(mutex) = false;
};

void Operations::begin(const Operation& operation, std::function<void()> work,
                       const std::shared_ptr<Ending>& ending) {
  auto job = [&catalog = options_.catalog, id = operation.id, work = std::move(work), ending] {
    std::exception_ptr failure;
    std::string error;
    try {
      work();
    } catch (const std::exception& thrown) {
      failure = std::current_exception();
      error = thrown.what();
    }
    try {
      MutexLock lock(ending->mutex);
      ending->is_over = true;
      // No effect on one that its work has finished, or that is not in the catalog.
      catalog.finish_operation(id, failure ? "failed" : "finished", error);
    } catch (const std::exception& thrown) {
      logger.error("operation {}: its end cannot be recorded: {}", id, thrown.what());
      if (!failure) failure = std::current_exception();
    }
    failure ? ending->promise.set_exception(failure) : ending->promise.set_value();
  };
  if (jobs_.add(operation.project_id, std::move(job))) return;
  options_.catalog.finish_operation(operation.id, "failed", "the platform is shutting down");
  throw Error(Errc::unavailable, "the platform is shutting down");
}

Operation Operations::run(const Operation& operation, std::function<void()> work) {
  auto ending = std::make_shared<Ending>();
  std::future<void> over = ending->promise.get_future();
  begin(operation, std::move(work), ending);
  if (over.wait_for(options_.patience) != std::future_status::ready) {
    MutexLock lock(ending->mutex);
    if (!ending->is_over) {
      options_.catalog.begin_operation(operation);
      return operation;
    }
  }
  over.get();
  return options_.catalog.operation(operation.id);
}

void Operations::go_on(const Operation& operation, std::function<void()> work) {
  begin(operation, std::move(work), std::make_shared<Ending>());
}

}  // namespace halogen::control
