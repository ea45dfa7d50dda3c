#include <gtest/gtest.h>

#include <map>
#include <random>

#include "base/error.h"
#include "postgres/stock_cluster.h"
#include "postgres/wal_image.h"
#include "postgres/wal_reader.h"
#include "postgres/wal_record.h"

namespace halogen {
namespace {

using testing::StockCluster;

// A busy history with records of most resource managers, long ones, images, a SWITCH.
constexpr const char* kWorkload = R"(
create table t (id int primary key, v text, n int);
insert into t select g, repeat(md5(g::text), 1 + g % 40), g % 7 from generate_series(1, 3000) g;
create index on t using hash (v);
create index on t using gin (to_tsvector('simple', left(v, 40)));
create index on t using brin (n);
create index on t using spgist (v);
create table p as select point(g, g * 2) at from generate_series(1, 2000) g;
create index on p using gist (at);
checkpoint;
update t set n = n + 1 where id % 3 = 0;
begin; savepoint a; delete from t where id % 11 = 0;
savepoint b; update t set n = 0 where id = 5; commit;
begin; select id from t where id < 10 for update; rollback;
create sequence s; select nextval('s') from generate_series(1, 100);
vacuum freeze t;
truncate p;
select pg_switch_wal();
insert into t select g, 'x', 0 from generate_series(10000, 12000) g;
select pg_logical_emit_message(false, 'a', repeat('long', 30000));
select pg_logical_emit_message(false, 'a', repeat('longer', 200000));
create database d; drop database d;
drop table p;
)";

struct Dumped {
  std::string rmgr;
  uint32_t total;
  uint32_t xid;
  Lsn prev;
  int blocks;
  bool operator==(const Dumped&) const = default;
};

// pg_waldump's lines by LSN: `rmgr: Heap  len (rec/tot): 54/ 8246, tx: 733, lsn: 0/014D2E00, prev
// 0/014D2DC8, desc: ... blkref #0: ...`.
std::map<uint64_t, Dumped> parse_waldump(const std::string& text) {
  std::map<uint64_t, Dumped> records;
  for (size_t at = 0; at < text.size();) {
    size_t end = text.find('\n', at);
    std::string line = text.substr(at, end - at);
    at = end + 1;
    char rmgr[64];
    uint32_t head, total, xid, hi, lo, prev_hi, prev_lo;
    if (std::sscanf(line.c_str(),
                    "rmgr: %63s len (rec/tot): %u/ %u, tx: %u, lsn: %X/%X, prev %X/%X", rmgr, &head,
                    &total, &xid, &hi, &lo, &prev_hi, &prev_lo) != 8)
      continue;
    int blocks = 0;
    for (size_t i = 0; (i = line.find("blkref #", i)) != std::string::npos; ++i) ++blocks;
    records[uint64_t{hi} << 32 | lo] = {rmgr, total, xid, Lsn(uint64_t{prev_hi} << 32 | prev_lo),
                                        blocks};
  }
  return records;
}

const char* rmgr_name(uint8_t id) {
  static const char* const kNames[] = {
      "XLOG",       "Transaction",   "Storage", "CLOG",     "Database",
      "Tablespace", "MultiXact",     "RelMap",  "Standby",  "Heap2",
      "Heap",       "Btree",         "Hash",    "Gin",      "Gist",
      "Sequence",   "SPGist",        "BRIN",    "CommitTs", "ReplicationOrigin",
      "Generic",    "LogicalMessage"};
  return id < std::size(kNames) ? kNames[id] : "custom";
}

// One cluster for all tests: its WAL from the first checkpoint on.
class WalOfAStockCluster : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    cluster_ = std::make_unique<StockCluster>();
    from_ = cluster_->control().checkpoint_location;
    cluster_->start("-c wal_level=logical -c wal_compression=pglz -c max_prepared_transactions=4");
    cluster_->sql(kWorkload);
    cluster_->sql("set wal_compression = lz4; checkpoint; update t set n = 3; vacuum t;");
    cluster_->sql("set wal_compression = zstd; checkpoint; update t set n = 4 where id < 1000;");
    cluster_->stop();
    to_ = cluster_->end();
    wal_ = cluster_->wal(from_, to_);
  }
  static void TearDownTestSuite() { cluster_.reset(); }

  static std::unique_ptr<StockCluster> cluster_;
  static Lsn from_;
  static Lsn to_;
  static std::string wal_;
};
std::unique_ptr<StockCluster> WalOfAStockCluster::cluster_;
Lsn WalOfAStockCluster::from_;
Lsn WalOfAStockCluster::to_;
std::string WalOfAStockCluster::wal_;

