#include "proxy/auth/login_counts.h"

#include <gtest/gtest.h>

namespace halogen::proxy {
namespace {

TEST(LoginCounts, AsManyAsTheLimitSaysOfEachPlace) {
  LoginCounts counts;
  auto first = counts.take({"ep-a", 10}, 1);
  ASSERT_TRUE(first);
  EXPECT_FALSE(counts.take({"ep-a", 10}, 1));
  EXPECT_TRUE(counts.take({"ep-b", 10}, 1));
  EXPECT_TRUE(counts.take({"ep-a", 11}, 1));
  EXPECT_FALSE(counts.take({"ep-a", 12}, 0));
  first.reset();
  EXPECT_TRUE(counts.take({"ep-a", 10}, 1));
}

TEST(LoginCounts, ThoseFromBeforeALimitCountToo) {
  LoginCounts counts;
  auto first = counts.take({"ep-a", 10}, -1);
  auto second = counts.take({"ep-a", 10}, -1);
  EXPECT_FALSE(counts.take({"ep-a", 10}, 2));
  LoginCounts::Seat moved = std::move(*second);
  second.reset();
  EXPECT_FALSE(counts.take({"ep-a", 10}, 2)) << "it has moved, not gone";
}

}  // namespace
}  // namespace halogen::proxy
