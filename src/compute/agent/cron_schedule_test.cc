#include "compute/agent/cron_schedule.h"

#include <gtest/gtest.h>

#include <string>

namespace halogen::compute {
namespace {

using namespace std::chrono;

constexpr sys_seconds at(year_month_day date, int hour = 0, int minute = 0, int second = 0) {
  return sys_days(date) + hours(hour) + minutes(minute) + seconds(second);
}

constexpr year_month_day kMonday = 2026y / 3 / 2;

std::optional<sys_seconds> due(std::string_view schedule, sys_seconds after = at(kMonday, 10, 30)) {
  return next_due(schedule, after);
}

TEST(CronSchedule, MinutesAndHours) {
  EXPECT_EQ(due("* * * * *"), at(kMonday, 10, 31));
  EXPECT_EQ(due("* * * * *", at(kMonday, 10, 29, 59)), at(kMonday, 10, 30));
  EXPECT_EQ(due("30 10 * * *"), at(2026y / 3 / 3, 10, 30));
  EXPECT_EQ(due("*/20 * * * *"), at(kMonday, 10, 40));
  EXPECT_EQ(due("5,50-55/5 * * * *"), at(kMonday, 10, 50));
  EXPECT_EQ(due("  0\t9-17   * * *  "), at(kMonday, 11));
  EXPECT_EQ(due("59 23 * * *"), at(kMonday, 23, 59));
  EXPECT_EQ(due("0 0 * * *", at(2026y / 12 / 31, 23, 59, 59)), at(2027y / 1 / 1));
}

TEST(CronSchedule, DaysMonthsAndTheirNames) {
  EXPECT_EQ(due("0 0 1 * *"), at(2026y / 4 / 1));
  EXPECT_EQ(due("0 0 * jun *"), at(2026y / 6 / 1));
  EXPECT_EQ(due("0 0 * * fri"), at(2026y / 3 / 6));
  EXPECT_EQ(due("0 0 * * SUN"), at(2026y / 3 / 8));
  EXPECT_EQ(due("0 0 * * 7"), at(2026y / 3 / 8));
  EXPECT_EQ(due("0 0 29 2 *"), at(2028y / 2 / 29));
  EXPECT_EQ(due("0 0 $ * *"), at(2026y / 3 / 31));
  EXPECT_EQ(due("0 0 $ 2 *"), at(2027y / 2 / 28));
}

// Vixie's rule: with both given, either is enough; with a star, both must fit.
TEST(CronSchedule, DaysOfMonthAndOfWeek) {
  EXPECT_EQ(due("0 0 20 * thu"), at(2026y / 3 / 5));
  EXPECT_EQ(due("0 0 3 * thu"), at(2026y / 3 / 3));
  EXPECT_EQ(due("0 0 */2 * thu"), at(2026y / 3 / 5));
  EXPECT_EQ(due("0 0 */2 * wed"), at(2026y / 3 / 11));
}

TEST(CronSchedule, NamesAndIntervals) {
  EXPECT_EQ(due("@hourly"), at(kMonday, 11));
  EXPECT_EQ(due("@daily"), at(2026y / 3 / 3));
  EXPECT_EQ(due("@midnight"), at(2026y / 3 / 3));
  EXPECT_EQ(due("@weekly"), at(2026y / 3 / 8));
  EXPECT_EQ(due("@monthly"), at(2026y / 4 / 1));
  EXPECT_EQ(due("@yearly"), at(2027y / 1 / 1));
  EXPECT_EQ(due("@reboot"), std::nullopt);
  EXPECT_EQ(due("5 seconds"), at(kMonday, 10, 31));
}

TEST(CronSchedule, WhatMakesNoSenseIsNeverDue) {
  for (const char* text : {"",
                           " ",
                           "*",
                           "* * * *",
                           "60 * * * *",
                           "* 24 * * *",
                           "* * 0 * *",
                           "* * 32 * *",
                           "* * * 13 *",
                           "* * * * 8",
                           "5/2 * * * *",
                           "*/0 * * * *",
                           "-1 * * * *",
                           "1- * * * *",
                           "a * * * *",
                           "1,, * * * *",
                           ", * * * *",
                           "$ * * * *",
                           "@never",
                           "@",
                           "0 seconds",
                           "99999999999 * * * *",
                           "*/99999999999 * * * *",
                           "0 0 31 2 *",
                           "0 0 30 feb *",
                           "5-3 * * * *",
                           "1 hours"})
    EXPECT_EQ(due(text), std::nullopt) << text;
  EXPECT_EQ(due(std::string(100'000, '*')), std::nullopt);
  EXPECT_EQ(due("*/2147483647 * * * *"), at(kMonday, 11)) << "its first value alone";
}

}  // namespace
}  // namespace halogen::compute
