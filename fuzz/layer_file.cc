// A layer file, a manifest and a boot set made of any bytes: read within bounds, or refused.
//
// Checksums would stop nearly every input at the door, so the input is also taken as the parts
// behind them: an index with the footer that fits it, and a block.
#include "base/checksum.h"
#include "base/error.h"
#include "pageserver/boot_set.h"
#include "pageserver/layers/layer_format.h"
#include "pageserver/layers/manifest.h"

using namespace halogen;
using namespace halogen::pageserver;

namespace {

template <typename F>
void corrupt_or_good(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    CHECK(error.code() == Errc::corrupt, "{}", error.what());
  }
}

void read_block(Bytes stored, BlockRef ref) {
  ref.stored = static_cast<uint32_t>(stored.size());
  ref.crc = crc32c(stored);
  std::string raw = parse_block(stored, ref);
  CHECK(raw.size() == ref.raw);
  EntryView entry;
  size_t used = 0;
  for (BlockReader reader(as_bytes(raw)); reader.next(entry);) used += entry.bytes.size();
  CHECK(used <= raw.size());
}

void read_index(Bytes bytes, uint64_t offset) {
  LayerFooter footer;
  footer.index_offset = offset;
  footer.index_size = static_cast<uint32_t>(bytes.size());
  footer.index_crc = crc32c(bytes);
  LayerIndex index = parse_index(bytes, footer);
  for (const BlockRef& block : index.blocks) CHECK(block.offset + block.stored <= offset);
  CHECK(index.last_block(Key(), Lsn(1)) < static_cast<ptrdiff_t>(index.blocks.size()));
  (void)index.filter.may_contain(Key());
}

// With the checksum that it lacks.
std::string sealed(Bytes bytes) { return Writer().bytes(bytes).put(crc32c(bytes)).take(); }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Bytes input(reinterpret_cast<const std::byte*>(data), size);
  corrupt_or_good([&] { parse_footer(input, size); });
  corrupt_or_good([&] { parse_footer(as_bytes(sealed(input)), size); });
  corrupt_or_good([&] { Manifest::parse(as_bytes(sealed(input))); });
  (void)BootSet::parse(as_bytes(sealed(input)));
  if (size < 8) return 0;
  Reader in(input);
  auto number = in.get<uint32_t>();
  BlockRef ref;
  ref.raw = number % (1 << 20);
  corrupt_or_good([&] { read_block(in.rest(), ref); });
  ref.raw = static_cast<uint32_t>(in.left());  // Not compressed.
  corrupt_or_good([&] { read_block(in.rest(), ref); });
  corrupt_or_good([&] { read_index(in.rest(), number); });
  return 0;
}
