#include "control/quotas.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace halogen::control {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

Quota quota(const char* name, int64_t limit) { return quota_of({{"quota", {{name, limit}}}}); }

TEST(Quotas, EachLimitIsReachedByItsOwnUse) {
  EXPECT_THAT(exceeded(quota("active_time_seconds", 60), {.active_ms = 60'000}),
              HasSubstr("quota of active time: raise settings.quota.active_time_seconds"));
  EXPECT_EQ(exceeded(quota("active_time_seconds", 60), {.active_ms = 59'999}), "");
  EXPECT_THAT(exceeded(quota("compute_time_seconds", 60), {.compute_ms = 60'000}),
              HasSubstr("compute time"));
  EXPECT_THAT(exceeded(quota("written_data_bytes", 100), {.written_bytes = 100}),
              HasSubstr("written data"));
  EXPECT_THAT(exceeded(quota("data_transfer_bytes", 100), {.transfer_bytes = 101}),
              HasSubstr("data transfer"));
  const Usage much{1'000'000'000, 1'000'000'000, 1'000'000'000, 1'000'000'000, 0};
  EXPECT_EQ(exceeded(quota("logical_size_bytes", 1), much), "");
}

TEST(Quotas, NoLimitIsNone) {
  const Usage much{INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX};
  EXPECT_EQ(exceeded(quota("active_time_seconds", 0), much), "");
  EXPECT_EQ(exceeded(quota_of({{"quota", nullptr}}), much), "");
  EXPECT_EQ(exceeded(quota_of(json::object()), much), "");
  EXPECT_EQ(quota_of({{"quota", {{"active_time_seconds", "many"}}}}), Quota{});
}

}  // namespace
}  // namespace halogen::control