TEST_F(WalOfAStockCluster, IsReadAsPgWaldumpReadsIt) {
  std::map<uint64_t, Dumped> expected = parse_waldump(cluster_->waldump(from_, to_));
  ASSERT_GT(expected.size(), 10000u);
  std::map<uint64_t, Dumped> found;
  std::map<std::string, int> rmgrs;
  WalReader reader(from_);
  WalRecordView view;
  WalRecord record;
  reader.feed(as_bytes(wal_));
  while (reader.next(view)) {
    const bool whole = view.bytes.size() == view.header.total_size;
    if (whole) record.decode(view.bytes);
    const char* rmgr = rmgr_name(view.header.rmgr);
    found[view.start.value] = {rmgr, view.header.total_size, view.header.xid, view.header.prev,
                               whole ? static_cast<int>(record.blocks().size()) : 0};
    ++rmgrs[rmgr];
  }
  EXPECT_EQ(reader.last_end(), to_);
  EXPECT_EQ(found.size(), expected.size());
  EXPECT_TRUE(found == expected);
  EXPECT_GE(rmgrs.size(), 15u);
}

TEST_F(WalOfAStockCluster, GivesTheSameRecordsHoweverItIsCut) {
  auto boundaries = [](const std::string& wal, Lsn from, WalReader::Options options, size_t seed) {
    std::vector<std::pair<uint64_t, uint64_t>> found;
    std::mt19937 random(seed);
    WalReader reader(from, options);
    WalRecordView view;
    for (size_t at = 0; at < wal.size();) {
      size_t size = seed == 0 ? wal.size() : 1 + random() % (random() % 3 ? 50 : 20000);
      size = std::min(size, wal.size() - at);
      // A copy, so that a view into an earlier piece would be seen by the sanitizer.
      std::string piece = wal.substr(at, size);
      at += size;
      reader.feed(as_bytes(piece));
      while (reader.next(view)) found.push_back({view.start.value, view.end.value});
    }
    return found;
  };
  auto whole = boundaries(wal_, from_, {}, 0);
  std::string head = wal_.substr(0, 2 << 20);
  auto expected = boundaries(head, from_, {}, 0);
  EXPECT_EQ(boundaries(head, from_, {}, 1), expected);
  EXPECT_EQ(boundaries(head, from_, {.check_crc = false, .assemble = false}, 2), expected);
  EXPECT_EQ(boundaries(wal_, from_, {.check_crc = false, .assemble = false}, 0), whole);
}

TEST_F(WalOfAStockCluster, CanBeReadFromAnyRecordBoundary) {
  WalReader reader(from_);
  WalRecordView view;
  std::vector<WalRecordView> records;
  reader.feed(as_bytes(wal_));
  while (reader.next(view)) records.push_back(view);
  for (size_t i = 0; i + 1 < records.size(); i += 97) {
    WalReader later(records[i].end, {}, records[i].start);
    later.feed(as_bytes(wal_).subspan(records[i].end - from_));
    ASSERT_TRUE(later.next(view));
    ASSERT_EQ(view.start, records[i + 1].start);
    ASSERT_EQ(view.end, records[i + 1].end);
  }
}

