// merge_plan.h: which runs of a timeline are to be merged next.
//
// Changes are merged by size (size-tiered): `merge_files` runs of a level become one of the next,
// as long as that is not too large. So each byte is rewritten once a level, and the number of runs
// is bounded by the levels. What the horizon has passed goes into the base run, which has about one
// version of each key: a few large steps, so that writing the base anew is paid for by what is
// forgotten.
//
// Pure.
#pragma once
#include <optional>

#include "pageserver/layers/retain.h"
#include "pageserver/layers/run.h"

namespace halogen::pageserver {

struct MergeRules {
  size_t merge_files = 8;
  uint64_t max_run_bytes = uint64_t{8} << 30;
  uint64_t base_fraction = 4;  // History is merged into a base run of up to so many times its size.
};

struct MergePlan {
  std::vector<uint64_t>
      inputs;            // Runs that are neighbours in age, the newest first; none: see below.
  uint64_t output = 0;   // The run that gets them, older than all of them. 0: a new one.
  uint8_t level = 0;     // Of the output.
  bool rewrite = false;  // No inputs: the base forgets what points needed that are gone.

  bool into_base() const { return level == kBaseLevel; }
};

// `merged`: what the base run was last merged for. `forgotten`: about how many of its bytes go when
// history is merged into it, as relations were dropped.
std::optional<MergePlan> choose_merge(const Runs& runs, const RetainSet& retain,
                                      const RetainSet& merged, uint64_t forgotten,
                                      const MergeRules& rules);

}  // namespace halogen::pageserver
