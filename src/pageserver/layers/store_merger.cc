#include "pageserver/layers/store_merger.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/log.h"
#include "base/metrics.h"
#include "pageserver/layers/page_existence.h"

namespace halogen::pageserver {

namespace {

const log::Logger logger("pageserver");

constexpr uint64_t kSmallestFile = 1 << 20;

// Told from the start, before anything has been merged.
struct Metrics {
  metrics::Counter written = metrics::counter("halogen_pageserver_merged_bytes_total",
                                              "Bytes of layer files made by merging.");
  metrics::Counter read =
      metrics::counter("halogen_pageserver_merge_input_bytes_total",
                       "Bytes of layer files that merges have taken the place of.");
  metrics::Counter images = metrics::counter("halogen_pageserver_merge_images_total",
                                             "Page images made by merges, to shorten chains.");
} the_metrics;

Key metadata_key(KeyKind kind, uint32_t fill) {
  return {kind, static_cast<uint8_t>(fill), 0, fill, fill, fill, fill};
}

// The pages whose length `length` has.
std::pair<Key, Key> pages_of(const Key& length) {
  Key first = length, last = length;
  if (length.kind == KeyKind::relation_size) {
    first.kind = last.kind = KeyKind::relation_page;
    first.block = 0;
    last.block = UINT32_MAX;
  } else {
    first.kind = last.kind = KeyKind::slru_page;
    first.block = length.block * kSlruSegmentPages;
    last.block = first.block + kSlruSegmentPages - 1;
  }
  return {first, last};
}

bool is_gone(const Chain& chain) {
  return chain.empty() || chain.back().kind == ValueKind::tombstone;
}

uint64_t bytes_of(const std::vector<Layer>& layers) {
  uint64_t bytes = 0;
  for (const Layer& layer : layers) bytes += layer.desc.bytes;
  return bytes;
}

}  // namespace

bool StoreMerger::begin() {
  const Runs runs = owner_.runs();
  retain_ = owner_.retain();
  plan_ = choose_merge(runs, retain_, merged_, forgotten_, options_.rules);
  if (!plan_) return false;
  if (plan_->into_base()) forgotten_ = 0;
  progress_ = {};
  makes_images_ = true;
  dropped_.clear();
  dropped_pages_.clear();
  if (plan_->into_base()) find_dropped(runs);
  return true;
}

// Of the base, about: what relations had that were dropped since it was written, by their length.
uint64_t StoreMerger::bytes_forgotten() const {
  constexpr uint64_t kPageCompressed = kPageSize * 2 / 5;
  const Runs runs = owner_.runs();
  const Lsn horizon = owner_.retain().horizon;
  if (runs.empty() || runs.back()->level != kBaseLevel) return 0;
  std::map<Key, Lsn> ended;
  for (const RunPtr& run : runs) {
    if (run->level == kBaseLevel || run->min_lsn() > horizon) continue;
    for (const auto& [key, value] :
         run->newest(metadata_key(KeyKind::relation_size, 0),
                     metadata_key(KeyKind::relation_size, UINT32_MAX), horizon))
      if (value.kind == ValueKind::tombstone) ended.emplace(key, value.lsn);
  }
  uint64_t bytes = 0;
  for (const auto& [key, lsn] : ended) {
    owner_.pause();
    const Chain before = owner_.collect_kept(key, Lsn(lsn.value - 1));
    if (before.empty() || before.back().bytes.size() != sizeof(uint32_t)) continue;
    const uint64_t pages = Reader(before.back().bytes).get<uint32_t>();
    const auto [first, last] = pages_of(key);
    uint64_t overlapping = 0;
    for (const Layer& layer : runs.back()->layers)
      if (layer.desc.first <= last && layer.desc.last >= first) overlapping += layer.desc.bytes;
    bytes += std::min(pages * kPageCompressed, overlapping);
  }
  return bytes;
}

StoreMerger::Sources StoreMerger::sources() const {
  Sources found;
  for (const RunPtr& run : owner_.runs()) {
    if (std::find(plan_->inputs.begin(), plan_->inputs.end(), run->id) != plan_->inputs.end())
      found.inputs.push_back(run);
    if (plan_->output != 0 && run->id == plan_->output) found.output = run;
  }
  return found;
}

// Relations and SLRU segments whose end is in what is merged, and which no read can want: the
// base's files with their pages are written anew, and after that nothing needs to say that they are
// gone.
void StoreMerger::find_dropped(const Runs& runs) {
  const Key first = metadata_key(KeyKind::relation_size, 0);
  const Key last = metadata_key(KeyKind::slru_segment, UINT32_MAX);
  std::set<Key> ended;
  for (const RunPtr& run : runs) {
    const bool merged =
        run->id == plan_->output ||
        std::find(plan_->inputs.begin(), plan_->inputs.end(), run->id) != plan_->inputs.end();
    if (!merged) continue;
    for (const auto& [key, value] : run->newest(first, last, retain_.horizon))
      if (value.kind == ValueKind::tombstone) ended.insert(key);
  }
  for (const Key& key : ended) {
    owner_.pause();
    if (!is_dropped(key)) continue;
    dropped_.insert(key);
    dropped_pages_.push_back(pages_of(key));
  }
  std::sort(dropped_pages_.begin(), dropped_pages_.end());
}

bool StoreMerger::is_dropped(const Key& key) const {
  for (Lsn read : retain_.reads_to_keep())
    if (!is_gone(owner_.collect_kept(key, read))) return false;
  return true;
}

bool StoreMerger::must_rewrite(const LayerDesc& file) const {
  if (plan_->rewrite) return file.superseded > file.bytes / 10;
  auto range = std::lower_bound(
      dropped_pages_.begin(), dropped_pages_.end(), file.first,
      [](const std::pair<Key, Key>& pages, const Key& key) { return pages.second < key; });
  return range != dropped_pages_.end() && range->first <= file.last;
}

Keeper::Rules StoreMerger::rules() {
  Keeper::Rules rules;
  rules.exists = [existence = PageExistence([this](const Key& key, Lsn lsn) {
                    return owner_.collect_kept(key, lsn);
                  })](const Key& key, Lsn lsn) mutable { return existence(key, lsn); };
  rules.image_at_end = [this](const Key& key, const Keeper::Rules::Tail& tail) {
    return is_long(key, tail.changes, tail.bytes)
               ? make_image(key,
                            tail.chain.empty() ? owner_.collect_kept(key, tail.lsn) : tail.chain)
               : std::nullopt;
  };
  if (!plan_->into_base()) return rules;
  rules.forget_tombstone = [this](const Key& key, Lsn) {
    const bool says_length =
        key.kind == KeyKind::relation_size || key.kind == KeyKind::slru_segment;
    return (!says_length || dropped_.contains(key)) && owner_.collect_inherited(key).empty();
  };
  rules.shorten = [this](const Key& key, Lsn read, const Chain& chain) {
    return shorten(key, read, chain);
  };
  return rules;
}

bool StoreMerger::is_long(const Key& key, size_t changes, uint64_t bytes) const {
  return makes_images_ && key.is_page() &&
         (changes > options_.image_after_changes || bytes > options_.image_after_bytes);
}

std::optional<std::string> StoreMerger::shorten(const Key& key, Lsn read, const Chain& chain) {
  size_t changes = 0;
  uint64_t bytes = 0;
  for (const Value& value : chain) {
    if (value.kind == ValueKind::image || value.kind == ValueKind::zero) continue;
    bytes += value.bytes.size();
    changes += is_base(value.kind) ? 0 : 1;
  }
  if (!is_long(key, changes, bytes)) return std::nullopt;
  return make_image(key, is_base(chain.front().kind) ? chain : owner_.collect_kept(key, read));
}

std::optional<std::string> StoreMerger::make_image(const Key& key, const Chain& chain) {
  owner_.pause();
  try {
    std::string page = owner_.make_page(key.page_key(), chain);
    if (page.empty()) return std::nullopt;
    the_metrics.images.add();
    return page;
  } catch (const Error& error) {
    if (error.code() == Errc::cancelled) throw;
    logger.warn("{}: pages keep their chains in this merge, as an image could not be made: {}",
                options_.folder, error.what());
    makes_images_ = false;
    return std::nullopt;
  }
}

// Where there is little room, a merge goes on in small steps: it is what makes room.
uint64_t StoreMerger::bytes_of_file() const {
  std::error_code error;
  const fs::space_info space = fs::space(options_.folder, error);
  if (error) return options_.file_bytes;
  return std::min(options_.file_bytes, std::max<uint64_t>(space.available / 4, kSmallestFile));
}

bool StoreMerger::step() {
  if (!plan_ && look_.exchange(false)) forgotten_ = bytes_forgotten();
  if (!plan_ && !begin()) return false;
  const Sources from = sources();
  const uint64_t file_bytes = bytes_of_file();
  const auto range = next_range(from.inputs, from.output.get(), progress_, file_bytes,
                                [this](const LayerDesc& file) { return must_rewrite(file); });
  if (!range) {
    if (plan_->into_base()) merged_ = retain_;
    plan_.reset();
    return true;
  }
  std::vector<std::vector<Layer>> sources;
  for (const RunPtr& run : from.inputs) sources.push_back(run->layers);
  sources.push_back(range->rewrite);
  RunWriter writer(
      {options_.folder, options_.timeline, file_bytes, [this] { return owner_.next_layer_id(); }});
  const std::optional<Key> next =
      MergeStep(std::move(sources), range->end).run(writer, file_bytes, retain_, rules(), [this] {
        owner_.pause();
      });
  commit(from, *range, writer, next);
  return true;
}

void StoreMerger::commit(const Sources& from, const MergeRange& range, RunWriter& writer,
                         std::optional<Key> next) {
  std::vector<Layer> output;
  uint64_t written = 0;
  for (LayerDesc desc : writer.finish()) {
    written += desc.bytes;
    desc.level = plan_->level;
    output.push_back({desc, nullptr});
  }
  if (plan_->output == 0 && !output.empty()) plan_->output = output.front().desc.id;
  auto add = [&](const std::vector<Layer>& layers) {
    output.insert(output.end(), layers.begin(), layers.end());
  };
  if (next) add(without_keys_below(range.rewrite, *next));
  if (from.output) {
    for (const Layer& layer : from.output->layers) {
      const bool rewritten =
          std::any_of(range.rewrite.begin(), range.rewrite.end(),
                      [&](const Layer& other) { return other.desc.id == layer.desc.id; });
      if (!rewritten) output.push_back(layer);
    }
  }
  for (Layer& layer : output) layer.desc.run = plan_->output;
  std::sort(output.begin(), output.end(),
            [](const Layer& a, const Layer& b) { return a.desc.first < b.desc.first; });
  uint64_t gone = bytes_of(range.rewrite);
  owner_.commit_runs([&](Runs& runs) {
    Runs out;
    size_t place = 0;  // Of the output: it is older than all inputs.
    for (const RunPtr& run : runs) {
      const bool is_input =
          std::find(plan_->inputs.begin(), plan_->inputs.end(), run->id) != plan_->inputs.end();
      if (from.output && run->id == from.output->id) {
        place = out.size();
        continue;
      }
      if (!is_input) {
        out.push_back(run);
        continue;
      }
      auto left = next ? without_keys_below(run->layers, *next) : std::vector<Layer>();
      gone += bytes_of(run->layers) - bytes_of(left);
      if (!left.empty())
        out.push_back(std::make_shared<Run>(Run{run->id, run->level, std::move(left)}));
      place = out.size();
    }
    if (!output.empty())
      out.insert(out.begin() + static_cast<ptrdiff_t>(place),
                 std::make_shared<Run>(Run{plan_->output, plan_->level, output}));
    runs = std::move(out);
  });
  writer.keep();
  the_metrics.written.add(static_cast<double>(written));
  the_metrics.read.add(static_cast<double>(gone));
  if (next) {
    progress_ = {*next, *next != range.end};
  } else {
    if (plan_->into_base()) merged_ = retain_;
    plan_.reset();
  }
}

}  // namespace halogen::pageserver