TEST_F(WalOfAStockCluster, NoDamagedRecordIsEverTaken) {
  std::map<uint64_t, std::string> sound;
  {
    WalReader reader(from_);
    WalRecordView view;
    reader.feed(as_bytes(wal_).first(400000));
    while (reader.next(view)) sound[view.start.value] = as_text(view.bytes);
  }
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::string wal = wal_.substr(0, 300000);
    size_t at = random() % wal.size();
    wal[at] ^= static_cast<char>(1 << random() % 8);
    WalReader reader(from_);
    WalRecordView view;
    WalRecord record;
    try {
      reader.feed(as_bytes(wal));
      while (reader.next(view)) {
        record.decode(view.bytes);
        ASSERT_TRUE(sound[view.start.value] == as_text(view.bytes));
      }
    } catch (const Error& e) {
      ASSERT_EQ(e.code(), Errc::corrupt);
      ASSERT_THROW(reader.next(view), Error);
    }
  }
}

// A gigabyte of it costs its writer one SELECT, and must not cost everybody a gigabyte of memory.
TEST_F(WalOfAStockCluster, ALongMessageIsCheckedAndNotKept) {
  auto find_long = [&](const std::string& wal) {
    WalReader reader(from_);
    WalRecordView view;
    reader.feed(as_bytes(wal));
    while (reader.next(view))
      if (view.header.total_size > kLongestMessageKept) return view;
    throw Error(Errc::not_found, "no long record");
  };
  const WalRecordView found = find_long(wal_);
  EXPECT_EQ(found.bytes.size(), kWalRecordHeaderSize);
  EXPECT_GT(found.header.total_size, 1000000u);
  std::string bad = wal_;
  bad[found.start - from_ + 700'000] ^= 1;
  EXPECT_THROW(find_long(bad), Error);
}

TEST_F(WalOfAStockCluster, EndsWhereTheSegmentIsUnwritten) {
  std::string wal =
      cluster_->wal(from_, Lsn(segment_start(to_, kWalSegmentSize) + kWalSegmentSize));
  WalReader reader(from_);
  WalRecordView view;
  reader.feed(as_bytes(wal));
  while (reader.next(view)) {
  }
  EXPECT_TRUE(reader.at_zeros());
  EXPECT_EQ(reader.last_end(), to_);
}

TEST_F(WalOfAStockCluster, ImagesOfAllCompressionMethodsUnpackToPages) {
  WalReader reader(from_);
  WalRecordView view;
  WalRecord record;
  std::map<int, int> methods;
  reader.feed(as_bytes(wal_));
  char page[kPageSize];
  while (reader.next(view)) {
    if (view.bytes.size() < view.header.total_size) continue;
    record.decode(view.bytes);
    for (const BlockRef& block : record.blocks()) {
      if (!block.has_image) continue;
      restore_image(block.image, page);
      ++methods[block.image.info & (kImagePglz | kImageLz4 | kImageZstd)];
      if (block.page.tag.fork == static_cast<int>(Fork::fsm)) continue;
      ASSERT_EQ(load<uint16_t>(page + 18), 0x2004) << "not a page";
      ASSERT_LE(load<uint64_t>(page + 4) >> 32 | uint64_t{load<uint32_t>(page)} << 32,
                view.end.value);
    }
  }
  EXPECT_GT(methods[kImagePglz], 10);
  EXPECT_GT(methods[kImageLz4], 10);
  EXPECT_GT(methods[kImageZstd], 10);
}

TEST(Pglz, RefusesWhatPointsOutside) {
  char out[16];
  std::string bad("\x01\x00\x05", 3);  // A copy before anything is there.
  EXPECT_FALSE(unpack_pglz(as_bytes(bad), out));
  std::string cut("\x01\xF0", 2);
  EXPECT_FALSE(unpack_pglz(as_bytes(cut), out));
  std::string good(
      "\x02"
      "a\x0C\x01",
      4);  // 'a', then 15 more of it.
  EXPECT_TRUE(unpack_pglz(as_bytes(good), out));
  EXPECT_EQ(std::string(out, 16), std::string(16, 'a'));
}

}  // namespace
}  // namespace halogen
