#include "pageserver/layers/run_writer.h"

#include "base/error.h"

namespace halogen::pageserver {

namespace {

constexpr uint64_t kManyPages = 256 << 10;  // Bytes of a file, from which metadata is kept apart.

}  // namespace

RunWriter::~RunWriter() {
  std::error_code ignored;
  for (const LayerDesc& desc : files_) fs::remove(options_.folder / desc.file_name(), ignored);
}

void RunWriter::add(const EntryView& entry) {
  if (writer_ && entry.key != last_) {
    const bool metadata_begins = last_.is_page() && !entry.key.is_page();
    if (writer_->bytes() >= options_.file_bytes ||
        (metadata_begins && writer_->bytes() >= kManyPages))
      cut();
  }
  if (!writer_) {
    id_ = options_.next_id();
    LayerDesc desc;
    desc.id = id_;
    writer_.emplace(options_.folder / desc.file_name(), layer_identity(options_.timeline, id_));
  }
  last_ = entry.key;
  writer_->add(entry);
}

void RunWriter::cut() {
  LayerDesc desc = writer_->finish();
  desc.id = id_;
  finished_bytes_ += desc.bytes;
  files_.push_back(desc);
  writer_.reset();
}

std::vector<LayerDesc> RunWriter::finish() {
  if (writer_) cut();
  return files_;
}

}  // namespace halogen::pageserver
