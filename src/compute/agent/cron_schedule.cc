#include "compute/agent/cron_schedule.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <cctype>
#include <charconv>
#include <span>

namespace halogen::compute {
namespace {

using std::chrono::days;
using std::chrono::sys_days;
using std::chrono::sys_seconds;

constexpr size_t kLongestSchedule = 1000;
// A schedule that is ever due is due within eight years: on a 29 February.
constexpr days kHorizon{366 * 8 + 1};

using Bits = std::bitset<64>;

struct Field {
  Bits values;
  bool star = false;      // Begins with "*": of the days, the other one decides alone then.
  bool last_day = false;  // "$"
};

struct Schedule {
  Field minute, hour, day, month, weekday;
};

constexpr std::array<std::string_view, 12> kMonths = {"jan", "feb", "mar", "apr", "may", "jun",
                                                      "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> kWeekdays = {"sun", "mon", "tue", "wed",
                                                       "thu", "fri", "sat"};

std::string_view expanded(std::string_view name) {
  struct Named {
    std::string_view name, fields;
  };
  constexpr Named kNamed[] = {{"@yearly", "0 0 1 1 *"},  {"@annually", "0 0 1 1 *"},
                              {"@monthly", "0 0 1 * *"}, {"@weekly", "0 0 * * 0"},
                              {"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
                              {"@hourly", "0 * * * *"}};
  for (const Named& one : kNamed)
    if (one.name == name) return one.fields;
  return name;
}

bool is_blank(char c) { return c == ' ' || c == '\t'; }

// The next word; what is left begins behind it. Empty: there is none.
std::string_view take_word(std::string_view& text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  const size_t end = std::min(text.find_first_of(" \t"), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(end);
  return word;
}

std::optional<int> parse_number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || value < 0)
    return std::nullopt;
  return value;
}

// One field's values, and the names of some.
struct Kind {
  int low, high;
  std::span<const std::string_view> names;

  std::optional<int> parse(std::string_view text) const {
    std::optional<int> value = parse_number(text);
    for (size_t i = 0; i < names.size(); ++i)
      if (std::ranges::equal(text, names[i], {}, [](unsigned char c) { return std::tolower(c); }))
        value = static_cast<int>(i) + (low == 1 ? 1 : 0);
    if (!value || *value < low || *value > high) return std::nullopt;
    return value;
  }
};

// "*", "7", "1-5", "*/2" or "1-30/3".
bool add_range(std::string_view text, const Kind& kind, Field& field) {
  const size_t slash = std::min(text.find('/'), text.size());
  int step = 1;
  if (slash < text.size()) {
    const std::optional<int> given = parse_number(text.substr(slash + 1));
    if (!given || *given == 0) return false;
    step = *given;
  }
  const std::string_view range = text.substr(0, slash);
  std::optional<int> first = kind.low, last = kind.high;
  if (range != "*") {
    const size_t dash = std::min(range.find('-'), range.size());
    if (dash == range.size() && slash < text.size()) return false;
    first = kind.parse(range.substr(0, dash));
    last = dash < range.size() ? kind.parse(range.substr(dash + 1)) : first;
  }
  if (!first || !last) return false;
  for (int64_t value = *first; value <= *last; value += step)
    field.values.set(static_cast<size_t>(value));
  return true;
}

bool parse_field(std::string_view text, const Kind& kind, Field& field) {
  field.star = text.starts_with('*');
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    const std::string_view part = text.substr(0, comma);
    if (part == "$" && kind.high == 31)
      field.last_day = true;
    else if (!add_range(part, kind, field))
      return false;
    text.remove_prefix(comma);
    if (text.empty()) return true;
    text.remove_prefix(1);
  }
  return false;
}

std::optional<Schedule> parse(std::string_view text) {
  Schedule schedule;
  const bool good = parse_field(take_word(text), {0, 59, {}}, schedule.minute) &&
                    parse_field(take_word(text), {0, 23, {}}, schedule.hour) &&
                    parse_field(take_word(text), {1, 31, {}}, schedule.day) &&
                    parse_field(take_word(text), {1, 12, kMonths}, schedule.month) &&
                    parse_field(take_word(text), {0, 7, kWeekdays}, schedule.weekday);
  if (!good || schedule.minute.values.none() || schedule.hour.values.none()) return std::nullopt;
  if (schedule.weekday.values[7]) schedule.weekday.values.set(0);
  return schedule;
}

bool is_due_on(const Schedule& schedule, sys_days day) {
  const std::chrono::year_month_day date(day);
  if (!schedule.month.values[static_cast<unsigned>(date.month())]) return false;
  const bool last = std::chrono::year_month_day(day + days(1)).month() != date.month();
  const bool by_day =
      schedule.day.values[static_cast<unsigned>(date.day())] || (schedule.day.last_day && last);
  const bool by_weekday = schedule.weekday.values[std::chrono::weekday(day).c_encoding()];
  return schedule.day.star || schedule.weekday.star ? by_day && by_weekday : by_day || by_weekday;
}

// The first moment on that day that is not before `from`.
std::optional<sys_seconds> first_on(const Schedule& schedule, sys_days day, sys_seconds from) {
  for (int hour = 0; hour < 24; ++hour) {
    if (!schedule.hour.values[static_cast<size_t>(hour)]) continue;
    for (int minute = 0; minute < 60; ++minute) {
      const sys_seconds at = day + std::chrono::hours(hour) + std::chrono::minutes(minute);
      if (schedule.minute.values[static_cast<size_t>(minute)] && at >= from) return at;
    }
  }
  return std::nullopt;
}

bool is_interval(std::string_view text) {
  const std::optional<int> count = parse_number(take_word(text));
  const std::string_view unit = take_word(text);
  return count && *count > 0 && *count < 60 && (unit == "seconds" || unit == "second") &&
         take_word(text).empty();
}

}  // namespace

std::optional<sys_seconds> next_due(std::string_view text, sys_seconds after) {
  if (text.size() > kLongestSchedule) return std::nullopt;
  if (is_interval(text)) return after + kShortestInterval;
  std::string_view rest = text;
  const std::string_view first = take_word(rest);
  const std::optional<Schedule> schedule = parse(first.starts_with('@') ? expanded(first) : text);
  if (!schedule) return std::nullopt;
  const sys_seconds from = after + std::chrono::seconds(1);
  const auto today = std::chrono::floor<days>(from);
  for (sys_days day = today; day <= today + kHorizon; day += days(1)) {
    if (!is_due_on(*schedule, day)) continue;
    if (auto due = first_on(*schedule, day, from)) return due;
  }
  return std::nullopt;
}

}  // namespace halogen::compute
