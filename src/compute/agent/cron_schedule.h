// cron_schedule.h: when jobs of pg_cron are due, by the text of their schedule: five fields as
// Vixie cron has them, in UTC, with pg_cron's "$" for a month's last day, a name such as "@daily",
// or "30 seconds". Pure; the text is a tenant's.
#pragma once
#include <chrono>
#include <optional>
#include <string_view>

namespace halogen::compute {

// Those that are due every so many seconds are due once in this time here: more often nobody is to
// be woken.
constexpr std::chrono::seconds kShortestInterval{60};

// The first moment after `after` when such a job is due. nullopt: it is due at no moment (as
// "@reboot", which is at each start), or pg_cron would not take it.
std::optional<std::chrono::sys_seconds> next_due(std::string_view schedule,
                                                 std::chrono::sys_seconds after);

}  // namespace halogen::compute
