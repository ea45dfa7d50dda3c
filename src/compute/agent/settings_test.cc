#include "compute/agent/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace halogen::compute {
namespace {

using ::testing::HasSubstr;

Settings made(const std::map<std::string, std::string>& overrides) {
  return Settings({"/run/x", "/lib/y"}, overrides);
}

TEST(Settings, AUserMayOverrideADefault) {
  Settings settings = made({{"Max_Connections", "20"}, {"work_mem", "8MB"}});
  EXPECT_EQ(settings.get_int("max_connections"), 20);
  EXPECT_THAT(settings.render(), HasSubstr("work_mem = '8MB'\n"));
}

TEST(Settings, WhatKeepsAComputeACompute_IsRefused) {
  for (const char* name : {"fsync", "FSYNC", "listen_addresses", "synchronous_standby_names",
                           "restart_after_crash", "full_page_writes"})
    EXPECT_THROW(made({{name, "on"}}), Error) << name;
  EXPECT_THROW(made({{"wal_level", "minimal"}}), Error);
}

TEST(Settings, OneSessionsTemporaryFilesDoNotFillTheDisk) {
  Settings settings({"/run/x", "/lib/y", uint64_t{8} << 30}, {});
  EXPECT_EQ(settings.get("temp_file_limit"), "2097152kB");
  EXPECT_EQ(made({}).get("temp_file_limit"), "65536kB");
  EXPECT_THROW(made({{"temp_file_limit", "-1"}}), Error);
}

TEST(Settings, AValueCannotBreakOutOfItsLine) {
  EXPECT_THROW(made({{"work_mem", "1MB'\nfsync = 'on"}}), Error);
  EXPECT_THROW(made({{"a b", "1"}}), Error);
  EXPECT_THAT(made({{"app.x", "it's \\n"}}).render(), HasSubstr("app.x = 'it''s \\\\n'\n"));
}

TEST(Settings, OurLibraryStaysFirstAmongThePreloaded) {
  EXPECT_EQ(
      made({{"shared_preload_libraries", "pg_stat_statements"}}).get("shared_preload_libraries"),
      "halogen,pg_stat_statements");
}

TEST(Settings, WhatTheControlFileRepeatsMustBeReadable) {
  EXPECT_THROW(made({{"max_connections", "many"}}), Error);
  EXPECT_THROW(made({{"track_commit_timestamp", "maybe"}}), Error);
  EXPECT_TRUE(made({{"track_commit_timestamp", "yes"}}).get_bool("track_commit_timestamp"));
}

}  // namespace
}  // namespace halogen::compute
