#include "control/history.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "control/timestamp.h"
#include "postgres/scram.h"

namespace halogen::control {
namespace {

const log::Logger logger("control");

constexpr auto kStorageDeadline = std::chrono::seconds(60);
// WAL that is on the safekeeper is usually in the pageserver within milliseconds.
constexpr auto kIngestPatience = std::chrono::milliseconds(500);

}  // namespace

const StoredRole* role_with_password(const std::vector<StoredRole>& roles, const std::string& name,
                                     const std::string& password) {
  auto found = std::ranges::find(roles, name, &StoredRole::name);
  if (found == roles.end()) return nullptr;
  std::optional<scram::Verifier> verifier = scram::parse_verifier(found->verifier);
  return verifier && scram::check_password(*verifier, password) ? &*found : nullptr;
}

Beginning History::find(const Project& project, const Branch& source, const WantedMoment& wanted) {
  if (wanted.head()) return at_head(source);
  const Moment moment = resolve(project, source, wanted);
  return {moment.lsn, moment.commit_time, contents_of_past(source, moment)};
}

Beginning History::at_head(const Branch& source) {
  Beginning found;
  // The source's roles are those at its head only if its log ends at the same place for both looks.
  const BranchRoles before = catalog_.roles(source.id);
  found.lsn = head(source);
  found.contents = catalog_.contents(source.id);
  BranchRoles& roles = found.contents.roles;
  roles.exact = roles.exact && before.exact && roles.as_of == before.as_of;
  if (!roles.exact) roles.as_of.reset();
  found.time = pageserver_.moment_at(source.timeline, found.lsn).commit_time;
  return found;
}

Moment History::resolve(const Project& project, const Branch& source, const WantedMoment& wanted) {
  if (wanted.lsn && wanted.time)
    throw Error(Errc::invalid_argument, "either an LSN or a time can be given, not both");
  if (wanted.time && *wanted.time > now_micros())
    throw Error(Errc::invalid_argument, "{} is in the future", timestamp(*wanted.time));
  if (wanted.time && *wanted.time < project.created_at)
    throw Error(Errc::gone, "history begins at {}, when the project was created; {} is older",
                timestamp(project.created_at), timestamp(*wanted.time));
  const Lsn head = this->head(source);
  if (wanted.lsn && *wanted.lsn > head)
    throw Error(Errc::invalid_argument, "{} is beyond the head of branch {}, which is at {}",
                wanted.lsn->str(), source.name, head.str());
  try {
    return wanted.time ? pageserver_.moment_at_time(source.timeline, *wanted.time)
                       : pageserver_.moment_at(source.timeline, *wanted.lsn);
  } catch (const Error& error) {
    if (error.code() != Errc::gone) throw;
    const Moment earliest = pageserver_.earliest_moment(source.timeline);
    throw Error(Errc::gone, "history begins at {} ({}) on branch {}; {} is older",
                earliest.lsn.str(), timestamp(earliest.commit_time.value_or(project.created_at)),
                source.name, wanted.time ? timestamp(*wanted.time) : wanted.lsn->str());
  }
}

// A password that is good now was good since it was given, and is told; of another it is not known
// whether it was the one at that moment, before the branch has started.
BranchContents History::contents_of_past(const Branch& source, const Moment& moment) {
  BranchContents found = catalog_.contents(source.id);
  // Nothing has been applied yet of what a first start applies.
  const bool untouched = !found.pending.empty();
  const auto roles = roles_now(catalog_.endpoint_of_branch(source.id));
  found.roles = {};
  for (const auto& [name, password] : found.passwords) {
    const StoredRole* role = roles ? role_with_password(*roles, name, password) : nullptr;
    const bool too_new = moment.commit_time && found.passwords_given_at[name] > *moment.commit_time;
    if (role != nullptr && !too_new) found.roles.roles.push_back(*role);
  }
  if (untouched || moment.commit_time) return found;
  // The owner gets the password that the project's first start would give it.
  found.roles = {};
  for (const auto& [name, password] : found.passwords) {
    if (name != kOwnerRole) continue;
    const std::string verifier = scram::make_verifier(password).str();
    found.roles.roles.push_back({.name = name, .verifier = verifier, .can_login = true});
    found.pending.push_back(
        {0, "postgres", fmt::format("ALTER ROLE {} PASSWORD '{}'", name, verifier)});
  }
  return found;
}

std::optional<std::vector<StoredRole>> History::roles_now(const Endpoint& endpoint) {
  // One that is being made has no work done on it but that: its roles are those it was given.
  if (catalog_.is_being_made(endpoint.branch_id)) return catalog_.roles(endpoint.branch_id).roles;
  std::optional<std::vector<StoredRole>> roles;
  try {
    endpoints_.exclusively(endpoint.id, [&](bool running) {
      roles = running ? host_.roles(endpoint.id).roles : catalog_.roles(endpoint.branch_id).roles;
    });
  } catch (const Error& error) {
    logger.info("{}: cannot see whether a password has changed: {}", endpoint.id, error.what());
  }
  return roles;
}

// An LSN at a record's end at or after every commit acknowledged before the call.
Lsn History::head(const Branch& branch) {
  Lsn flush = safekeeper_.catch_up(branch.timeline);
  try {
    pageserver_.wait_for_lsn(branch.timeline, flush, Deadline::after(kIngestPatience));
  } catch (const Error& error) {
    if (error.code() != Errc::timed_out) throw;
    // What is flushed may end within a record, and the rest of it be long in coming.
    Lsn whole = last_complete_record(branch);
    pageserver_.wait_for_lsn(branch.timeline, whole, Deadline::after(kStorageDeadline));
  }
  return pageserver_.timeline(branch.timeline).last_record_lsn;
}

Lsn History::last_complete_record(const Branch& branch) {
  std::string endpoint = catalog_.endpoint_of_branch(branch.id).id;
  Lsn whole = safekeeper_.catch_up(branch.timeline);
  endpoints_.exclusively(endpoint, [&](bool running) {
    if (running) {
      // Its commit flushes all WAL before it.
      host_.execute(endpoint, "postgres",
                    "SELECT pg_logical_emit_message(true, 'halogen', 'branch')");
    } else {
      // A new term cuts off what the last compute did not finish writing.
      WalStatus status = safekeeper_.status(branch.timeline);
      whole = safekeeper_.begin_term(branch.timeline, status.term + 1).end;
    }
  });
  return whole;
}

}  // namespace halogen::control
