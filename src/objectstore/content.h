// content.h: what an object is made of, without holding it all in memory.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/file.h"

namespace halogen::objectstore {

// Bytes in memory, or of a file. Can be read any number of times: an upload may be repeated.
class Content {
 public:
  static Content of(std::string bytes);
  // The whole file, which must not change. not_found, io.
  static Content of_file(const fs::path& path);

  uint64_t size() const { return size_; }
  // All of `into`. Throws corrupt if the file has become shorter.
  void read(uint64_t offset, std::span<std::byte> into) const;
  // Calls `take` with the whole, piece by piece.
  template <typename Take>
  void each_piece(Take take) const {
    std::string piece(kPiece, '\0');
    for (uint64_t at = 0; at < size_; at += kPiece) {
      auto part = std::as_writable_bytes(std::span(piece)).first(std::min(kPiece, size_ - at));
      read(at, part);
      take(Bytes(part));
    }
  }

 private:
  static constexpr uint64_t kPiece = 256 << 10;
  Content() = default;

  std::shared_ptr<const std::string> bytes_;
  std::shared_ptr<const UniqueFd> file_;
  uint64_t size_ = 0;
};

}  // namespace halogen::objectstore
