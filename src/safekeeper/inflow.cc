#include "safekeeper/inflow.h"

#include "base/log.h"

namespace halogen::safekeeper {
namespace {

const log::Logger logger("safekeeper");

}  // namespace

void log_full_disk(const std::string& name, const Error& error) {
  logger.error(
      "{}: cannot store WAL, so commits wait (nothing acknowledged is lost): {}; make room on that "
      "disk, and they go on",
      name, error.what());
}

}  // namespace halogen::safekeeper
