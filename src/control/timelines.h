// timelines.h: a branch's timeline in storage: in the pageserver and in the safekeeper together.
//
// Threads: any. Calls block on storage, seconds at worst.
#pragma once
#include <string>

#include "control/catalog.h"
#include "protocol/pageserver_admin.h"
#include "protocol/safekeeper_admin.h"

namespace halogen::control {

class Timelines {
 public:
  Timelines(Catalog& catalog, PageserverAdmin& pageserver, SafekeeperAdmin& safekeeper)
      : catalog_(catalog), pageserver_(pageserver), safekeeper_(safekeeper) {}

  // Copies nothing. `lsn` is a record's end.
  void make(const Project& project, TimelineId id, TimelineId ancestor, Lsn lsn);
  // Its WAL is followed again. One that storage cannot open keeps no other from being served.
  void attach(const Branch& branch);
  // What is not there is no failure. conflict while others stand on it.
  void remove(TimelineId id);

  // Deletes the project's loose timelines, but for those that others stand on. Requires: nothing
  // makes one meanwhile. Failures are logged, and the next sweep tries again.
  void sweep(const std::string& project_id);

 private:
  // Whether it is gone.
  bool sweep_away(TimelineId id);

  Catalog& catalog_;
  PageserverAdmin& pageserver_;
  SafekeeperAdmin& safekeeper_;
};

}  // namespace halogen::control
