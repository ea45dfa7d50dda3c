#include "postgres/checkpoint.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "postgres/stock_cluster.h"
#include "postgres/wal_reader.h"
#include "postgres/wal_record.h"

namespace halogen {
namespace {

using testing::run;
using testing::StockCluster;

SyntheticCheckpointOptions options_for(const ControlFile& control, Lsn at, Lsn prev) {
  return {.at = at,
          .prev = prev,
          .fields = control.checkpoint.fields,
          .system_identifier = control.system_identifier,
          .time = control.time};
}

// Writes control file and pg_wal as the compute agent does. What is in the segments already stays.
void install(StockCluster& cluster, const SyntheticCheckpointOptions& options,
             const SyntheticCheckpoint& checkpoint, const std::string& page_head) {
  for (const WalFile& file : wal_files(options, checkpoint, page_head)) {
    fs::path path = cluster.data() / "pg_wal" / file.name;
    bool existed = fs::exists(path);
    UniqueFd fd = open_file(path, O_RDWR | O_CREAT, 0600);
    ASSERT_EQ(::ftruncate(fd.get(), file.size), 0);
    for (const WalFile::Piece& piece : file.pieces)
      if (!existed || piece.offset > 0) pwrite_all(fd.get(), as_bytes(piece.bytes), piece.offset);
    ::close(fd.release());
  }
  ControlSettings settings = cluster.control().settings;
  write_file(cluster.data() / "global/pg_control",
             build_control_file(15, control_for(options, checkpoint, settings)));
  if (::geteuid() == 0) run("chown -R postgres:postgres " + cluster.data().string());
}

TEST(ControlFile, IsRebuiltByteForByte) {
  StockCluster cluster;
  std::string real = read_file(cluster.data() / "global/pg_control");
  ControlFile control = parse_control_file(15, real);
  EXPECT_EQ(control.state, 1u);
  EXPECT_TRUE(build_control_file(15, control) == real);
  real[100] ^= 1;
  EXPECT_THROW(parse_control_file(15, real), Error);
}

TEST(SyntheticCheckpoint, IsAWholeRecordAtEveryPlaceInAPage) {
  for (uint64_t at = kWalSegmentSize - 304; at < kWalSegmentSize + 9000; at += 8) {
    if (at > kWalSegmentSize && at < kWalSegmentSize + kWalLongHeader) continue;
    if (at > kWalSegmentSize + kWalPageSize &&
        at < kWalSegmentSize + kWalPageSize + kWalShortHeader)
      continue;
    SyntheticCheckpointOptions options;
    options.at = Lsn(at);
    options.prev = Lsn(at - 64);
    options.fields.next_full_xid = 4711;
    SyntheticCheckpoint made = make_synthetic_checkpoint(options);
    ASSERT_EQ(made.end.value, at + made.wal.size());
    WalReader reader(options.at, {}, options.prev);
    WalRecordView view;
    reader.feed(as_bytes(made.wal));
    ASSERT_TRUE(reader.next(view)) << at;
    ASSERT_EQ(view.start, made.start);
    ASSERT_EQ(view.end, made.end);
    WalRecord record;
    record.decode(view.bytes);
    ASSERT_EQ(kMajor15.decode_checkpoint(record.main_data()).fields.next_full_xid, 4711u);
    ASSERT_EQ(kMajor15.decode_checkpoint(record.main_data()).redo, made.start);
  }
}

// Every way a boundary can lie to pages and segments: the offset from a page or segment start.
struct Place {
  const char* name;
  uint64_t unit;
  int64_t offset;
};
constexpr Place kPlaces[] = {
    {"anywhere", 8, 0},
    {"page start", kWalPageSize, 0},
    {"first place in a page", kWalPageSize, 24},
    {"room for half a record", kWalPageSize, -64},
    {"room for a record's header", kWalPageSize, -24},
    {"room for a length only", kWalPageSize, -8},
    {"just room enough", kWalPageSize, -120},
    {"one word too few", kWalPageSize, -112},
    {"segment start", kWalSegmentSize, 0},
    {"behind a long header", kWalSegmentSize, 40},
    {"across segments", kWalSegmentSize, -48},
    {"ending at a segment's end", kWalSegmentSize, -120},
};

TEST(SyntheticCheckpoint, StockPostgresBootsBehindItWithoutRecovery) {
  StockCluster cluster;
  cluster.start();
  cluster.sql("create table t (n int)");
  cluster.stop();
  int rows = 0;
  for (const Place& place : kPlaces) {
    SCOPED_TRACE(place.name);
    uint64_t unit_end = (cluster.end().value + 200 + place.unit - 1) / place.unit * place.unit;
    Lsn at(unit_end + (place.offset < 0 ? place.unit : 0) + place.offset);
    SyntheticCheckpointOptions options = options_for(cluster.control(), at, at - 56);
    SyntheticCheckpoint checkpoint = make_synthetic_checkpoint(options);
    fs::remove_all(cluster.data() / "pg_wal");
    fs::create_directories(cluster.data() / "pg_wal/archive_status");
    fs::remove(cluster.folder() / "log");
    install(cluster, options, checkpoint, "");

    cluster.start();
    EXPECT_EQ(cluster.log().find("recovery"), std::string::npos) << cluster.log();
    cluster.sql("insert into t values (1)");
    EXPECT_EQ(cluster.sql("select count(*) from t"), std::to_string(++rows) + "\n");
    cluster.stop();

    // The checkpoint, and what Postgres wrote behind it, are one unbroken chain.
    Lsn end = cluster.end();
    std::string dumped = cluster.waldump(checkpoint.start, end);
    EXPECT_NE(dumped.find("desc: CHECKPOINT_SHUTDOWN redo " + checkpoint.start.str()),
              std::string::npos)
        << dumped.substr(0, 300);
    WalReader reader(at, {}, options.prev);
    WalRecordView view;
    std::string wal = cluster.wal(at, end);
    reader.feed(as_bytes(wal));
    while (reader.next(view)) {
    }
    EXPECT_EQ(reader.last_end(), end);
  }
}

TEST(SyntheticCheckpoint, ReadersGoOnAcrossTheSeam) {
  StockCluster cluster;
  cluster.start();
  cluster.sql("create table t as select g from generate_series(1, 1000) g");
  cluster.stop();
  Lsn before = cluster.control().checkpoint_location;
  Lsn at = cluster.end();
  SyntheticCheckpointOptions options = options_for(cluster.control(), at, before);
  SyntheticCheckpoint checkpoint = make_synthetic_checkpoint(options);
  install(cluster, options, checkpoint, cluster.wal(Lsn(page_start(at)), at));
  cluster.start();
  cluster.sql("insert into t values (1)");
  cluster.stop();
  EXPECT_NO_THROW(cluster.waldump(before, cluster.end()));
  WalReader reader(before);
  WalRecordView view;
  std::string wal = cluster.wal(before, cluster.end());
  reader.feed(as_bytes(wal));
  while (reader.next(view)) {
  }
  EXPECT_EQ(reader.last_end(), cluster.end());
}

}  // namespace
}  // namespace halogen
