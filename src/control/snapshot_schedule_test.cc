#include "control/snapshot_schedule.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "control/timestamp.h"

namespace halogen::control {
namespace {

std::string due(const char* item, const char* now) {
  const auto items = parse_schedule(nlohmann::json::array({nlohmann::json::parse(item)}));
  return timestamp(last_due(items.at(0), *parse_timestamp(now)));
}

TEST(SnapshotSchedule, IsDueAtTheLastMomentThatFits) {
  EXPECT_EQ(due(R"({"frequency":"hourly"})", "2026-03-01T10:59:59Z"), "2026-03-01T10:00:00Z");
  const char* daily = R"({"frequency":"daily","hour":3})";
  EXPECT_EQ(due(daily, "2026-03-01T03:00:00Z"), "2026-03-01T03:00:00Z");
  EXPECT_EQ(due(daily, "2026-03-01T02:59:59Z"), "2026-02-28T03:00:00Z");
  const char* weekly = R"({"frequency":"weekly","day":1,"hour":12})";  // Mondays.
  EXPECT_EQ(due(weekly, "2026-03-04T00:00:00Z"), "2026-03-02T12:00:00Z");
  EXPECT_EQ(due(weekly, "2026-03-02T11:00:00Z"), "2026-02-23T12:00:00Z");
  EXPECT_EQ(due(R"({"frequency":"weekly","day":7})", "2026-03-01T11:00:00Z"),
            "2026-03-01T00:00:00Z");
  const char* monthly = R"({"frequency":"monthly","day":31,"hour":1})";
  EXPECT_EQ(due(monthly, "2026-03-05T00:00:00Z"), "2026-02-28T01:00:00Z");
  EXPECT_EQ(due(monthly, "2026-01-05T00:00:00Z"), "2025-12-31T01:00:00Z");
  const char* yearly = R"({"frequency":"yearly","month":2,"day":29})";
  EXPECT_EQ(due(yearly, "2024-03-01T00:00:00Z"), "2024-02-29T00:00:00Z");
  EXPECT_EQ(due(yearly, "2026-01-01T00:00:00Z"), "2025-02-28T00:00:00Z");
}

TEST(SnapshotSchedule, WhatMakesNoSenseIsRefused) {
  for (const char* item :
       {R"({"frequency":"often"})", R"({"frequency":"daily","hour":24})", R"({"frequency":7})",
        R"({"frequency":"weekly","day":8})", R"({"frequency":"daily","retention_seconds":1})"})
    EXPECT_THROW(parse_schedule(nlohmann::json::array({nlohmann::json::parse(item)})),
                 std::exception)
        << item;
  EXPECT_THROW(parse_schedule(nlohmann::json::object()), Error);
}

}  // namespace
}  // namespace halogen::control
