#include "pageserver/layers/merge_plan.h"

#include <algorithm>
#include <map>

namespace halogen::pageserver {

namespace {

const Run* base_of(const Runs& runs) {
  return !runs.empty() && runs.back()->level == kBaseLevel ? runs.back().get() : nullptr;
}

// Whether the horizon has passed all of it, or but for a little: behind the last commit of a
// timeline at rest are a few records more.
bool is_history(const Run& run, Lsn horizon) {
  const uint64_t max = run.max_lsn().value, min = run.min_lsn().value;
  if (max <= horizon.value) return true;
  if (min > horizon.value) return false;
  const uint64_t slack = std::max<uint64_t>(1 << 20, (max - min) / 8);
  return max - horizon.value <= slack;
}

std::optional<MergePlan> choose_history(const Runs& runs, const RetainSet& retain,
                                        uint64_t forgotten, const MergeRules& rules) {
  const Run* base = base_of(runs);
  MergePlan plan{.output = base ? base->id : 0, .level = kBaseLevel};
  uint64_t bytes = forgotten;
  for (size_t i = runs.size() - (base ? 1 : 0); i > 0 && is_history(*runs[i - 1], retain.horizon);
       i--) {
    plan.inputs.insert(plan.inputs.begin(), runs[i - 1]->id);
    bytes += runs[i - 1]->bytes();
  }
  if (plan.inputs.empty() || (base && bytes < base->bytes() / rules.base_fraction))
    return std::nullopt;
  return plan;
}

std::optional<MergePlan> choose_rewrite(const Runs& runs, const RetainSet& retain,
                                        const RetainSet& merged, const MergeRules& rules) {
  const Run* base = base_of(runs);
  if (!base || base->superseded() < base->bytes() / rules.base_fraction) return std::nullopt;
  const auto& points = merged.points;
  const bool freed =
      std::any_of(points.begin(), points.end(), [&](Lsn p) { return !retain.readable(p); });
  if (!freed) return std::nullopt;
  return MergePlan{.output = base->id, .level = kBaseLevel, .rewrite = true};
}

// All of the lowest level that has enough of them.
std::optional<MergePlan> choose_level(const Runs& runs, const MergeRules& rules) {
  std::map<uint8_t, std::vector<size_t>> levels;
  for (size_t i = 0; i < runs.size(); i++)
    if (runs[i]->level != kBaseLevel) levels[runs[i]->level].push_back(i);
  for (const auto& [level, indexes] : levels) {
    uint64_t bytes = 0;
    Key first = runs[indexes.front()]->first();
    MergePlan plan{.level = static_cast<uint8_t>(level + 1)};
    for (size_t i : indexes) {
      bytes += runs[i]->bytes();
      first = std::min(first, runs[i]->first());
      plan.inputs.push_back(runs[i]->id);
    }
    if (indexes.size() < rules.merge_files || bytes > rules.max_run_bytes) continue;
    if (level + 1 >= kBaseLevel || indexes.back() - indexes.front() + 1 != indexes.size()) continue;
    // What a merge that was cut short has done: it goes on where that ended.
    const size_t next = indexes.back() + 1;
    if (next < runs.size() && runs[next]->level == plan.level && runs[next]->last() < first)
      plan.output = runs[next]->id;
    return plan;
  }
  return std::nullopt;
}

}  // namespace

std::optional<MergePlan> choose_merge(const Runs& runs, const RetainSet& retain,
                                      const RetainSet& merged, uint64_t forgotten,
                                      const MergeRules& rules) {
  if (auto plan = choose_history(runs, retain, forgotten, rules)) return plan;
  if (auto plan = choose_level(runs, rules)) return plan;
  return choose_rewrite(runs, retain, merged, rules);
}

}  // namespace halogen::pageserver
