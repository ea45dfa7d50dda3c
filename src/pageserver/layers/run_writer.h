// run_writer.h: writes a run: entries in order, cut into files of a bounded size at a key's end.
//
// Metadata goes to files of its own where pages are many, so that a timeline's metadata is loaded
// without their index.
#pragma once
#include <functional>
#include <optional>

#include "pageserver/layers/layer_file.h"

namespace halogen::pageserver {

class RunWriter {
 public:
  struct Options {
    fs::path folder;
    TimelineId timeline;
    uint64_t file_bytes = 128 << 20;
    std::function<uint64_t()> next_id;
  };
  explicit RunWriter(Options options) : options_(std::move(options)) {}
  ~RunWriter();  // Removes its files, unless they are to be kept.
  RunWriter(const RunWriter&) = delete;
  RunWriter& operator=(const RunWriter&) = delete;

  void add(const EntryView& entry);
  // Files that are finished, and the one at hand.
  uint64_t bytes() const { return finished_bytes_ + (writer_ ? writer_->bytes() : 0); }
  // Without run and level; none if nothing was added.
  std::vector<LayerDesc> finish();
  // The manifest names them.
  void keep() { files_.clear(); }

 private:
  void cut();

  const Options options_;
  std::optional<LayerWriter> writer_;
  uint64_t id_ = 0;  // Of the file at hand.
  Key last_;
  uint64_t finished_bytes_ = 0;
  std::vector<LayerDesc> files_;
};

}  // namespace halogen::pageserver
