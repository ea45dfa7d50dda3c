#include "control/timestamp.h"

#include <gtest/gtest.h>

namespace halogen::control {
namespace {

constexpr int64_t kMoment = 1'795'397'170'000'000;  // 2026-11-23T01:26:10Z

TEST(Timestamp, IsReadInEveryFormThatPeopleHaveIt) {
  for (const char* text :
       {"2026-11-23T01:26:10Z", "2026-11-23t01:26:10.000z", "2026-11-23 01:26:10+00",
        "2026-11-23 02:26:10+01", "2026-11-22T21:56:10-03:30", "2026-11-22T21:56:10-0330"})
    EXPECT_EQ(parse_timestamp(text), kMoment) << text;
  EXPECT_EQ(parse_timestamp("2026-11-23T01:26:10.000123Z"), kMoment + 123);
  EXPECT_EQ(parse_timestamp("2026-11-23T01:26:10.5Z"), kMoment + 500'000);
  EXPECT_EQ(parse_timestamp("2026-11-23T01:26:10.1234567Z"), kMoment + 123'456);
}

TEST(Timestamp, IsRefusedWhereItMakesNoSense) {
  for (const char* text :
       {"", "now", "2026-11-23", "2026-11-23T01:26:10", "2026-11-23T01:26Z", "2026-13-23T01:26:10Z",
        "2026-02-30T01:26:10Z", "2026-11-23T24:26:10Z", "2026-11-23T01:60:10Z",
        "2026-11-23T01:26:10.Z", "2026-11-23T01:26:10+1", "2026-11-23T01:26:10+99:00",
        "2026-11-23T01:26:10Z ", " 2026-11-23T01:26:10Z", "1969-12-31T23:59:59Z"})
    EXPECT_EQ(parse_timestamp(text), std::nullopt) << text;
}

TEST(Timestamp, IsWrittenAsItIsRead) {
  EXPECT_EQ(timestamp(kMoment), "2026-11-23T01:26:10Z");
  EXPECT_EQ(timestamp(kMoment + 120), "2026-11-23T01:26:10.000120Z");
  EXPECT_EQ(parse_timestamp(timestamp(kMoment + 1)), kMoment + 1);
}

}  // namespace
}  // namespace halogen::control
