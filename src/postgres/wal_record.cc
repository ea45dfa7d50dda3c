#include "postgres/wal_record.h"

#include <algorithm>

#include "base/error.h"
#include "postgres/wal_image.h"

namespace halogen {
namespace {

constexpr uint8_t kForkMask = 0x0F;
constexpr uint8_t kHasImage = 0x10;
constexpr uint8_t kHasData = 0x20;
constexpr uint8_t kWillInit = 0x40;
constexpr uint8_t kSameRelation = 0x80;

constexpr uint8_t kIdDataShort = 255;
constexpr uint8_t kIdDataLong = 254;
constexpr uint8_t kIdOrigin = 253;
constexpr uint8_t kIdToplevelXid = 252;

[[noreturn]] void fail(std::string_view what) {
  throw Error(Errc::corrupt, "bad WAL record: {}", what);
}

BlockImage decode_image_header(Reader& in, uint16_t& length) {
  BlockImage image;
  length = in.get<uint16_t>();
  image.hole_offset = in.get<uint16_t>();
  image.info = in.get<uint8_t>();
  bool has_hole = image.info & kImageHasHole;
  bool compressed = image.info & (kImagePglz | kImageLz4 | kImageZstd);
  if (compressed) {
    if (has_hole) image.hole_length = in.get<uint16_t>();
  } else {
    if (length > kPageSize) fail("an image larger than a page");
    image.hole_length = kPageSize - length;
  }
  if (has_hole && (image.hole_offset == 0 || image.hole_length == 0 || length == kPageSize))
    fail("an image with an impossible hole");
  if (!has_hole && (image.hole_offset != 0 || image.hole_length != 0)) fail("an image of odd size");
  if (compressed && length >= kPageSize) fail("a compressed image larger than a page");
  if (image.hole_offset + image.hole_length > kPageSize) fail("an image's hole outside the page");
  return image;
}

}  // namespace

void WalRecord::decode(Bytes bytes) {
  Reader in(bytes);
  header_ = load_record_header(in.take(kWalRecordHeaderSize).data());
  if (header_.total_size != bytes.size()) fail("its length is not that of its bytes");
  bytes_ = bytes;
  toplevel_xid_ = 0;
  origin_ = 0;
  block_count_ = 0;
  payload_ = 0;
  main_size_ = 0;
  main_data_ = {};
  decode_headers(in);
  take_payload(in);
}

// Block and data headers come first, all payloads behind them, in the same order.
void WalRecord::decode_headers(Reader& in) {
  while (in.left() > payload_) {
    auto id = in.get<uint8_t>();
    if (id == kIdDataShort || id == kIdDataLong) {
      main_size_ = id == kIdDataShort ? in.get<uint8_t>() : in.get<uint32_t>();
      payload_ += main_size_;
      break;  // By convention the last header.
    }
    if (id == kIdOrigin) {
      origin_ = in.get<uint16_t>();
    } else if (id == kIdToplevelXid) {
      toplevel_xid_ = in.get<uint32_t>();
    } else if (id < kMaxBlockRefs) {
      decode_block_header(in, id);
    } else {
      fail("an unknown header");
    }
  }
  if (in.left() != payload_) fail("its parts do not add up to its length");
}

void WalRecord::decode_block_header(Reader& in, uint8_t id) {
  const BlockRef* before = block_count_ > 0 ? &blocks_[block_count_ - 1] : nullptr;
  if (before && id <= before->id) fail("block references out of order");
  BlockRef& block = blocks_[block_count_];
  block = BlockRef();
  block.id = id;
  auto flags = in.get<uint8_t>();
  uint8_t fork = flags & kForkMask;
  if (fork >= kForks) fail("an unknown fork");
  block.will_init = flags & kWillInit;
  block.has_image = flags & kHasImage;
  block.has_data = flags & kHasData;
  auto data_size = in.get<uint16_t>();
  if (block.has_data != (data_size != 0)) fail("block data of odd size");
  uint16_t image_size = 0;
  if (block.has_image) block.image = decode_image_header(in, image_size);
  // The payloads are not here yet: remember their sizes as spans into the headers' bytes.
  payload_ += image_size + data_size;
  if (payload_ > in.left()) fail("block payload beyond its end");
  block.image.bytes = in.rest().first(image_size);
  block.data = in.rest().first(data_size);

  if (flags & kSameRelation) {
    if (!before) fail("the first block reference names no relation");
    block.page.tag = before->page.tag;
    block.page.tag.fork = fork;
  } else {
    auto spc = in.get<uint32_t>();
    auto db = in.get<uint32_t>();
    auto rel = in.get<uint32_t>();
    block.page.tag = RelTag::relation(spc, db, rel, static_cast<Fork>(fork));
  }
  block.page.block = in.get<uint32_t>();
  ++block_count_;
}

void WalRecord::take_payload(Reader& in) {
  for (size_t i = 0; i < block_count_; ++i) {
    blocks_[i].image.bytes = in.take(blocks_[i].image.bytes.size());
    blocks_[i].data = in.take(blocks_[i].data.size());
  }
  main_data_ = in.take(main_size_);
}

const BlockRef* WalRecord::block(uint8_t id) const {
  for (size_t i = 0; i < block_count_; ++i)
    if (blocks_[i].id == id) return &blocks_[i];
  return nullptr;
}

void restore_image(const BlockImage& image, std::span<char, kPageSize> page) {
  char unpacked[kPageSize];
  size_t size = kPageSize - image.hole_length;
  const char* from = reinterpret_cast<const char*>(image.bytes.data());
  if (image.info & (kImagePglz | kImageLz4 | kImageZstd)) {
    unpack_image(image.info, image.bytes, std::span<char>(unpacked, size));
    from = unpacked;
  } else if (image.bytes.size() != size) {
    fail("an image of odd size");
  }
  std::memcpy(page.data(), from, image.hole_offset);
  std::memset(page.data() + image.hole_offset, 0, image.hole_length);
  std::memcpy(page.data() + image.hole_offset + image.hole_length, from + image.hole_offset,
              size - image.hole_offset);
}

}  // namespace halogen
