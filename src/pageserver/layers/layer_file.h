// layer_file.h: immutable sorted files of versions: writing one, reading them.
//
// Threads: a LayerWriter belongs to one; a LayerFile may be read by any number. A LayerFile is
// opened when it is read; the descriptor and the index are cache, as blocks are. Every block is
// checked against its checksum when it is read from disk.
#pragma once
#include <filesystem>
#include <memory>

#include "base/file.h"
#include "pageserver/layers/layer_format.h"
#include "pageserver/layers/local_layers.h"
#include "pageserver/layers/lru.h"

namespace halogen::pageserver {

// The level of a timeline's oldest run, which has what is at the horizon (run.h).
constexpr uint8_t kBaseLevel = 255;

// What a manifest says about a layer file.
struct LayerDesc {
  uint64_t id = 0;    // Names the file; never used twice in a timeline.
  uint64_t run = 0;   // Files of one run have no key in common: the id of the first that was in it.
  uint8_t level = 0;  // 0 as flushed; n + 1 merged from runs of level n.
  Key first;          // Lowest and highest key that count. What the file has below has been merged.
  Key last;
  Lsn min_lsn;  // Of the versions in it.
  Lsn max_lsn;
  uint64_t bytes = 0;
  uint64_t entries = 0;
  uint64_t superseded = 0;  // Of `bytes`, about: versions below a newer base in this file.

  std::string file_name() const;
};

constexpr std::string_view kUnfinished = ".tmp";

// Writes a layer file under a temporary name; finish() makes it durable, then gives it its own.
class LayerWriter {
 public:
  LayerWriter(fs::path path, uint64_t identity);  // layer_identity().
  ~LayerWriter();                                 // Removes what was not finished.
  LayerWriter(const LayerWriter&) = delete;
  LayerWriter& operator=(const LayerWriter&) = delete;

  // In order of key, then LSN, then age.
  void add(const EntryView& entry);
  // Everything but id, run and level. A failed fsync ends the process.
  LayerDesc finish();
  uint64_t bytes() const { return offset_ + block_.size(); }

 private:
  void write_block();
  void write(std::string_view bytes);

  fs::path path_;
  fs::path temporary_;
  UniqueFd fd_;
  uint64_t offset_ = 0;
  BlockBuilder block_;
  LayerIndex index_;
  LayerFooter footer_;
  std::vector<uint64_t> hashes_;
  uint64_t raw_bytes_ = 0;
  uint64_t raw_superseded_ = 0;
  uint64_t raw_of_key_ = 0;  // Since its newest base.
  bool finished_ = false;
};

struct BlockId {
  uint64_t file = 0;  // A number that no other LayerFile of this process has.
  uint64_t block = 0;
  bool operator==(const BlockId&) const = default;
};
struct BlockIdHash {
  size_t operator()(const BlockId& id) const {
    return (id.file * 0x9E3779B97F4A7C15u ^ id.block) * 0xBF58476D1CE4E5B9u;
  }
};
struct FileNumberHash {
  size_t operator()(uint64_t number) const { return number * 0x9E3779B97F4A7C15u >> 32; }
};
// A file that is open for reading.
struct OpenedLayer {
  UniqueFd fd;
  LayerIndex index;
};
// Of all files: decompressed blocks, and by the file's number, what is open.
struct LayerCache {
  LayerCache(size_t block_bytes, size_t index_bytes) : blocks(block_bytes), opened(index_bytes) {}
  explicit LayerCache(size_t bytes) : LayerCache(bytes, bytes) {}

  LruCache<BlockId, std::string, BlockIdHash> blocks;
  LruCache<uint64_t, OpenedLayer, FileNumberHash> opened;
};

class LayerFile {
 public:
  // `identity` as it was written with: a file that has another one is `corrupt`.
  // `desc` but for its keys, which may come to be fewer while the file stays what it is.
  LayerFile(const fs::path& path, LayerDesc desc, uint64_t identity,
            std::shared_ptr<LayerCache> cache);
  // Where the disk is a cache of an object store. `is_here`: whether the file is on the disk.
  LayerFile(std::shared_ptr<LocalLayers> locals, TenantId tenant, TimelineId timeline,
            const fs::path& path, LayerDesc desc, std::shared_ptr<LayerCache> cache, bool is_here);
  ~LayerFile();  // Unlinks the file if it is obsolete.
  LayerFile(const LayerFile&) = delete;
  LayerFile& operator=(const LayerFile&) = delete;

  uint64_t id() const { return desc_.id; }
  // Gives back the descriptor and the index; the next read opens it again.
  void close() const { cache_->opened.erase(number_); }
  // No manifest names it any more: it goes when its last reader is done.
  void mark_obsolete() { obsolete_ = true; }

  // The versions of `key` at or below `lsn`, newest first. False if `visit` stopped the search.
  bool walk(const Key& key, Lsn lsn, const VisitVersion& visit) const;
  // The newest version at or below `lsn` of each key in [first, last], in key order.
  std::vector<std::pair<Key, Value>> newest(const Key& first, const Key& last, Lsn lsn) const;

  // Every entry in order; for merging. The block cache is left alone.
  class Cursor {
   public:
    explicit Cursor(std::shared_ptr<const LayerFile> file, const Key& from = Key());
    // Null at the end; good until the next call of next().
    const EntryView* entry() const { return at_end_ ? nullptr : &entry_; }
    void next();

   private:
    std::shared_ptr<const LayerFile> file_;
    size_t next_block_ = 0;
    std::string raw_;
    BlockReader reader_{Bytes()};
    EntryView entry_;
    bool at_end_ = false;
  };

 private:
  std::shared_ptr<const OpenedLayer> opened() const;
  std::shared_ptr<const OpenedLayer> open() const;
  UniqueFd open_path() const;
  std::string read_block(const OpenedLayer& opened, size_t number) const;
  std::shared_ptr<const std::string> cached_block(const OpenedLayer& opened, size_t number) const;
  size_t first_block(const OpenedLayer& opened, const Key& key) const;

  const std::string path_;  // As in TimelineStore.
  const LayerDesc desc_;
  const uint64_t identity_;
  const uint64_t number_;
  const std::shared_ptr<LayerCache> cache_;
  std::shared_ptr<LocalLayer> local_;  // Null: the file never leaves the disk.
  std::shared_ptr<LocalLayers> locals_;
  std::atomic<bool> obsolete_ = false;
};

}  // namespace halogen::pageserver
