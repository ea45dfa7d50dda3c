// history.h: from a moment that a user names to where a new timeline begins, and what the catalog
// knows of what is in the source there.
//
// Threads: any. Calls block on storage, and ask a running compute for its roles.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "control/catalog.h"
#include "control/suspend.h"
#include "protocol/pageserver_admin.h"
#include "protocol/safekeeper_admin.h"

namespace halogen::control {

// Neither: the head.
struct WantedMoment {
  std::optional<Lsn> lsn;
  std::optional<Micros> time;

  bool head() const { return !lsn && !time; }
};

struct Beginning {
  // A record's end: at the head at or after every commit acknowledged before the call, else the end
  // of a commit, or the beginning of history if none was before it.
  Lsn lsn;
  std::optional<Micros> time;  // Of the last commit at or below it.
  // Of the source at that moment. Roles are exact only at the head: what they were before, the
  // first start tells. Those kept are such whose password that we gave is good.
  BranchContents contents;
};

class History {
 public:
  History(Catalog& catalog, EndpointManager& endpoints, ComputeHost& host,
          PageserverAdmin& pageserver, SafekeeperAdmin& safekeeper)
      : catalog_(catalog),
        endpoints_(endpoints),
        host_(host),
        pageserver_(pageserver),
        safekeeper_(safekeeper) {}

  // invalid_argument for a moment that has yet to come; gone, naming the earliest one, for what is
  // older than the project.
  Beginning find(const Project& project, const Branch& source, const WantedMoment& wanted);
  // Where a moment that is not the head is; throws as find().
  Moment resolve(const Project& project, const Branch& source, const WantedMoment& wanted);

  // As the running compute has them, or as they were last known. Nothing: it could not be asked.
  std::optional<std::vector<StoredRole>> roles_now(const Endpoint& endpoint);

 private:
  Beginning at_head(const Branch& source);
  BranchContents contents_of_past(const Branch& source, const Moment& moment);
  Lsn head(const Branch& branch);
  Lsn last_complete_record(const Branch& branch);

  Catalog& catalog_;
  EndpointManager& endpoints_;
  ComputeHost& host_;
  PageserverAdmin& pageserver_;
  SafekeeperAdmin& safekeeper_;
};

// The role whose verifier fits the password; null if there is none.
const StoredRole* role_with_password(const std::vector<StoredRole>& roles, const std::string& name,
                                     const std::string& password);

}  // namespace halogen::control
