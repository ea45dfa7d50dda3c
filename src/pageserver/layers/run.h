// run.h: layer files that have no key in common: what a flush or a merge has written. A read looks
// into one file of each run.
//
// Immutable; shared by readers.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "pageserver/layers/layer_file.h"

namespace halogen::pageserver {

struct Layer {
  LayerDesc desc;
  std::shared_ptr<LayerFile> file;
};

struct Run {
  uint64_t id = 0;
  uint8_t level = 0;
  std::vector<Layer> layers;  // In order of keys; one at least.

  // The one that may have versions of `key`; null if none does.
  const Layer* find(const Key& key) const;
  const Key& first() const { return layers.front().desc.first; }
  const Key& last() const { return layers.back().desc.last; }
  Lsn min_lsn() const;
  Lsn max_lsn() const;
  uint64_t bytes() const;
  uint64_t superseded() const;
  // As LayerFile::newest.
  std::vector<std::pair<Key, Value>> newest(const Key& first, const Key& last, Lsn lsn) const;
};

using RunPtr = std::shared_ptr<const Run>;
using Runs = std::vector<RunPtr>;  // The newest first.

// `layers` in the order of a manifest.
Runs runs_of(const std::vector<LayerDesc>& layers,
             const std::function<std::shared_ptr<LayerFile>(const LayerDesc&)>& file);
std::vector<LayerDesc> layers_of(const Runs& runs);

// `layers` without their keys below `from`: the files stay as they are, what is gone is not looked
// for.
std::vector<Layer> without_keys_below(const std::vector<Layer>& layers, const Key& from);

// The entries of some layers of one run, in order.
class RunCursor {
 public:
  explicit RunCursor(std::vector<Layer> layers);
  // Null at the end; good until the next call of next().
  const EntryView* entry() const { return cursor_ ? cursor_->entry() : nullptr; }
  void next();

 private:
  void open_next();

  const std::vector<Layer> layers_;
  size_t next_layer_ = 0;
  std::unique_ptr<LayerFile::Cursor> cursor_;
};

}  // namespace halogen::pageserver
