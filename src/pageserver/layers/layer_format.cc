#include "pageserver/layers/layer_format.h"

#include <lz4.h>

#include <algorithm>

#include "base/checksum.h"
#include "base/error.h"

namespace halogen::pageserver {

namespace {

constexpr uint64_t kFooterMagic = 0x31304659414c4748;  // "HGLAYF01"
constexpr uint32_t kVersion = 1;
constexpr size_t kBlockRefSize = 48;
constexpr size_t kEntryHead = 33;
constexpr uint32_t kMaxRawBlock = 0x7e000000;  // The most that LZ4 takes.
constexpr size_t kFilterBitsPerKey = 10;
constexpr int kFilterProbes = 7;

void put_key(Writer& out, const Key& key) { out.put(key); }

Key get_key(Reader& in) {
  Key key = in.get<Key>();
  if (key.kind > KeyKind::relcache_change || key.unused != 0)
    throw Error(Errc::corrupt, "layer file: a key of kind {}", static_cast<int>(key.kind));
  return key;
}

uint64_t mix(uint64_t a) {
  a = (a ^ a >> 33) * 0xff51afd7ed558ccd;
  a = (a ^ a >> 33) * 0xc4ceb9fe1a85ec53;
  return a ^ a >> 33;
}

}  // namespace

uint64_t KeyFilter::hash(const Key& key) {
  uint64_t a = static_cast<uint64_t>(key.rel) << 32 | key.block;
  uint64_t b = static_cast<uint64_t>(key.spc) << 32 | key.db;
  uint64_t c = static_cast<uint64_t>(key.kind) << 8 | key.fork;
  return mix(a + mix(b + mix(c + 0x9e3779b97f4a7c15)));
}

KeyFilter KeyFilter::build(const std::vector<uint64_t>& hashes) {
  size_t bytes = (hashes.size() * kFilterBitsPerKey + 63) / 64 * 8;
  std::string bits(std::max<size_t>(bytes, 8), '\0');
  uint64_t size = bits.size() * 8;
  for (uint64_t hash : hashes) {
    uint64_t step = hash >> 32 | 1;
    for (int i = 0; i < kFilterProbes; i++, hash += step)
      bits[hash % size / 8] |= static_cast<char>(1 << hash % size % 8);
  }
  return KeyFilter(std::move(bits));
}

bool KeyFilter::may_contain(const Key& key) const {
  if (bits_.empty()) return true;
  uint64_t size = bits_.size() * 8;
  uint64_t at = hash(key);
  uint64_t step = at >> 32 | 1;
  for (int i = 0; i < kFilterProbes; i++, at += step)
    if (!(bits_[at % size / 8] & 1 << at % size % 8)) return false;
  return true;
}

ptrdiff_t LayerIndex::last_block(const Key& key, Lsn lsn) const {
  auto after = std::upper_bound(blocks.begin(), blocks.end(), std::pair(key, lsn),
                                [](const std::pair<Key, Lsn>& at, const BlockRef& block) {
                                  return at < std::pair(block.first_key, block.first_lsn);
                                });
  return after - blocks.begin() - 1;
}

void BlockBuilder::add(const EntryView& entry) {
  if (empty()) {
    first_key_ = entry.key;
    first_lsn_ = entry.lsn;
  }
  put_key(out_, entry.key);
  out_.put(entry.lsn).put(static_cast<uint32_t>(entry.bytes.size())).put(entry.kind);
  out_.bytes(entry.bytes);
}

std::string BlockBuilder::finish(BlockRef& ref) {
  std::string raw = out_.take();
  out_ = Writer();
  CHECK(raw.size() <= kMaxRawBlock, "a block of {} bytes", raw.size());
  std::string stored(static_cast<size_t>(LZ4_compressBound(static_cast<int>(raw.size()))), '\0');
  int size = LZ4_compress_default(raw.data(), stored.data(), static_cast<int>(raw.size()),
                                  static_cast<int>(stored.size()));
  CHECK(size > 0);
  stored.resize(static_cast<size_t>(size));
  ref.first_key = first_key_;
  ref.first_lsn = first_lsn_;
  ref.raw = static_cast<uint32_t>(raw.size());
  if (stored.size() >= raw.size()) stored = std::move(raw);
  ref.stored = static_cast<uint32_t>(stored.size());
  ref.crc = crc32c(as_bytes(stored));
  return stored;
}

bool BlockReader::next(EntryView& entry) {
  if (reader_.empty()) return false;
  Bytes head = reader_.take(kEntryHead);
  Reader in(head);
  entry.key = get_key(in);
  entry.lsn = in.get<Lsn>();
  auto size = in.get<uint32_t>();
  auto kind = in.get<uint8_t>();
  if (kind > static_cast<uint8_t>(ValueKind::native))
    throw Error(Errc::corrupt, "layer file: a value of kind {}", kind);
  entry.kind = static_cast<ValueKind>(kind);
  entry.bytes = reader_.take(size);
  return true;
}

// Part of the file format. An odd factor keeps all layers of one timeline apart.
uint64_t layer_identity(const TimelineId& timeline, uint64_t layer) {
  Reader in(std::as_bytes(std::span(timeline.bytes)));
  const uint64_t high = in.get<uint64_t>(), low = in.get<uint64_t>();
  const uint64_t identity = mix(high ^ mix(low)) ^ layer * 0x9e3779b97f4a7c15;
  return identity != 0 ? identity : 1;
}

std::string encode_footer(const LayerFooter& footer) {
  Writer out;
  out.put(kFooterMagic).put(kVersion);
  put_key(out, footer.first);
  put_key(out, footer.last);
  out.put(footer.min_lsn).put(footer.max_lsn).put(footer.entries);
  out.put(footer.index_offset).put(footer.index_size).put(footer.index_crc);
  out.put(footer.identity);
  out.put(crc32c(as_bytes(out.view())));
  CHECK(out.size() == kLayerFooterSize, "{}", out.size());
  return out.take();
}

LayerFooter parse_footer(Bytes bytes, uint64_t file_size) {
  if (bytes.size() != kLayerFooterSize)
    throw Error(Errc::corrupt, "layer file: the footer has {} bytes", bytes.size());
  Bytes body = bytes.first(kLayerFooterSize - 4);
  if (crc32c(body) != load<uint32_t>(bytes.data() + body.size()))
    throw Error(Errc::corrupt, "layer file: the footer's checksum does not match");
  Reader in(body);
  if (in.get<uint64_t>() != kFooterMagic) throw Error(Errc::corrupt, "not a layer file");
  if (auto version = in.get<uint32_t>(); version != kVersion)
    throw Error(Errc::corrupt, "layer file of version {}; this program reads {}", version,
                kVersion);
  LayerFooter out;
  out.first = get_key(in);
  out.last = get_key(in);
  out.min_lsn = in.get<Lsn>();
  out.max_lsn = in.get<Lsn>();
  out.entries = in.get<uint64_t>();
  out.index_offset = in.get<uint64_t>();
  out.index_size = in.get<uint32_t>();
  out.index_crc = in.get<uint32_t>();
  out.identity = in.get<uint64_t>();
  uint64_t body_end = file_size - std::min<uint64_t>(file_size, kLayerFooterSize);
  if (out.index_offset < kLayerHeader.size() || out.index_offset > body_end ||
      body_end - out.index_offset != out.index_size)
    throw Error(Errc::corrupt, "layer file: the index is not where it must be");
  return out;
}

std::string encode_index(const LayerIndex& index) {
  Writer out;
  out.put(static_cast<uint32_t>(index.blocks.size()));
  for (const BlockRef& block : index.blocks) {
    put_key(out, block.first_key);
    out.put(block.first_lsn).put(block.offset);
    out.put(block.stored).put(block.raw).put(block.crc);
  }
  out.put(static_cast<uint32_t>(index.filter.bits().size()));
  out.text(index.filter.bits());
  return out.take();
}

LayerIndex parse_index(Bytes bytes, const LayerFooter& footer) {
  if (bytes.size() != footer.index_size || crc32c(bytes) != footer.index_crc)
    throw Error(Errc::corrupt, "layer file: the index's checksum does not match");
  Reader in(bytes);
  LayerIndex out;
  auto count = in.get<uint32_t>();
  if (count > in.left() / kBlockRefSize)
    throw Error(Errc::corrupt, "layer file: an index of {} blocks in {} bytes", count, in.left());
  out.blocks.reserve(count);
  uint64_t offset = kLayerHeader.size();
  for (uint32_t i = 0; i < count; i++) {
    BlockRef block;
    block.first_key = get_key(in);
    block.first_lsn = in.get<Lsn>();
    block.offset = in.get<uint64_t>();
    block.stored = in.get<uint32_t>();
    block.raw = in.get<uint32_t>();
    block.crc = in.get<uint32_t>();
    if (block.offset != offset || block.stored > footer.index_offset - offset)
      throw Error(Errc::corrupt, "layer file: block {} is not where it must be", i);
    offset += block.stored;
    out.blocks.push_back(block);
  }
  if (offset != footer.index_offset)
    throw Error(Errc::corrupt, "layer file: the blocks do not reach the index");
  Bytes bits = in.take(in.get<uint32_t>());
  if (!in.empty()) throw Error(Errc::corrupt, "layer file: bytes after the index");
  out.filter = KeyFilter(std::string(as_text(bits)));
  return out;
}

std::string parse_block(Bytes stored, const BlockRef& ref) {
  if (stored.size() != ref.stored || crc32c(stored) != ref.crc)
    throw Error(Errc::corrupt, "the checksum does not match");
  if (ref.stored == ref.raw) return std::string(as_text(stored));
  // LZ4 makes at most 255 bytes out of one: more is a lie that must not cost memory.
  if (ref.raw > kMaxRawBlock || ref.raw / 255 > ref.stored)
    throw Error(Errc::corrupt, "{} bytes cannot hold {}", ref.stored, ref.raw);
  std::string raw(ref.raw, '\0');
  int size = LZ4_decompress_safe(reinterpret_cast<const char*>(stored.data()), raw.data(),
                                 static_cast<int>(stored.size()), static_cast<int>(raw.size()));
  if (size < 0 || static_cast<size_t>(size) != raw.size())
    throw Error(Errc::corrupt, "it does not decompress");
  return raw;
}

}  // namespace halogen::pageserver
