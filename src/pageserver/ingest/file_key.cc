#include "pageserver/ingest/file_key.h"

#include "base/error.h"

namespace halogen::pageserver {
namespace {

// FNV-1a with a final mix; two seeds make 128 bits. Paths are ours and Postgres', never a client's.
uint64_t hash(std::string_view text, uint64_t seed) {
  uint64_t h = 0xCBF29CE484222325u ^ seed;
  for (char c : text) h = (h ^ static_cast<uint8_t>(c)) * 0x100000001B3u;
  h = (h ^ h >> 32) * 0x9E3779B97F4A7C15u;
  return h ^ h >> 29;
}

}  // namespace

Key file_key(std::string_view path) {
  uint64_t a = hash(path, 0);
  uint64_t b = hash(path, 0xA5A5A5A5DEADBEEFu);
  Key key;
  key.kind = KeyKind::file;
  key.spc = static_cast<uint32_t>(a >> 32);
  key.db = static_cast<uint32_t>(a);
  key.rel = static_cast<uint32_t>(b >> 32);
  key.block = static_cast<uint32_t>(b);
  return key;
}

std::string encode_file(std::string_view path, std::string_view content) {
  Writer out;
  out.put(static_cast<uint16_t>(path.size())).text(path).text(content);
  return out.take();
}

StoredFile decode_file(std::string_view value) {
  Reader in(value);
  auto size = in.get<uint16_t>();
  std::string path(as_text(in.take(size)));
  return {std::move(path), std::string(as_text(in.rest()))};
}

}  // namespace halogen::pageserver
