#include "proxy/auth/work_limits.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace halogen::proxy {
namespace {

class WorkLimitsTest : public ::testing::Test {
 protected:
  static IpAddress address(std::string_view text) { return IpAddress::parse(text).value(); }
  // A connection that is abandoned. False if it was not let in.
  bool abandon(std::string_view from) {
    WorkLimits::Charge charge(limits_, address(from));
    return charge.take(WorkLimits::Clock::now());
  }
  bool is_empty(std::string_view from, std::chrono::seconds later = {}) {
    return limits_.is_empty(address(from), WorkLimits::Clock::now() + later);
  }

  WorkLimits limits_{{.address = {10, 0.01}, .max_buckets = 8}};
};

TEST_F(WorkLimitsTest, OnlyWhatIsAbandonedIsCharged) {
  for (int i = 0; i < 1000; i++) {
    WorkLimits::Charge charge(limits_, address("192.0.2.1"));
    EXPECT_TRUE(charge.take(WorkLimits::Clock::now()));
    EXPECT_TRUE(charge.take(WorkLimits::Clock::now()));
    charge.give_back();
  }
  EXPECT_EQ(limits_.buckets(), 0u);
  for (int i = 0; i < 10; i++) EXPECT_TRUE(abandon("192.0.2.1"));
  EXPECT_FALSE(abandon("192.0.2.1"));
  EXPECT_TRUE(is_empty("192.0.2.1"));
  EXPECT_TRUE(abandon("192.0.2.2")) << "each address has its own";
  EXPECT_FALSE(is_empty("192.0.2.1", std::chrono::seconds(100)));
}

TEST_F(WorkLimitsTest, ACrowdIsLetInAtOnceAndItsDebtIsWaitedFor) {
  std::vector<std::unique_ptr<WorkLimits::Charge>> crowd;
  for (int i = 0; i < 100; i++) {
    crowd.push_back(std::make_unique<WorkLimits::Charge>(limits_, address("192.0.2.1")));
    EXPECT_TRUE(crowd.back()->take(WorkLimits::Clock::now()));
  }
  crowd.clear();
  EXPECT_TRUE(is_empty("192.0.2.1", std::chrono::seconds(50)));
  EXPECT_FALSE(is_empty("192.0.2.1", std::chrono::seconds(200)))
      << "no longer than kMaxWait, and a token";
}

TEST_F(WorkLimitsTest, OnceChargedAnAddressHasNoMoreUnderWayThanTokens) {
  EXPECT_TRUE(abandon("192.0.2.1"));
  std::vector<std::unique_ptr<WorkLimits::Charge>> some;
  int let_in = 0;
  for (int i = 0; i < 20; i++) {
    some.push_back(std::make_unique<WorkLimits::Charge>(limits_, address("192.0.2.1")));
    let_in += some.back()->take(WorkLimits::Clock::now()) ? 1 : 0;
  }
  EXPECT_EQ(let_in, 9);
  EXPECT_FALSE(is_empty("192.0.2.1")) << "they wait for their turn, and are not refused";
}

TEST_F(WorkLimitsTest, AddressesOfOneNetworkShareABucketAndTheTableIsBounded) {
  for (int i = 0; i < 10; i++) abandon("2001:db8::" + std::to_string(i + 1));
  EXPECT_TRUE(is_empty("2001:db8::ffff"));
  EXPECT_FALSE(is_empty("2001:db8:0:1::1"));
  for (int i = 0; i < 100; i++) abandon("192.0.2." + std::to_string(i));
  EXPECT_EQ(limits_.buckets(), 8u);
}

}  // namespace
}  // namespace halogen::proxy
