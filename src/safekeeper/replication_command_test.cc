#include "safekeeper/replication_command.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace halogen::safekeeper {
namespace {

using Kind = ReplicationCommand::Kind;

TEST(ReplicationCommand, ReadsWhatStandardClientsSend) {
  EXPECT_EQ(parse_replication_command("IDENTIFY_SYSTEM").kind, Kind::identify_system);
  EXPECT_EQ(parse_replication_command(" identify_system ; ").kind, Kind::identify_system);
  EXPECT_EQ(parse_replication_command("").kind, Kind::empty);
  EXPECT_EQ(parse_replication_command(";").kind, Kind::empty);
  EXPECT_EQ(parse_replication_command("SHOW Wal_Segment_Size").name, "wal_segment_size");
  EXPECT_EQ(parse_replication_command("TIMELINE_HISTORY 7").timeline, 7u);
  EXPECT_EQ(parse_replication_command("READ_REPLICATION_SLOT \"a\"\"B\"").name, "a\"B");
  EXPECT_EQ(parse_replication_command("BASE_BACKUP (LABEL 'x')").kind, Kind::unsupported);

  ReplicationCommand start =
      parse_replication_command("START_REPLICATION SLOT \"Sk\" PHYSICAL 1A/2b00 TIMELINE 1");
  EXPECT_EQ(start.kind, Kind::start_replication);
  EXPECT_EQ(start.name, "Sk");
  EXPECT_EQ(start.start, Lsn(0x1A00002B00));
  EXPECT_EQ(start.timeline, 1u);
  start = parse_replication_command("START_REPLICATION 0/1000000");
  EXPECT_EQ(start.start, Lsn(0x1000000));
  EXPECT_EQ(start.timeline, std::nullopt);
  EXPECT_EQ(parse_replication_command("START_REPLICATION SLOT slot PHYSICAL 0/0").name, "slot");
}

TEST(ReplicationCommand, RefusesWhatIsMalformed) {
  for (const char* bad :
       {"IDENTIFY_SYSTEM x", "SHOW", "START_REPLICATION", "START_REPLICATION PHYSICAL",
        "START_REPLICATION 1", "START_REPLICATION 0/1 TIMELINE", "START_REPLICATION 0/1 TIMELINE 0",
        "START_REPLICATION 0/1 TIMELINE x", "START_REPLICATION 0/1 TIMELINE 99999999999",
        "START_REPLICATION SLOT", "START_REPLICATION SLOT \"x", "START_REPLICATION 0/1 0/2",
        "START_REPLICATION SLOT s LOGICAL 0/1", "TIMELINE_HISTORY", "\"", "TIMELINE_HISTORY -1"})
    EXPECT_THROW(parse_replication_command(bad), Error) << bad;
}

}  // namespace
}  // namespace halogen::safekeeper
