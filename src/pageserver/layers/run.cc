#include "pageserver/layers/run.h"

#include <algorithm>

namespace halogen::pageserver {

const Layer* Run::find(const Key& key) const {
  auto after =
      std::upper_bound(layers.begin(), layers.end(), key,
                       [](const Key& at, const Layer& layer) { return at < layer.desc.first; });
  if (after == layers.begin()) return nullptr;
  const Layer& found = *std::prev(after);
  return key <= found.desc.last ? &found : nullptr;
}

Lsn Run::min_lsn() const {
  Lsn min = layers.front().desc.min_lsn;
  for (const Layer& layer : layers) min = std::min(min, layer.desc.min_lsn);
  return min;
}

Lsn Run::max_lsn() const {
  Lsn max;
  for (const Layer& layer : layers) max = std::max(max, layer.desc.max_lsn);
  return max;
}

uint64_t Run::bytes() const {
  uint64_t bytes = 0;
  for (const Layer& layer : layers) bytes += layer.desc.bytes;
  return bytes;
}

uint64_t Run::superseded() const {
  uint64_t bytes = 0;
  for (const Layer& layer : layers) bytes += layer.desc.superseded;
  return bytes;
}

std::vector<std::pair<Key, Value>> Run::newest(const Key& first, const Key& last, Lsn lsn) const {
  std::vector<std::pair<Key, Value>> out;
  for (const Layer& layer : layers) {
    const Key from = std::max(first, layer.desc.first), to = std::min(last, layer.desc.last);
    if (from > to) continue;
    auto part = layer.file->newest(from, to, lsn);
    std::move(part.begin(), part.end(), std::back_inserter(out));
  }
  return out;
}

Runs runs_of(const std::vector<LayerDesc>& layers,
             const std::function<std::shared_ptr<LayerFile>(const LayerDesc&)>& file) {
  Runs runs;
  std::shared_ptr<Run> run;
  for (const LayerDesc& desc : layers) {
    if (!run || run->id != desc.run) {
      run = std::make_shared<Run>(Run{desc.run, desc.level, {}});
      runs.push_back(run);
    }
    run->layers.push_back({desc, file(desc)});
  }
  return runs;
}

std::vector<LayerDesc> layers_of(const Runs& runs) {
  std::vector<LayerDesc> out;
  for (const RunPtr& run : runs)
    for (const Layer& layer : run->layers) out.push_back(layer.desc);
  return out;
}

std::vector<Layer> without_keys_below(const std::vector<Layer>& layers, const Key& from) {
  std::vector<Layer> out;
  for (const Layer& layer : layers) {
    if (layer.desc.last < from) continue;
    out.push_back(layer);
    out.back().desc.first = std::max(layer.desc.first, from);
  }
  return out;
}

RunCursor::RunCursor(std::vector<Layer> layers) : layers_(std::move(layers)) { open_next(); }

void RunCursor::next() {
  cursor_->next();
  if (!cursor_->entry()) open_next();
}

void RunCursor::open_next() {
  for (cursor_.reset(); next_layer_ < layers_.size(); next_layer_++) {
    const Layer& layer = layers_[next_layer_];
    cursor_ = std::make_unique<LayerFile::Cursor>(layer.file, layer.desc.first);
    if (cursor_->entry()) {
      next_layer_++;
      return;
    }
    cursor_.reset();
  }
}

}  // namespace halogen::pageserver
