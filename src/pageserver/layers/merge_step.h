// merge_step.h: one step of a merge: writes one file of the output run out of what several runs
// have from a key on. A merge is a row of steps, each of which is committed, so it needs room for
// one file at a time, whatever the size of the whole, and what was done is done.
//
// Pure but for its files. One thread.
#pragma once
#include <functional>
#include <optional>

#include "pageserver/layers/merge_plan.h"
#include "pageserver/layers/run_writer.h"

namespace halogen::pageserver {

// Where the next step is.
struct MergeRange {
  std::optional<Key> end;      // Keys from here on are not of this step; none: all are.
  std::vector<Layer> rewrite;  // Files of the output run whose keys are merged with the inputs'.
};

// How far a merge is.
struct MergeProgress {
  Key done;              // All keys below are.
  bool in_file = false;  // Within a file of the output run, whose rest is to be rewritten, too.
};

// The next step of a merge; nothing: the merge is over. `inputs` without what has been merged;
// `output` may be null; `must_rewrite` says which of its files have something to forget, though no
// input has anything for them.
std::optional<MergeRange> next_range(const std::vector<RunPtr>& inputs, const Run* output,
                                     const MergeProgress& progress, uint64_t file_bytes,
                                     const std::function<bool(const LayerDesc&)>& must_rewrite);

class MergeStep {
 public:
  // `sources`: the newest first.
  MergeStep(std::vector<std::vector<Layer>> sources, std::optional<Key> end)
      : sources_(std::move(sources)), end_(end) {}

  // Passes what stays to `writer`, up to the end or until the file is full; `pause` is called now
  // and then, and may throw. Returns where the next step begins; none: nothing is left.
  std::optional<Key> run(RunWriter& writer, uint64_t file_bytes, const RetainSet& retain,
                         Keeper::Rules rules, const std::function<void()>& pause);

 private:
  const std::vector<std::vector<Layer>> sources_;
  const std::optional<Key> end_;
};

}  // namespace halogen::pageserver
