#include "control/settings/job_settings.h"

#include <gtest/gtest.h>

namespace halogen::control {
namespace {

SettingValues prepared(const SettingValues& settings, bool read_only = false) {
  SettingValues values = settings;
  prepare_for_jobs(values, read_only, "neondb");
  return values;
}

TEST(JobSettings, OnlyOfComputesThatPreloadIt) {
  EXPECT_EQ(prepared({{"work_mem", "8MB"}}), (SettingValues{{"work_mem", "8MB"}}));
  const SettingValues other = {{"shared_preload_libraries", "auto_explain,pg_cron_like"}};
  EXPECT_EQ(prepared(other), other);
  const SettingValues values = prepared({{"shared_preload_libraries", "auto_explain,pg_cron"}});
  EXPECT_EQ(values.at("cron.use_background_workers"), "on");
  EXPECT_EQ(values.at("cron.enable_superuser_jobs"), "off");
  EXPECT_EQ(values.at("cron.database_name"), "neondb");
  EXPECT_EQ(values.at("shared_preload_libraries"), "auto_explain,pg_cron");
}

TEST(JobSettings, TheDatabaseIsChosenTheRestIsNot) {
  const SettingValues values = prepared({{"shared_preload_libraries", "pg_cron"},
                                         {"cron.database_name", "jobs"},
                                         {"cron.enable_superuser_jobs", "on"}});
  EXPECT_EQ(values.at("cron.database_name"), "jobs");
  EXPECT_EQ(values.at("cron.enable_superuser_jobs"), "off");
}

TEST(JobSettings, ComputesThatChangeNothingRunNoJobs) {
  EXPECT_EQ(prepared({{"shared_preload_libraries", "pg_cron"}}, true), SettingValues());
  EXPECT_EQ(prepared({{"shared_preload_libraries", "auto_explain, pg_cron,pg_prewarm"}}, true),
            (SettingValues{{"shared_preload_libraries", "auto_explain,pg_prewarm"}}));
}

}  // namespace
}  // namespace halogen::control
