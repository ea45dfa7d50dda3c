#include "base/bytes.h"

#include <algorithm>

#include "base/error.h"

namespace halogen {

std::string_view Reader::cstring() {
  auto end = std::find(rest_.begin(), rest_.end(), std::byte{0});
  if (end == rest_.end()) throw Error(Errc::corrupt, "string without its terminating zero");
  std::string_view text = as_text(rest_.first(end - rest_.begin()));
  rest_ = rest_.subspan(text.size() + 1);
  return text;
}

void Reader::overrun(size_t wanted) const {
  throw Error(Errc::corrupt, "{} bytes wanted where {} are left", wanted, rest_.size());
}

std::string to_hex(Bytes bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(bytes.size() * 2);
  for (std::byte b : bytes) {
    hex.push_back(kDigits[static_cast<unsigned>(b) >> 4]);
    hex.push_back(kDigits[static_cast<unsigned>(b) & 15]);
  }
  return hex;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void from_hex(std::string_view hex, std::span<std::byte> out) {
  if (hex.size() != out.size() * 2)
    throw Error(Errc::invalid_argument, "{} hex digits expected, got {}", out.size() * 2,
                hex.size());
  for (size_t i = 0; i < out.size(); ++i) {
    int high = hex_digit(hex[2 * i]);
    int low = hex_digit(hex[2 * i + 1]);
    if (high < 0 || low < 0) throw Error(Errc::invalid_argument, "not a hex digit");
    out[i] = static_cast<std::byte>(high << 4 | low);
  }
}

}  // namespace halogen
