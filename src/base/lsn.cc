#include "base/lsn.h"

#include <fmt/core.h>

#include <charconv>

namespace halogen {

std::string Lsn::str() const { return fmt::format("{:X}/{:X}", value >> 32, value & 0xffffffff); }

static std::optional<uint64_t> parse_half(std::string_view text) {
  if (text.empty() || text.size() > 8) return std::nullopt;
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<Lsn> Lsn::parse(std::string_view text) {
  auto slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  auto high = parse_half(text.substr(0, slash));
  auto low = parse_half(text.substr(slash + 1));
  if (!high || !low) return std::nullopt;
  return Lsn(*high << 32 | *low);
}

}  // namespace halogen
