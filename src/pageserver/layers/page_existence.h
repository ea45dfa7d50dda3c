// page_existence.h: whether a page is there at an LSN, by the length of its relation or SLRU
// segment.
//
// Versions of pages that were cut off or dropped stay until a merge asks here.
#pragma once
#include <functional>
#include <map>
#include <optional>

#include "pageserver/layers/value.h"

namespace halogen::pageserver {

class PageExistence {
 public:
  using Read = std::function<Chain(const Key&, Lsn)>;
  explicit PageExistence(Read read) : read_(std::move(read)) {}

  // True for what is no page, and where the length is not known. Keys of one relation in a row cost
  // one read of the length for each LSN.
  bool operator()(const Key& key, Lsn lsn);

  // The key that has the length, and the place in it.
  static std::pair<Key, uint32_t> length_of(const Key& page);

 private:
  const Read read_;
  std::optional<Key> length_key_;
  std::map<Lsn, std::optional<uint32_t>> lengths_;  // nullopt: not known.
};

}  // namespace halogen::pageserver
