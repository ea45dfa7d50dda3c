#include "pageserver/layers/merge_step.h"

#include <algorithm>

namespace halogen::pageserver {

namespace {

constexpr uint64_t kEntriesBetweenPauses = 256;

// The merged entries of several runs. Of versions of a key at one LSN, the older run's come first.
class Cursors {
 public:
  explicit Cursors(const std::vector<std::vector<Layer>>& sources) {
    for (auto source = sources.rbegin(); source != sources.rend(); ++source)
      cursors_.push_back(std::make_unique<RunCursor>(*source));
    find_least();
  }
  const EntryView* entry() const { return least_ ? least_->entry() : nullptr; }
  void next() {
    least_->next();
    find_least();
  }

 private:
  void find_least() {
    least_ = nullptr;
    for (auto& cursor : cursors_) {
      const EntryView* entry = cursor->entry();
      if (!entry) continue;
      if (!least_ ||
          std::pair(entry->key, entry->lsn) < std::pair(least_->entry()->key, least_->entry()->lsn))
        least_ = cursor.get();
    }
  }

  std::vector<std::unique_ptr<RunCursor>> cursors_;
  RunCursor* least_ = nullptr;
};

std::optional<Key> first_key(const std::vector<RunPtr>& runs) {
  std::optional<Key> first;
  for (const RunPtr& run : runs)
    if (!first || run->first() < *first) first = run->first();
  return first;
}

bool any_in(const std::vector<RunPtr>& runs, const Key& first, const Key& last) {
  for (const RunPtr& run : runs)
    for (const Layer& layer : run->layers)
      if (layer.desc.first <= last && layer.desc.last >= first) return true;
  return false;
}

}  // namespace

std::optional<MergeRange> next_range(const std::vector<RunPtr>& inputs, const Run* output,
                                     const MergeProgress& progress, uint64_t file_bytes,
                                     const std::function<bool(const LayerDesc&)>& must_rewrite) {
  const std::optional<Key> next_input = first_key(inputs);
  const std::vector<Layer> none;
  const std::vector<Layer>& files = output ? output->layers : none;
  for (size_t i = 0; i < files.size(); i++) {
    const LayerDesc& file = files[i].desc;
    if (file.first < progress.done) continue;
    // Keys before this file: they may be written without it.
    if (next_input && *next_input < file.first) return MergeRange{file.first, {}};
    const bool touched =
        (progress.in_file && file.first == progress.done) || any_in(inputs, file.first, file.last);
    if (!touched && !must_rewrite(file)) continue;
    MergeRange range{std::nullopt, {files[i]}};
    uint64_t bytes = file.bytes;
    // Small neighbours come along, so that files do not get ever smaller.
    for (i++; i < files.size() && bytes + files[i].desc.bytes < file_bytes / 2; i++) {
      bytes += files[i].desc.bytes;
      range.rewrite.push_back(files[i]);
    }
    if (i < files.size()) range.end = files[i].desc.first;
    return range;
  }
  if (!next_input) return std::nullopt;
  return MergeRange{};
}

std::optional<Key> MergeStep::run(RunWriter& writer, uint64_t file_bytes, const RetainSet& retain,
                                  Keeper::Rules rules, const std::function<void()>& pause) {
  Keeper keeper(retain, std::move(rules), [&](const EntryView& entry) { writer.add(entry); });
  std::optional<Key> at;
  uint64_t taken = 0;
  for (Cursors cursors(sources_); const EntryView* entry = cursors.entry(); cursors.next()) {
    if (end_ && entry->key >= *end_) break;
    if (at && entry->key != *at && writer.bytes() >= file_bytes) {
      keeper.finish();
      return entry->key;
    }
    at = entry->key;
    keeper.add(*entry);
    if (++taken % kEntriesBetweenPauses == 0) pause();
  }
  keeper.finish();
  return end_;
}

}  // namespace halogen::pageserver
