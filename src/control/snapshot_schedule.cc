#include "control/snapshot_schedule.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace halogen::control {
namespace {

using namespace std::chrono;
using Frequency = ScheduleItem::Frequency;

constexpr std::array<std::pair<const char*, Frequency>, 5> kFrequencies = {
    {{"hourly", Frequency::hourly},
     {"daily", Frequency::daily},
     {"weekly", Frequency::weekly},
     {"monthly", Frequency::monthly},
     {"yearly", Frequency::yearly}}};

constexpr int64_t kLeastRetention = 3600;

Frequency frequency_in(const nlohmann::json& item) {
  for (const auto& [name, frequency] : kFrequencies)
    if (item.value("frequency", "") == name) return frequency;
  throw Error(Errc::invalid_argument,
              "schedule.frequency must be hourly, daily, weekly, monthly or yearly");
}

int whole_in(const nlohmann::json& item, const char* name, int least, int most) {
  auto found = item.find(name);
  if (found == item.end() || found->is_null()) return least;
  if (!found->is_number_integer() || *found < least || *found > most)
    throw Error(Errc::invalid_argument, "schedule.{} must be from {} to {}", name, least, most);
  return found->get<int>();
}

// The day in that month, or its last one.
sys_days day_of(year_month in, int wanted) {
  const auto longest = static_cast<unsigned>((in / last).day());
  return sys_days(in / day(std::min(static_cast<unsigned>(wanted), longest)));
}

sys_seconds due_in(const ScheduleItem& item, year_month in) {
  return day_of(in, item.day) + hours(item.hour);
}

}  // namespace

std::vector<ScheduleItem> parse_schedule(const nlohmann::json& schedule) {
  std::vector<ScheduleItem> items;
  if (!schedule.is_array()) throw Error(Errc::invalid_argument, "schedule must be a list");
  for (const nlohmann::json& one : schedule) {
    if (!one.is_object()) throw Error(Errc::invalid_argument, "schedule must be a list of objects");
    ScheduleItem item;
    item.frequency = frequency_in(one);
    item.hour = whole_in(one, "hour", 0, 23);
    item.day = whole_in(one, "day", 1, item.frequency == Frequency::weekly ? 7 : 31);
    item.month = whole_in(one, "month", 1, 12);
    if (auto kept = one.find("retention_seconds"); kept != one.end() && !kept->is_null()) {
      if (!kept->is_number_integer() || *kept < kLeastRetention)
        throw Error(Errc::invalid_argument, "schedule.retention_seconds must be at least {}",
                    kLeastRetention);
      item.retention_seconds = kept->get<int64_t>();
    }
    items.push_back(item);
  }
  return items;
}

int64_t last_due(const ScheduleItem& item, int64_t now_micros) {
  const sys_time<microseconds> now{microseconds(now_micros)};
  const sys_days today = floor<days>(now);
  const year_month_day date(today);
  sys_seconds due;
  switch (item.frequency) {
    case Frequency::hourly:
      due = floor<hours>(now);
      break;
    case Frequency::daily:
      due = today + hours(item.hour);
      if (due > now) due -= days(1);
      break;
    case Frequency::weekly: {
      const auto since = weekday(today) - weekday(static_cast<unsigned>(item.day % 7));
      due = today - since + hours(item.hour);
      if (due > now) due -= weeks(1);
      break;
    }
    case Frequency::monthly: {
      const year_month in(date.year(), date.month());
      due = due_in(item, in);
      if (due > now) due = due_in(item, in - months(1));
      break;
    }
    case Frequency::yearly: {
      const year_month in = date.year() / month(static_cast<unsigned>(item.month));
      due = due_in(item, in);
      if (due > now) due = due_in(item, in - years(1));
      break;
    }
  }
  return duration_cast<microseconds>(due.time_since_epoch()).count();
}

}  // namespace halogen::control
