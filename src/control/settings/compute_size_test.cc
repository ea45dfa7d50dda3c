#include "control/settings/compute_size.h"

#include <gtest/gtest.h>

namespace halogen::control {
namespace {

TEST(ComputeSize, TheLeastOneHasTheDefaults) { EXPECT_TRUE(settings_of_size(0.25, {}).empty()); }

TEST(ComputeSize, LargerOnesHaveMoreUpToABound) {
  EXPECT_EQ(settings_of_size(1, {}), (SettingValues{{"shared_buffers", "512MB"},
                                                    {"maintenance_work_mem", "256MB"},
                                                    {"max_connections", "400"}}));
  EXPECT_EQ(settings_of_size(56, {}), (SettingValues{{"shared_buffers", "1024MB"},
                                                     {"maintenance_work_mem", "1024MB"},
                                                     {"max_connections", "1000"}}));
}

TEST(ComputeSize, WhatIsChosenStays) {
  EXPECT_FALSE(settings_of_size(2, {{"shared_buffers", "16MB"}}).contains("shared_buffers"));
  EXPECT_FALSE(
      settings_of_size(2, {{"max_locks_per_transaction", "4096"}}).contains("max_connections"));
}

TEST(ComputeSize, AllOfThemMayBeSet) {
  for (double units : {0.5, 1.0, 3.75, 56.0})
    EXPECT_NO_THROW(check_settings(settings_of_size(units, {})));
}

}  // namespace
}  // namespace halogen::control
