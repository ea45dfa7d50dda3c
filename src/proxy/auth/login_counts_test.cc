#include "proxy/auth/login_counts.h"

#include <gtest/gtest.h>

namespace halogen::proxy {
namespace {

using Kind = LoginCounts::Place::Kind;

TEST(LoginCounts, AsManyAsTheLimitSaysOfEachPlace) {
  LoginCounts counts;
  auto first = counts.take({"ep-a", Kind::role, 10}, 1);
  ASSERT_TRUE(first);
  EXPECT_FALSE(counts.take({"ep-a", Kind::role, 10}, 1));
  EXPECT_TRUE(counts.take({"ep-b", Kind::role, 10}, 1));
  EXPECT_TRUE(counts.take({"ep-a", Kind::role, 11}, 1));
  EXPECT_TRUE(counts.take({"ep-a", Kind::database, 10}, 1));
  EXPECT_FALSE(counts.take({"ep-a", Kind::role, 12}, 0));
  first.reset();
  EXPECT_TRUE(counts.take({"ep-a", Kind::role, 10}, 1));
}

TEST(LoginCounts, ThoseFromBeforeALimitCountToo) {
  LoginCounts counts;
  auto first = counts.take({"ep-a", Kind::role, 10}, -1);
  auto second = counts.take({"ep-a", Kind::role, 10}, -1);
  EXPECT_FALSE(counts.take({"ep-a", Kind::role, 10}, 2));
  LoginCounts::Seat moved = std::move(*second);
  second.reset();
  EXPECT_FALSE(counts.take({"ep-a", Kind::role, 10}, 2)) << "it has moved, not gone";
}

}  // namespace
}  // namespace halogen::proxy
