// snapshot_schedule.h: when snapshots of a branch are taken. Pure.
#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace halogen::control {

// One line of a schedule. In UTC.
struct ScheduleItem {
  enum class Frequency { hourly, daily, weekly, monthly, yearly };

  Frequency frequency = Frequency::daily;
  int hour = 0;   // Not of hourly ones.
  int day = 1;    // Of the week (1: Monday) or of the month, as far as it has that many.
  int month = 1;  // Of yearly ones.
  std::optional<int64_t> retention_seconds;  // None: its snapshots stay.
};

// As the API has it: a list of objects. Throws invalid_argument, naming the member.
std::vector<ScheduleItem> parse_schedule(const nlohmann::json& schedule);

// The last moment at or before `now` at which it was due. Microseconds since 1970.
int64_t last_due(const ScheduleItem& item, int64_t now);

}  // namespace halogen::control
