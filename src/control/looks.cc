#include "control/looks.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "control/timestamp.h"

namespace halogen::control {
namespace {

const log::Logger logger("control");

constexpr int64_t kLookIdleTimeout = 60;  // Seconds.
constexpr int kMostLooks = 8;             // Of a project at one time: each is a compute.

// As a connection's options name it.
WantedMoment parse_moment(std::string_view text) {
  WantedMoment moment;
  const size_t colon = std::min(text.find(':'), text.size());
  const std::string_view kind = text.substr(0, colon);
  const std::string_view value = text.substr(std::min(colon + 1, text.size()));
  if (kind == "neon_lsn") moment.lsn = Lsn::parse(value);
  if (kind == "neon_timestamp") moment.time = parse_timestamp(value);
  if (moment.head())
    throw Error(Errc::invalid_argument,
                "\"{}\" must be neon_lsn:<LSN>, as 0/1A2B3C4, or neon_timestamp:<time>, as "
                "2026-11-23T01:26:10Z",
                text);
  return moment;
}

}  // namespace

std::string Looks::look_at(const std::string& endpoint_id, const std::string& moment) {
  return look_at(endpoint_id, parse_moment(moment));
}

std::string Looks::look_at(const std::string& endpoint_id, const WantedMoment& wanted) {
  Catalog& catalog = options_.catalog;
  const Endpoint endpoint = catalog.endpoint(endpoint_id);
  ProjectTurns::Hold turn(options_.turns, endpoint.project_id, ProjectTurns::Kind::alone);
  const Project project = catalog.project(endpoint.project_id);
  const Branch source = branches_.ready_branch(project.id, endpoint.branch_id);
  const Moment found = options_.history.resolve(project, source, wanted);
  int open = 0;
  for (const Branch& look : catalog.looks()) {
    if (look.project_id != project.id) continue;
    ++open;
    if (look.parent_id == source.id && look.parent_lsn == found.lsn && look.state == "ready")
      return catalog.endpoint_of_branch(look.id).id;
  }
  if (open >= kMostLooks)
    throw Error(Errc::conflict,
                "{} moments of this project are being looked at: wait until one is "
                "left",
                open);
  NewBranch added = child_branch(source, {found.lsn, found.commit_time, {}}, "");
  added.endpoint.idle_timeout = kLookIdleTimeout;
  added.endpoint.asked_for = true;
  added.branch.is_look = true;
  const Operation operation = new_operation(added.branch, "", "create_branch");
  branches_.begin(added, operation);
  branches_.make(project, added, source.timeline, operation.id);
  logger.info("{}: looks at {} of {}", added.endpoint.id, found.lsn.str(), source.id);
  return added.endpoint.id;
}

bool Looks::is_idle(const Branch& look) {
  const Endpoint endpoint = options_.catalog.endpoint_of_branch(look.id);
  const Micros since = endpoint.suspended_at.value_or(look.created_at);
  return options_.endpoints.state(endpoint.id) == ComputeState::idle &&
         now_micros() - since > (endpoint.suspended_at ? 0 : kLookIdleTimeout * 1'000'000);
}

void Looks::close_idle() {
  for (const Branch& look : options_.catalog.looks()) {
    try {
      ProjectTurns::Hold turn(options_.turns, look.project_id, ProjectTurns::Kind::alone);
      if (!is_idle(look)) continue;
      branches_.destroy(look);
      options_.timelines.sweep(look.project_id);
      logger.info("{}: closed, nobody looks at it", look.id);
    } catch (const Error& error) {
      if (error.code() != Errc::not_found)
        logger.warn("{}: cannot be closed yet: {}", look.id, error.what());
    }
  }
}

void Looks::close(const std::string& branch_id) {
  for (const Branch& child : options_.catalog.children(branch_id))
    if (child.is_look) branches_.destroy(child);
}

}  // namespace halogen::control
