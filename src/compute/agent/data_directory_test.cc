#include "compute/agent/data_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compute/agent/folder_pool.h"
#include "compute/agent/test_folder.h"
#include "compute/shim/manifest_builder.h"
#include "postgres/checkpoint.h"
#include "postgres/control_file.h"
#include "postgres/wal_reader.h"

namespace halogen::compute {
namespace {

constexpr uint64_t kSystem = 7123456789012345678;

class DataDirectoryTest : public ::testing::Test {
 protected:
  DataDirectoryTest() {
    pool_.settle();
    skeleton_.checkpoint.next_full_xid = 1234;
    skeleton_.directories = {"base/5"};
    skeleton_.files = {{"base/5/PG_VERSION", "15\n"}};
  }

  // A data directory whose history ends at `end`.
  fs::path fill(Lsn end, const std::map<std::string, std::string>& overrides = {}) {
    skeleton_.lsn = end;
    start_.end = end;
    start_.page_head.assign(end.value % kWalPageSize, 'h');
    fs::path folder = temp_.path() / ("data" + std::to_string(++made_));
    Settings settings({"/run/x", "/lib/y"}, overrides);
    pool_.take(15, folder);
    fill_data_directory(folder, {skeleton_,
                                 start_,
                                 kSystem,
                                 settings,
                                 {"/run/pages", {}},
                                 temp_.path() / "manifest",
                                 temp_.path()});
    return folder;
  }

