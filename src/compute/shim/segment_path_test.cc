#include "compute/shim/segment_path.h"

#include <gtest/gtest.h>

#include <string>

namespace halogen::shim {
namespace {

SegmentId relation(uint32_t spc, uint32_t db, uint32_t rel, Fork fork, uint32_t number) {
  return {0, static_cast<uint8_t>(fork), 0, spc, db, rel, number};
}
SegmentId slru(Slru which, uint32_t number) {
  return {1, static_cast<uint8_t>(which), 0, 0, 0, 0, number};
}

std::string format(const SegmentId& id) {
  char path[kSegmentPathMax];
  format_segment(id, "PG_15_202209061", path);
  return path;
}

TEST(SegmentPath, EveryNameThatPostgresMakesIsParsedAndFormatted) {
  const std::pair<const char*, SegmentId> kNames[] = {
      {"base/5/16384", relation(1663, 5, 16384, Fork::main, 0)},
      {"base/5/16384.17", relation(1663, 5, 16384, Fork::main, 17)},
      {"base/5/16384_fsm", relation(1663, 5, 16384, Fork::fsm, 0)},
      {"base/5/16384_vm.1", relation(1663, 5, 16384, Fork::vm, 1)},
      {"base/4294967295/4294967295_init", relation(1663, 4294967295, 4294967295, Fork::init, 0)},
      {"global/1260", relation(1664, 0, 1260, Fork::main, 0)},
      {"pg_tblspc/16500/PG_15_202209061/5/16384_vm", relation(16500, 5, 16384, Fork::vm, 0)},
      {"pg_xact/0000", slru(Slru::xact, 0)},
      {"pg_xact/0FFF", slru(Slru::xact, 0xFFF)},
      {"pg_multixact/offsets/00A1", slru(Slru::multixact_offsets, 0xA1)},
      {"pg_multixact/members/14078", slru(Slru::multixact_members, 0x14078)},
      {"pg_commit_ts/0001", slru(Slru::commit_ts, 1)},
  };
  for (const auto& [name, id] : kNames) {
    SegmentId parsed;
    ASSERT_TRUE(parse_segment(name, &parsed)) << name;
    EXPECT_EQ(parsed, id) << name;
    EXPECT_EQ(format(id), name);
  }
}

TEST(SegmentPath, DotsAndDoubledSlashesAreTheSameName) {
  SegmentId id;
  for (const char* name : {"./base/5/1259", "base//5/./1259", ".//base/5//1259"}) {
    ASSERT_TRUE(parse_segment(name, &id)) << name;
    EXPECT_EQ(id, relation(1663, 5, 1259, Fork::main, 0));
  }
}

TEST(SegmentPath, OtherFilesAreNone) {
  SegmentId id;
  for (const char* name : {"",
                           ".",
                           "base",
                           "base/",
                           "base/5",
                           "base/5/",
                           "base/5/t3_16384",
                           "base/5/pg_filenode.map",
                           "base/5/16384_",
                           "base/5/16384_x",
                           "base/5/16384.",
                           "base/5/16384.0",
                           "base/5/16384.01",
                           "base/5/016384",
                           "base/5/42949672960",
                           "base/5/16384/7",
                           "base/pgsql_tmp/pgsql_tmp1.0",
                           "global/pg_control",
                           "global/pg_internal.init",
                           "pg_wal/000000010000000000000001",
                           "pg_xact/000",
                           "pg_xact/00zz",
                           "pg_xact/000a",
                           "pg_multixact/0000",
                           "pg_subtrans/0000",
                           "pg_tblspc/16500",
                           "pg_tblspc/16500/pgsql_tmp/5/1",
                           "postgresql.conf",
                           "basebackup/5/1",
                           "base/5/../5/1259"})
    EXPECT_FALSE(parse_segment(name, &id)) << name;
}

TEST(SegmentPath, DirectoriesAreThoseThatHoldSegments) {
  DirectoryId id;
  ASSERT_TRUE(parse_directory("base/5", &id));
  EXPECT_EQ(id, (DirectoryId{0, 0, 1663, 5}));
  ASSERT_TRUE(parse_directory("./global/", &id));
  EXPECT_EQ(id, (DirectoryId{0, 0, 1664, 0}));
  ASSERT_TRUE(parse_directory("pg_tblspc/16500/PG_15_202209061/5", &id));
  EXPECT_EQ(id, (DirectoryId{0, 0, 16500, 5}));
  ASSERT_TRUE(parse_directory("pg_multixact/members", &id));
  EXPECT_EQ(id, (DirectoryId{1, 2, 0, 0}));
  for (const char* name : {"base", "base/5/1259", "pg_wal", "pg_tblspc", "pg_multixact", "."})
    EXPECT_FALSE(parse_directory(name, &id)) << name;
}

TEST(SegmentPath, RelcacheFilesAreKnownByTheirLastName) {
  EXPECT_TRUE(is_relcache_file("global/pg_internal.init"));
  EXPECT_TRUE(is_relcache_file("base/5/pg_internal.init"));
  EXPECT_FALSE(is_relcache_file("base/5/pg_internal.init.123"));
  EXPECT_FALSE(is_relcache_file("pg_internal.init"));
}

}  // namespace
}  // namespace halogen::shim
