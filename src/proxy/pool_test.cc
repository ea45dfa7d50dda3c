// What pools decide without a server: what they keep ready, and what they forget.
#include "proxy/pool.h"

#include <gtest/gtest.h>

namespace halogen::proxy {
namespace {

const PoolKey kKey{"ep-a", "d", "r"};

class PoolsTest : public ::testing::Test {
 protected:
  PoolsTest() { pools_.set_settings("ep-a", {}); }

  void keep_ready(int count) {
    PoolSettings settings;
    settings.min_pool_size = count;
    pools_.set_settings("ep-a", settings);
  }

  Pools pools_;
  ComputeAddress address_{.socket_folder = "/a", .max_connections = 20, .start = 1};
};

TEST_F(PoolsTest, ServersAreLackingOnlyWhereTheComputeRuns) {
  PoolPtr pool = pools_.find_or_add(kKey);
  keep_ready(2);
  EXPECT_TRUE(pools_.lacking().empty());
  EXPECT_TRUE(pools_.compute_is("ep-a", address_));
  std::vector<Pools::Lack> lacking = pools_.lacking();
  ASSERT_EQ(lacking.size(), 2u);
  EXPECT_EQ(lacking[0].address.socket_folder, "/a");
  EXPECT_EQ(lacking[0].slot.pool(), pool);
  EXPECT_TRUE(pools_.lacking().empty()) << "they are being opened";
  lacking.pop_back();
  EXPECT_EQ(pools_.lacking().size(), 1u);
}

TEST_F(PoolsTest, WhatCannotBeOpenedIsNotTriedAgainAtOnce) {
  PoolPtr pool = pools_.find_or_add(kKey);
  keep_ready(1);
  pools_.compute_is("ep-a", address_);
  EXPECT_EQ(pools_.lacking().size(), 1u);
  pools_.stays_lacking(pool, false);
  EXPECT_TRUE(pools_.lacking().empty());
  pools_.stays_lacking(pool, true);
  EXPECT_TRUE(pools_.lacking().empty()) << "the compute is gone";
  EXPECT_FALSE(pools_.compute_is("ep-a", address_));
  EXPECT_TRUE(pools_.lacking().empty()) << "that was known";
  address_.start = 2;
  EXPECT_TRUE(pools_.compute_is("ep-a", address_));
  EXPECT_EQ(pools_.lacking().size(), 1u);
}

TEST_F(PoolsTest, NoMoreAreKeptReadyThanTheComputeHasRoomFor) {
  pools_.find_or_add(kKey);
  keep_ready(100);
  pools_.compute_is("ep-a", address_);
  EXPECT_EQ(pools_.lacking().size(), 15u);
}

TEST_F(PoolsTest, ADeletedEndpointIsForgottenOnceNobodyHasAPoolOfIt) {
  PoolPtr pool = pools_.find_or_add(kKey);
  pools_.find_or_add({"ep-b", "d", "r"});
  keep_ready(1);
  pools_.compute_is("ep-a", address_);
  std::vector<Pools::Lack> lacking = pools_.lacking();
  pool.reset();
  pools_.forget("ep-a");
  EXPECT_EQ(pools_.endpoints().size(), 2u) << "a server of it is being opened";
  lacking.clear();
  pools_.forget("ep-a");
  EXPECT_EQ(pools_.endpoints(), std::vector<std::string>{"ep-b"});
  pools_.forget("ep-a");
}

}  // namespace
}  // namespace halogen::proxy
