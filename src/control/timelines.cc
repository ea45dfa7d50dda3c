#include "control/timelines.h"

#include "base/error.h"
#include "base/log.h"

namespace halogen::control {
namespace {

const log::Logger logger("control");

constexpr auto kStorageDeadline = std::chrono::seconds(60);

}  // namespace

void Timelines::make(const Project& project, TimelineId id, TimelineId ancestor, Lsn lsn) {
  pageserver_.create_timeline(project.tenant, id, ancestor, lsn, Deadline::after(kStorageDeadline));
  safekeeper_.create_timeline(id, lsn, project.system_identifier);
  pageserver_.attach_wal(id, safekeeper_.wal_host(), safekeeper_.wal_port());
}

void Timelines::attach(const Branch& branch) {
  try {
    pageserver_.attach_wal(branch.timeline, safekeeper_.wal_host(), safekeeper_.wal_port());
  } catch (const Error& error) {
    logger.error("{}: storage does not serve it: {}", branch.id, error.what());
  }
}

void Timelines::remove(TimelineId id) {
  pageserver_.delete_timeline(id);
  safekeeper_.delete_timeline(id);
}

// What stands on another goes before it, wherever it is in the list.
void Timelines::sweep(const std::string& project_id) {
  bool deleted = true;
  while (deleted) {
    deleted = false;
    for (const LooseTimeline& loose : catalog_.loose_timelines())
      if (loose.project_id == project_id && sweep_away(loose.timeline)) deleted = true;
  }
}

bool Timelines::sweep_away(TimelineId id) {
  try {
    remove(id);
    catalog_.remove_loose_timeline(id);
    logger.info("timeline {}: deleted, no branch has it", id.str());
    return true;
  } catch (const Error& error) {
    if (error.code() == Errc::conflict)
      logger.info("timeline {}: kept: {}", id.str(), error.what());
    else
      logger.warn("timeline {}: cannot be deleted yet: {}", id.str(), error.what());
    return false;
  }
}

}  // namespace halogen::control
