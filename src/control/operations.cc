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

Operation Operations::run(Operation operation, std::function<void()> work) {
  auto ended = std::make_shared<std::promise<void>>();
  std::future<void> over = ended->get_future();
  auto job = [&catalog = options_.catalog, id = operation.id, work = std::move(work), ended] {
    std::exception_ptr failure;
    try {
      std::string error;
      try {
        work();
      } catch (const std::exception& thrown) {
        failure = std::current_exception();
        error = thrown.what();
      }
      catalog.finish_operation(id, failure ? "failed" : "finished", error);
    } catch (const std::exception& thrown) {
      logger.error("operation {}: its end cannot be recorded: {}", id, thrown.what());
      if (!failure) failure = std::current_exception();
    }
    failure ? ended->set_exception(failure) : ended->set_value();
  };
  if (!jobs_.add(std::move(job))) {
    options_.catalog.finish_operation(operation.id, "failed", "the platform is shutting down");
    throw Error(Errc::unavailable, "the platform is shutting down");
  }
  if (over.wait_for(options_.patience) != std::future_status::ready) return operation;
  over.get();
  return options_.catalog.operation(operation.id);
}

}  // namespace halogen::control
