// test_support.h: what the tests of this module share. Only tests include it.
#pragma once
#include <unistd.h>

#include "base/error.h"
#include "pageserver/layers/timeline_store.h"

namespace halogen::pageserver {

class TempFolder {
 public:
  TempFolder() : path_(fs::temp_directory_path() / ("halogen-ps-" + random_name(10))) {
    fs::create_directories(path_);
  }
  ~TempFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }
  fs::path operator/(const std::string& name) const { return path_ / name; }

 private:
  fs::path path_;
};

inline Key page_key(uint32_t rel, uint32_t block) {
  return Key::page({RelTag::relation(1663, 5, rel, Fork::main), block});
}
inline Key size_key(uint32_t rel) {
  return Key::relation_size(RelTag::relation(1663, 5, rel, Fork::main));
}

inline Put make_put(const Key& key, ValueKind kind, const std::string& bytes) {
  return {key, kind, as_bytes(bytes)};
}

// "lsn kind bytes, ..." of a chain, oldest first.
inline std::string describe(const Chain& chain) {
  std::string out;
  for (const Value& value : chain)
    out += fmt::format("{}{}:{}:{}", out.empty() ? "" : " ", value.lsn.value,
                       static_cast<int>(value.kind), value.bytes.substr(0, 40));
  return out;
}

template <typename F>
Errc thrown_by(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.code();
  }
  return Errc::internal;  // No test expects this one.
}

inline Deadline soon() { return Deadline::after(std::chrono::seconds(20)); }

}  // namespace halogen::pageserver
