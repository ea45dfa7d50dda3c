// setting_value.h: the values of settings as Postgres reads them, in a file or in SET. Pure.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace halogen::setting {

// What a number without a unit counts. A block is 8 kB.
enum class Unit { none, bytes, kilobytes, megabytes, blocks, milliseconds, seconds, minutes };

// The number in `unit`; nullopt for what Postgres does not take for one. Ranges are the caller's.
std::optional<int> parse_integer(const std::string& text, Unit unit);
std::optional<double> parse_real(const std::string& text, Unit unit);
std::optional<bool> parse_bool(std::string_view text);

// A number in `unit` for people to read and Postgres to take: "64kB", "10".
std::string format_number(double number, Unit unit);

// ASCII letters only, as Postgres compares names and words.
std::string lower(std::string text);

}  // namespace halogen::setting
