#include "control/timestamp.h"

#include <fmt/chrono.h>
#include <fmt/core.h>

#include <chrono>

namespace halogen::control {
namespace {

using std::chrono::microseconds;

// Reads from the front of a text; what does not fit is noted, and the rest is of no use then.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  int digits(size_t count) {
    int value = 0;
    for (size_t i = 0; i < count; ++i) {
      if (!at_digit()) return bad_ = true, 0;
      value = value * 10 + (text_.front() - '0');
      text_.remove_prefix(1);
    }
    return value;
  }
  void any_of(std::string_view characters) {
    if (!take(characters)) bad_ = true;
  }
  bool take(std::string_view characters) {
    if (text_.empty() || characters.find(text_.front()) == std::string_view::npos) return false;
    text_.remove_prefix(1);
    return true;
  }
  bool at_digit() const { return !text_.empty() && text_.front() >= '0' && text_.front() <= '9'; }
  bool done() const { return text_.empty() && !bad_; }

 private:
  std::string_view text_;
  bool bad_ = false;
};

// ".123456", or nothing.
int64_t take_fraction(Scanner& in) {
  if (!in.take(".")) return 0;
  int64_t micros = in.digits(1) * 100'000;
  for (int64_t unit = 10'000; in.at_digit(); unit /= 10) micros += in.digits(1) * unit;
  return micros;
}

// "Z", "+01", "-0330" or "+05:30": minutes east of UTC.
std::optional<int> take_zone(Scanner& in) {
  if (in.take("Zz")) return 0;
  const bool west = in.take("-");
  if (!west) in.any_of("+");
  const int hours = in.digits(2);
  const int minutes = in.take(":") || in.at_digit() ? in.digits(2) : 0;
  if (hours > 15 || minutes > 59) return std::nullopt;
  return (west ? -1 : 1) * (hours * 60 + minutes);
}

}  // namespace

std::string timestamp(int64_t micros) {
  const std::chrono::sys_time<microseconds> at{microseconds(micros)};
  const auto seconds = std::chrono::floor<std::chrono::seconds>(at);
  std::string text = fmt::format("{:%Y-%m-%dT%H:%M:%S}", fmt::gmtime(seconds));
  const auto fraction = (at - seconds).count();
  return fraction == 0 ? text + "Z" : fmt::format("{}.{:06}Z", text, fraction);
}

std::optional<int64_t> parse_timestamp(std::string_view text) {
  Scanner in(text);
  const std::chrono::year year(in.digits(4));
  in.any_of("-");
  const std::chrono::month month(static_cast<unsigned>(in.digits(2)));
  in.any_of("-");
  const std::chrono::day day(static_cast<unsigned>(in.digits(2)));
  in.any_of("Tt ");
  const int hour = in.digits(2);
  in.any_of(":");
  const int minute = in.digits(2);
  in.any_of(":");
  const int second = in.digits(2);
  const int64_t fraction = take_fraction(in);
  const std::optional<int> zone = take_zone(in);
  const std::chrono::year_month_day date(year, month, day);
  if (!in.done() || !zone || !date.ok() || year < std::chrono::year(1970)) return std::nullopt;
  if (hour > 23 || minute > 59 || second > 60) return std::nullopt;
  const auto time = std::chrono::sys_days(date) + std::chrono::hours(hour) +
                    std::chrono::minutes(minute - *zone) + std::chrono::seconds(second);
  return microseconds(time.time_since_epoch()).count() + fraction;
}

}  // namespace halogen::control
