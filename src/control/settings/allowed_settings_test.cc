// The table against a stock server: whatever it takes, that server starts with.
#include "control/settings/allowed_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "base/error.h"
#include "postgres/stock_cluster.h"

namespace halogen::control {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Key;
using ::testing::Not;
using Kind = AllowedSetting::Kind;

std::string refusal(const SettingValues& settings) {
  try {
    check_settings(settings);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::invalid_argument);
    return error.what();
  }
}

TEST(AllowedSettings, ARefusalNamesTheSettingAndItsRange) {
  EXPECT_EQ(refusal({{"work_mem", "16kB"}}),
            "pg_settings.work_mem must be a whole number from 64kB to 2147483647kB, not \"16kB\"");
  EXPECT_EQ(refusal({{"max_replication_slots", "0"}}),
            "pg_settings.max_replication_slots must be a whole number from 5 to 100, not \"0\"");
  EXPECT_EQ(refusal({{"wal_level", "minimal"}}),
            "pg_settings.wal_level must be one of replica, logical, not \"minimal\"");
  EXPECT_EQ(refusal({{"jit", "maybe"}}), "pg_settings.jit must be on or off, not \"maybe\"");
  EXPECT_EQ(refusal({{"seq_page_cost", "cheap"}}),
            "pg_settings.seq_page_cost must be a number from 0 on, not \"cheap\"");
}

TEST(AllowedSettings, WhatThePlatformNeedsOrRunsIsNotAmongThem) {
  for (const char* name : {"archive_command",
                           "archive_library",
                           "restore_command",
                           "ssl_passphrase_command",
                           "fsync",
                           "full_page_writes",
                           "synchronous_standby_names",
                           "primary_conninfo",
                           "listen_addresses",
                           "unix_socket_directories",
                           "data_directory",
                           "hba_file",
                           "dynamic_library_path",
                           "session_preload_libraries",
                           "local_preload_libraries",
                           "superuser_reserved_connections",
                           "wal_keep_size",
                           "max_slot_wal_keep_size",
                           "wal_sender_timeout",
                           "restart_after_crash",
                           "log_destination",
                           "log_statement",
                           "track_activities",
                           "allow_system_table_mods",
                           "halogen.report_session",
                           "plperl.on_init",
                           "include",
                           "no_such_setting",
                           ""})
    EXPECT_THAT(refusal({{name, "on"}}), HasSubstr("is not a setting that an endpoint may have"))
        << name;
}

TEST(AllowedSettings, ValuesAreReadAsPostgresReadsThem) {
  EXPECT_EQ(refusal({{"work_mem", "64MB"},
                     {"Statement_Timeout", " 5 min "},
                     {"jit", "OF"},
                     {"wal_level", "LOGICAL"},
                     {"random_page_cost", "1.1"},
                     {"max_connections", "0x40"},
                     {"intervalstyle", "iso_8601"},
                     {"shared_preload_libraries", "pg_stat_statements, auto_explain"}}),
            "");
  EXPECT_NE(refusal({{"work_mem", "64mb"}}), "");
  EXPECT_NE(refusal({{"work_mem", "64MB'\nfsync = 'off"}}), "");
  EXPECT_NE(refusal({{"shared_preload_libraries", "basebackup_to_shell"}}), "");
  EXPECT_NE(refusal({{"shared_preload_libraries", "../../tmp/mine"}}), "");
}

TEST(AllowedSettings, NeitherTwiceNorTooMuchTogether) {
  EXPECT_NE(refusal({{"jit", "on"}, {"JIT", "off"}}), "");
  EXPECT_EQ(refusal({{"max_locks_per_transaction", "500"}, {"max_connections", "2000"}}), "");
  EXPECT_THAT(refusal({{"max_locks_per_transaction", "501"}, {"max_connections", "2000"}}),
              HasSubstr("max_locks_per_transaction times max_connections"));
}

TEST(AllowedSettings, OfWhatIsStoredTheRestCounts) {
  SettingsInForce found =
      settings_in_force({{"archive_command", "id"}, {"Work_Mem", "8MB"}, {"max_wal_senders", "0"}});
  EXPECT_EQ(found.values, (SettingValues{{"work_mem", "8MB"}}));
  EXPECT_THAT(found.ignored, Contains(Key("archive_command")));
  EXPECT_THAT(found.ignored, Contains(Key("max_wal_senders")));
}

// Every setting at one end of its range, but for those whose ends are too much together.
std::string options_at(bool most) {
  std::string options;
  for (const AllowedSetting& allowed : allowed_settings()) {
    std::string value = "on";
    if (allowed.kind == Kind::choice)
      value = most ? allowed.choices.substr(allowed.choices.rfind('|') + 1)
                   : allowed.choices.substr(0, allowed.choices.find('|'));
    if (allowed.kind == Kind::libraries) value = "pg_stat_statements,auto_explain,pg_prewarm";
    if (allowed.kind == Kind::name) value = most ? std::string(63, 'x') : "x";
    if (allowed.kind == Kind::integer || allowed.kind == Kind::real)
      value = setting::format_number(most ? allowed.most : allowed.least, allowed.unit);
    EXPECT_TRUE(allowed.takes(value)) << allowed.name << " " << value;
    if (most && allowed.name == "max_connections") value = "200";
    if (most && allowed.name == "max_prepared_transactions") value = "40";
    options += fmt::format("{} = '{}'\n", allowed.name, value);
  }
  return options;
}

TEST(AllowedSettings, AServerStartsAtEitherEndOfEveryRange) {
  for (bool most : {false, true}) {
    testing::StockCluster cluster;
    write_file(cluster.folder() / "ends.conf", options_at(most), 0644);
    cluster.as_postgres(fmt::format("sh -c 'cat {}/ends.conf >> {}/postgresql.conf'",
                                    cluster.folder().string(), cluster.data().string()));
    ASSERT_NO_THROW(cluster.start()) << cluster.log();
    // Among them none that Postgres does not know: it would take a name with a dot for a
    // placeholder.
    std::istringstream known(cluster.sql("SELECT lower(name) FROM pg_settings"));
    std::vector<std::string> names;
    for (std::string line; std::getline(known, line);) names.push_back(line);
    for (const AllowedSetting& allowed : allowed_settings())
      if (!allowed.name.starts_with("cron."))  // Debian's package may be missing.
        EXPECT_THAT(names, Contains(std::string(allowed.name)));
    EXPECT_THAT(cluster.log(), Not(HasSubstr("invalid value")));
  }
}

}  // namespace
}  // namespace halogen::control
