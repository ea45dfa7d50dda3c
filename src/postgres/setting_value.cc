#include "postgres/setting_value.h"

#include <fmt/core.h>

#include <cerrno>
#include <climits>
#include <cmath>
#include <cstdlib>
#include <span>

namespace halogen::setting {
namespace {

struct Measure {
  std::string_view name;
  double size;  // In bytes, or in microseconds.
};

// From large to small: a fraction is rounded to whole ones of the next.
constexpr Measure kMemory[] = {{"TB", 1024.0 * 1024 * 1024 * 1024},
                               {"GB", 1024.0 * 1024 * 1024},
                               {"MB", 1024.0 * 1024},
                               {"kB", 1024},
                               {"B", 1}};
constexpr Measure kTime[] = {{"d", 86'400e6}, {"h", 3'600e6}, {"min", 60e6},
                             {"s", 1e6},      {"ms", 1e3},    {"us", 1}};

struct UnitNature {
  std::span<const Measure> measures;
  double size;
  std::string_view name;
};

UnitNature nature(Unit unit) {
  switch (unit) {
    case Unit::bytes:
      return {kMemory, 1, "B"};
    case Unit::kilobytes:
      return {kMemory, 1024, "kB"};
    case Unit::megabytes:
      return {kMemory, 1024 * 1024, "MB"};
    case Unit::blocks:
      return {kMemory, 8192, "kB"};
    case Unit::milliseconds:
      return {kTime, 1e3, "ms"};
    case Unit::seconds:
      return {kTime, 1e6, "s"};
    case Unit::minutes:
      return {kTime, 60e6, "min"};
    case Unit::none:
      break;
  }
  return {{}, 1, ""};
}

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

std::string_view skip_spaces(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  return text;
}

// `value` measured in what `rest` names, as a number of `unit`. No measure: it is one already.
std::optional<double> convert(double value, std::string_view rest, Unit unit) {
  if (std::isnan(value)) return std::nullopt;
  rest = skip_spaces(rest);
  if (rest.empty()) return value;
  size_t length = 0;
  while (length < rest.size() && !is_space(rest[length])) ++length;
  if (!skip_spaces(rest.substr(length)).empty()) return std::nullopt;
  const auto [measures, size, name] = nature(unit);
  for (size_t i = 0; i < measures.size(); ++i) {
    if (measures[i].name != rest.substr(0, length)) continue;
    double converted = value * (measures[i].size / size);
    if (i + 1 == measures.size()) return converted;
    double smaller = measures[i + 1].size / size;
    return std::rint(converted / smaller) * smaller;
  }
  return std::nullopt;
}

bool has_zero(const std::string& text) { return text.find('\0') != std::string::npos; }

}  // namespace

std::optional<int> parse_integer(const std::string& text, Unit unit) {
  if (has_zero(text)) return std::nullopt;
  char* end = nullptr;
  errno = 0;
  double value = static_cast<double>(std::strtol(text.c_str(), &end, 0));
  if (*end == '.' || *end == 'e' || *end == 'E' || errno == ERANGE) {
    errno = 0;
    value = std::strtod(text.c_str(), &end);
  }
  if (end == text.c_str() || errno == ERANGE) return std::nullopt;
  std::optional<double> converted = convert(value, end, unit);
  if (!converted) return std::nullopt;
  double whole = std::rint(*converted);
  if (!(whole >= INT_MIN && whole <= INT_MAX)) return std::nullopt;
  return static_cast<int>(whole);
}

std::optional<double> parse_real(const std::string& text, Unit unit) {
  if (has_zero(text)) return std::nullopt;
  char* end = nullptr;
  errno = 0;
  double value = std::strtod(text.c_str(), &end);
  if (end == text.c_str() || errno == ERANGE) return std::nullopt;
  return convert(value, end, unit);
}

// Any beginning of a word that is none of another's.
std::optional<bool> parse_bool(std::string_view text) {
  const std::string word = lower(std::string(text));
  auto begins = [&](std::string_view whole, size_t least) {
    return word.size() >= least && whole.starts_with(word);
  };
  if (begins("true", 1) || begins("yes", 1) || begins("on", 2) || word == "1") return true;
  if (begins("false", 1) || begins("no", 1) || begins("off", 2) || word == "0") return false;
  return std::nullopt;
}

std::string format_number(double number, Unit unit) {
  if (unit == Unit::blocks) number *= 8;
  return fmt::format("{:.15g}{}", number, nature(unit).name);
}

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

}  // namespace halogen::setting