  TempFolder temp_;
  FolderPool pool_{temp_.path(), 2};
  Skeleton skeleton_;
  TermStart start_;
  int made_ = 0;
};

TEST_F(DataDirectoryTest, TheCleanEndIsRightBehindTheCheckpointWhereverThatLies) {
  constexpr uint64_t kSegment = kWalSegmentSize;
  for (uint64_t at :
       {2 * kSegment, 2 * kSegment + 40, 2 * kSegment + kWalPageSize,
        2 * kSegment + kWalPageSize - 8, 2 * kSegment + kWalPageSize - 64,
        2 * kSegment + kWalPageSize - 120, 2 * kSegment + kWalPageSize - 128, 3 * kSegment - 8,
        3 * kSegment - 64, 3 * kSegment - 120, 3 * kSegment - 3 * kWalPageSize + 4096}) {
    fs::path folder = fill(Lsn(at));
    SyntheticCheckpointOptions options;
    options.at = Lsn(at);
    SyntheticCheckpoint checkpoint = make_synthetic_checkpoint(options);
    CleanEnd clean = read_clean_end(folder, 15);
    EXPECT_EQ(clean.end, checkpoint.end) << Lsn(at).str();
    EXPECT_EQ(clean.checkpoint, checkpoint.start) << Lsn(at).str();
    EXPECT_EQ(clean.system_identifier, kSystem);
  }
}

TEST_F(DataDirectoryTest, TheWalGoesOnBehindTheHistoryThatIs) {
  Lsn end(2 * kWalSegmentSize + 3 * kWalPageSize + 512);
  start_.prev_record = end - 64;
  fs::path folder = fill(end);
  std::string segment = read_file(folder / "pg_wal" / wal_segment_name(end, kWalSegmentSize));
  ASSERT_EQ(segment.size(), kWalSegmentSize);
  EXPECT_EQ(segment.substr(3 * kWalPageSize, 512), std::string(512, 'h'));
  WalReader reader(end, WalReader::Options{}, end - 64);
  reader.feed(as_bytes(segment).subspan(3 * kWalPageSize + 512));
  WalRecordView record;
  ASSERT_TRUE(reader.next(record));
  EXPECT_EQ(record.end, read_clean_end(folder, 15).end);
  EXPECT_FALSE(reader.next(record));
  EXPECT_TRUE(reader.at_zeros());
}

TEST_F(DataDirectoryTest, TheControlFileRepeatsTheSettings) {
  skeleton_.files.push_back({"pg_twophase/000004D2", "prepared"});
  skeleton_.checkpoint.newest_commit_ts_xid = 700;  // History has commit timestamps.
  fs::path folder = fill(Lsn(2 * kWalSegmentSize), {{"max_connections", "33"},
                                                    {"max_prepared_transactions", "0"},
                                                    {"wal_level", "logical"},
                                                    {"track_commit_timestamp", "on"}});
  ControlFile control = parse_control_file(15, read_file(folder / "global/pg_control"));
  EXPECT_EQ(control.settings.max_connections, 33);
  EXPECT_EQ(control.settings.wal_level, 2);
  EXPECT_TRUE(control.settings.track_commit_timestamp);
  // Boot would refuse with fewer slots than there are prepared transactions.
  EXPECT_EQ(control.settings.max_prepared_xacts, 1);
  EXPECT_THAT(read_file(temp_.path() / "postgresql.conf"),
              ::testing::HasSubstr("max_prepared_transactions = '1'"));
  EXPECT_EQ(control.checkpoint.fields.next_full_xid, 1234u);
}

TEST_F(DataDirectoryTest, RelationFilesAreLeftToTheShimButForHotPages) {
  RelTag cold = RelTag::relation(1663, 5, 100, Fork::main);
  RelTag hot = RelTag::relation(1663, 5, 200, Fork::main);
  skeleton_.relations = {{cold, 10}, {hot, 10}};
  skeleton_.hot_pages.emplace_back();
  skeleton_.hot_pages[0].key = {hot, 7};
  skeleton_.hot_pages[0].page = std::make_shared<std::string>(kPageSize, 'p');
  fs::path folder = fill(Lsn(2 * kWalSegmentSize));
  EXPECT_FALSE(fs::exists(folder / "base/5/100"));
  std::string file = read_file(folder / "base/5/200");
  ASSERT_EQ(file.size(), 10 * kPageSize);
  EXPECT_EQ(file.substr(7 * kPageSize, kPageSize), std::string(kPageSize, 'p'));
  EXPECT_EQ(shim::read_manifest_status(temp_.path() / "manifest").segments, 2u);
}

TEST_F(DataDirectoryTest, RelationCacheFilesAreKeptWhileNoCatalogHasChanged) {
  skeleton_.files.push_back({"base/5/pg_internal.init", "cache"});
  skeleton_.files.push_back({"base/77/pg_internal.init", "of a dropped database"});
  skeleton_.files.push_back({std::string(kRelcacheMarker), "0/1000"});
  skeleton_.relcache_invalidated_at = Lsn(0x1000);
  fs::path valid = fill(Lsn(2 * kWalSegmentSize));
  EXPECT_TRUE(fs::exists(valid / "base/5/pg_internal.init"));
  EXPECT_FALSE(fs::exists(valid / kRelcacheMarker));
  skeleton_.relcache_invalidated_at = Lsn(0x1008);
  fs::path stale = fill(Lsn(2 * kWalSegmentSize));
  EXPECT_FALSE(fs::exists(stale / "base/5/pg_internal.init"));
}

TEST_F(DataDirectoryTest, ASkeletonCannotWriteOutsideItsFolder) {
  for (const char* path : {"../x", "/etc/x", "base/../../x", ""}) {
    skeleton_.files = {{path, "x"}};
    EXPECT_THROW(fill(Lsn(2 * kWalSegmentSize)), Error) << path;
  }
}

TEST_F(DataDirectoryTest, PruningKeepsTheSegmentOfTheCheckpoint) {
  fs::path folder = fill(Lsn(9 * kWalSegmentSize));
  for (const char* name : {"000000010000000000000007", "000000010000000000000008",
                           "00000001000000000000000A", "archive_status/x"})
    write_file(folder / "pg_wal" / name, "");
  prune_wal(folder, read_clean_end(folder, 15).checkpoint);
  EXPECT_FALSE(fs::exists(folder / "pg_wal/000000010000000000000008"));
  EXPECT_TRUE(fs::exists(folder / "pg_wal/000000010000000000000009"));
  EXPECT_TRUE(fs::exists(folder / "pg_wal/00000001000000000000000A"));
  EXPECT_TRUE(fs::exists(folder / "pg_wal/archive_status/x"));
}

}  // namespace
}  // namespace halogen::compute
