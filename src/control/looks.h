// looks.h: read-only looks at a branch's past, each for as long as somebody uses it.
//
// A look is a branch that is not listed, the same one for all that look at the same commit.
//
// Threads: any. Calls block on storage, seconds at worst.
#pragma once
#include <string>

#include "control/branches.h"

namespace halogen::control {

class Looks {
 public:
  Looks(const Branches::Options& options, Branches& branches)
      : options_(options), branches_(branches) {}

  // An endpoint for reading what is at a moment of this one's branch. As Endpoints::look_at().
  std::string look_at(const std::string& endpoint_id, const std::string& moment);
  std::string look_at(const std::string& endpoint_id, const WantedMoment& moment);
  // Deletes those that nobody uses any more.
  void close_idle();
  // Deletes those at this branch's past. Requires: to be alone in the project.
  void close(const std::string& branch_id);

 private:
  bool is_idle(const Branch& look);

  const Branches::Options options_;
  Branches& branches_;
};

}  // namespace halogen::control
