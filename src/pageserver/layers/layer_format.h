// layer_format.h: the bytes of a layer file (docs/formats/layer_file.md), without any I/O.
//
// Everything that parses takes bytes that may be damaged or hostile, and throws Errc::corrupt.
#pragma once
#include <string>
#include <vector>

#include "base/ids.h"
#include "pageserver/layers/memory_layer.h"

namespace halogen::pageserver {

constexpr std::string_view kLayerHeader{"HALOGEN LAYER 1\n", 16};
constexpr size_t kLayerFooterSize = 104;
constexpr size_t kBlockTarget = 32 << 10;  // A block is closed once it has this many bytes.

// Where one block is, and its first entry.
struct BlockRef {
  Key first_key;
  Lsn first_lsn;
  uint64_t offset = 0;
  uint32_t stored = 0;  // Bytes in the file; equal to `raw` if it is not compressed.
  uint32_t raw = 0;     // Bytes once decompressed.
  uint32_t crc = 0;     // CRC-32C of the stored bytes.
};

// A Bloom filter over the keys of a file, so that a point read seldom opens a block in vain.
class KeyFilter {
 public:
  KeyFilter() = default;
  explicit KeyFilter(std::string bits) : bits_(std::move(bits)) {}
  static KeyFilter build(const std::vector<uint64_t>& hashes);

  // Part of the file format: must never change.
  static uint64_t hash(const Key& key);
  bool may_contain(const Key& key) const;
  const std::string& bits() const { return bits_; }

 private:
  std::string bits_;  // Empty: everything may be there.
};

// What a layer file says of itself, so that one that lies in another's place is noticed. Two layers
// of a timeline never share it. Never 0, which files of older programs say.
uint64_t layer_identity(const TimelineId& timeline, uint64_t layer);

struct LayerFooter {
  Key first;  // Lowest and highest key.
  Key last;
  Lsn min_lsn;
  Lsn max_lsn;
  uint64_t entries = 0;
  uint64_t index_offset = 0;
  uint32_t index_size = 0;
  uint32_t index_crc = 0;
  uint64_t identity = 0;
};

struct LayerIndex {
  std::vector<BlockRef> blocks;
  KeyFilter filter;

  // The last block that can hold a version of `key` at or below `lsn`; -1 if none does.
  ptrdiff_t last_block(const Key& key, Lsn lsn) const;
};

// Collects the entries of one block.
class BlockBuilder {
 public:
  void add(const EntryView& entry);
  bool empty() const { return out_.size() == 0; }
  bool full() const { return out_.size() >= kBlockTarget; }
  size_t size() const { return out_.size(); }
  // The stored bytes; fills in everything of `ref` but the offset, and starts afresh.
  std::string finish(BlockRef& ref);

 private:
  Writer out_;
  Key first_key_;
  Lsn first_lsn_;
};

// The entries of a decompressed block, in order of (key, LSN, as put). The views point into it.
class BlockReader {
 public:
  explicit BlockReader(Bytes raw) : reader_(raw) {}
  bool next(EntryView& entry);

 private:
  Reader reader_;
};

std::string encode_footer(const LayerFooter& footer);
std::string encode_index(const LayerIndex& index);

LayerFooter parse_footer(Bytes footer, uint64_t file_size);
LayerIndex parse_index(Bytes index, const LayerFooter& footer);
// Checks and decompresses a block.
std::string parse_block(Bytes stored, const BlockRef& ref);

}  // namespace halogen::pageserver
