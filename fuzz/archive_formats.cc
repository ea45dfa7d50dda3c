// Objects of an archive made of any bytes: read within bounds, or refused as corrupt. With the
// checksum that the input lacks, too.
#include "archive/formats.h"
#include "archive/wal_chain.h"
#include "base/checksum.h"
#include "base/error.h"

using namespace halogen;
using namespace halogen::archive;

namespace {

template <typename F>
void corrupt_or_good(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    CHECK(error.code() == Errc::corrupt, "{}", error.what());
  }
}

void read_all(Bytes bytes) {
  corrupt_or_good([&] {
    const ArchivedManifest manifest = ArchivedManifest::parse(bytes);
    CHECK(manifest.manifest.size() <= bytes.size());
  });
  corrupt_or_good([&] { CHECK(WalPiece::parse(bytes).wal.size() <= bytes.size()); });
  corrupt_or_good([&] { CHECK(unwrap(bytes).size() <= bytes.size()); });
  corrupt_or_good(
      [&] { CHECK(encode_layer_note({}, parse_layer_note(bytes, {})) == as_text(bytes)); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes input(reinterpret_cast<const std::byte*>(data), size);
  read_all(input);
  read_all(as_bytes(Writer().bytes(input).put(crc32c(input)).view()));
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto key = parse_timeline_key(text))
    CHECK(std::visit([&](const auto& what) { return key_of(key->timeline, what); }, key->what) ==
          text);
  return 0;
}
