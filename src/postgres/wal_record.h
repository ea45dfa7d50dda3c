// wal_record.h: what is in one WAL record: the blocks it touches, their images, its data.
//
// Everything is bounds-checked: bytes that are not a record throw Errc::corrupt. The decoded form
// points into the record's bytes and lives no longer than they do.
#pragma once
#include <array>
#include <span>

#include "base/bytes.h"
#include "base/lsn.h"
#include "postgres/wal_reader.h"
#include "protocol/page_key.h"

namespace halogen {

constexpr int kMaxBlockRefs = 33;

// An 8 KiB page as it was, with the unused "hole" in its middle left out.
struct BlockImage {
  Bytes bytes;  // Compressed, if a compression flag is set.
  uint16_t hole_offset = 0;
  uint16_t hole_length = 0;
  uint8_t info = 0;
};
constexpr uint8_t kImageHasHole = 0x01;
constexpr uint8_t kImageApply = 0x02;
constexpr uint8_t kImagePglz = 0x04;
constexpr uint8_t kImageLz4 = 0x08;
constexpr uint8_t kImageZstd = 0x10;

struct BlockRef {
  uint8_t id = 0;  // 0..32; a record's references are in the order of their ids.
  bool will_init = false;
  bool has_image = false;
  bool has_data = false;
  PageKey page;
  BlockImage image;
  Bytes data;

  // Redo takes the image as the page. (Otherwise it is there for consistency checks.)
  bool image_applies() const { return has_image && (image.info & kImageApply); }
  // Redo needs no page from before.
  bool makes_page() const { return will_init || image_applies(); }
};

class WalRecord {
 public:
  // Replaces what was decoded before; `bytes` is the whole record from its header on.
  void decode(Bytes bytes);

  const WalRecordHeader& header() const { return header_; }
  uint8_t rmgr() const { return header_.rmgr; }
  uint8_t info() const { return header_.info & 0xF0; }  // The resource manager's part.
  uint32_t xid() const { return header_.xid; }
  uint32_t toplevel_xid() const { return toplevel_xid_; }  // 0 if not told.
  uint16_t origin() const { return origin_; }              // Replication origin, or 0.
  Bytes bytes() const { return bytes_; }
  Bytes main_data() const { return main_data_; }
  std::span<const BlockRef> blocks() const { return {blocks_.data(), block_count_}; }
  const BlockRef* block(uint8_t id) const;  // Null if the record has none of that id.

 private:
  void decode_headers(Reader& in);
  void decode_block_header(Reader& in, uint8_t id);
  void take_payload(Reader& in);

  Bytes bytes_;
  WalRecordHeader header_;
  uint32_t toplevel_xid_ = 0;
  uint16_t origin_ = 0;
  size_t block_count_ = 0;
  size_t payload_ = 0;  // Bytes of images, block data and main data that the headers announce.
  uint32_t main_size_ = 0;
  Bytes main_data_;
  std::array<BlockRef, kMaxBlockRefs> blocks_;
};

// Writes the page that an image shows. Errc::corrupt if it cannot be unpacked.
void restore_image(const BlockImage& image, std::span<char, kPageSize> page);

}  // namespace halogen
