// lsn.h: a position in the write-ahead log, in bytes since its beginning, printed as Postgres does.
#pragma once
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace halogen {

struct Lsn {
  uint64_t value = 0;

  constexpr Lsn() = default;
  constexpr explicit Lsn(uint64_t v) : value(v) {}

  constexpr bool valid() const { return value != 0; }
  constexpr auto operator<=>(const Lsn&) const = default;
  constexpr Lsn operator+(uint64_t bytes) const { return Lsn(value + bytes); }
  constexpr Lsn operator-(uint64_t bytes) const { return Lsn(value - bytes); }
  constexpr uint64_t operator-(Lsn other) const { return value - other.value; }

  // "16/B374D848", as Postgres prints it.
  std::string str() const;
  // Accepts what Postgres accepts: 1-8 hex digits, '/', 1-8 hex digits.
  static std::optional<Lsn> parse(std::string_view text);
};

constexpr Lsn kInvalidLsn{};

}  // namespace halogen
