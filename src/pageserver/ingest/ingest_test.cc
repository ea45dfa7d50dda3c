#include "pageserver/ingest/ingest.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "base/file.h"
#include "pageserver/ingest/map_store.h"
#include "pageserver/ingest/template_import.h"
#include "postgres/page.h"
#include "postgres/stock_cluster.h"

namespace halogen::pageserver {
namespace {

using halogen::testing::StockCluster;

constexpr const char* kSettings =
    "-c max_prepared_transactions=8 -c track_commit_timestamp=on "
    "-c allow_in_place_tablespaces=on -c autovacuum=off";

// One statement each of what leaves traces outside of pages, and enough to cross SLRU pages.
constexpr const char* kWorkload = R"(
create table t (id int primary key, v text, n int);
insert into t select g, repeat(md5(g::text), 10), 0 from generate_series(1, 20000) g;
vacuum t;
update t set n = 1 where id % 1000 = 0;
delete from t where id between 3000 and 3100;
vacuum freeze t;
begin; select id from t where id < 100 for update; commit;
insert into t select g, 'x', 0 from generate_series(30001, 30100) g;
delete from t where id > 9000;
vacuum t;
create table shrunk as select g from generate_series(1, 100000) g;
vacuum shrunk; truncate shrunk; insert into shrunk values (1);
create table dropped (id serial primary key, v text); insert into dropped (v) values ('x');
drop table dropped;
begin; create table never (id int); rollback;
create unlogged table u (id serial primary key, v text); insert into u (v) values ('gone');
create index on t using hash (v); create index on t using brin (n);
create index on t using gin (to_tsvector('simple', v));
create index on t using spgist (v);
create table p as select point(g, g) at from generate_series(1, 1000) g;
create index on p using gist (at);
select pg_logical_emit_message(true, 'p', repeat('long', 500000));
create tablespace ts location '';
create table in_ts (id int) tablespace ts; insert into in_ts values (1);
create tablespace ts2 location ''; drop tablespace ts2;
create database by_wal strategy wal_log;
create database by_file strategy file_copy;
create database in_ts_db tablespace ts strategy file_copy;
create database dropped_db; drop database dropped_db;
begin; insert into t values (50000, 'prepared', 0); savepoint s;
update t set n = 5 where id = 50000;
prepare transaction 'stays';
begin; insert into t values (50001, 'p', 0); prepare transaction 'committed';
commit prepared 'committed';
begin; insert into t values (50002, 'p', 0); prepare transaction 'aborted';
rollback prepared 'aborted';
create table m (id int primary key, n int); insert into m values (1, 0);
do $$ begin
  for i in 1..2500 loop
    perform 1 from m where id = 1 for share;
    begin update m set n = n + 1 where id = 1; exception when division_by_zero then null; end;
  end loop;
end $$;
do $$ begin
  for i in 1..34000 loop
    begin insert into m values (i + 10, 0); if i % 5 = 0 then raise division_by_zero; end if;
    exception when division_by_zero then null; end;
  end loop;
end $$;
vacuum full pg_class;
vacuum full pg_database;
select pg_replication_origin_create('elsewhere');
select pg_replication_origin_advance('elsewhere', '0/1234567');
select pg_switch_wal();
cluster m using m_pkey;
analyze;
)";

struct ForkFile {
  uint32_t pages = 0;
  std::vector<fs::path> segments;
};

// Relations as they lie in a data directory: what a template import would find is tested apart, so
// this goes by file names alone.
void find_forks(const fs::path& folder, uint32_t spc, uint32_t db,
                std::map<RelTag, ForkFile>& out) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    std::string name = entry.path().filename();
    unsigned rel = 0, segment = 0;
    char fork_name[8] = "";
    if (!std::isdigit(name[0])) continue;
    if (std::sscanf(name.c_str(), "%u_%7[a-z].%u", &rel, fork_name, &segment) < 2)
      std::sscanf(name.c_str(), "%u.%u", &rel, &segment);
    std::string f = fork_name;
    Fork fork = f == "fsm"    ? Fork::fsm
                : f == "vm"   ? Fork::vm
                : f == "init" ? Fork::init
                              : Fork::main;
    ForkFile& file = out[RelTag::relation(spc, db, rel, fork)];
    file.pages += entry.file_size() / kPageSize;
    file.segments.push_back(entry.path());
  }
}

std::map<RelTag, ForkFile> find_all_forks(const fs::path& data) {
  std::map<RelTag, ForkFile> forks;
  find_forks(data / "global", 1664, 0, forks);
  for (const auto& entry : fs::directory_iterator(data / "base"))
    if (std::isdigit(entry.path().filename().native()[0]))
      find_forks(entry.path(), 1663, std::stoul(entry.path().filename()), forks);
  for (const auto& spc : fs::directory_iterator(data / "pg_tblspc"))
    for (const auto& db : fs::directory_iterator(spc.path() / "PG_15_202209061"))
      find_forks(db.path(), std::stoul(spc.path().filename()), std::stoul(db.path().filename()),
                 forks);
  return forks;
}

// A stock cluster, imported as it was after initdb, and its whole WAL since taken in.
class IngestOfAStockCluster : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    cluster_ = std::make_unique<StockCluster>();
    start_ = cluster_->end();
    store_ = std::make_unique<MapStore>();
    import_data_directory(*store_, cluster_->data(), start_, kMajor15);
    cluster_->start(kSettings);
    cluster_->sql(kWorkload);
    cluster_->stop();
    last_ = cluster_->control().checkpoint_location;
    end_ = cluster_->end();
    wal_ = cluster_->wal(start_, end_);
    ingest_ = make_ingest(*store_);
    // In pieces as a connection brings them; the shutdown checkpoint comes later.
    std::mt19937 random(1);
    size_t whole = last_ - start_;
    for (size_t at = 0; at < whole;) {
      size_t size = std::min<size_t>(1 + random() % 100000, whole - at);
      ingest_->feed(start_ + at, as_bytes(wal_).subspan(at, size));
      at += size;
    }
  }
  static void TearDownTestSuite() {
    ingest_.reset();
    store_.reset();
    cluster_.reset();
  }
  static std::unique_ptr<Ingest> make_ingest(MapStore& store) {
    return std::make_unique<Ingest>(store, Head::load(store, store.last_record_lsn()), kMajor15,
                                    [&store](const PageKey& key, Lsn lsn) {
                                      CHECK(lsn <= store.last_record_lsn(),
                                            "page asked for before its time");
                                      return store.native_page(Key::page(key), lsn);
                                    });
  }
  std::string slru_page(Slru slru, uint32_t page) {
    return store_->native_page(Key::page({RelTag::slru(slru), page}), store_->last_record_lsn());
  }

  static std::unique_ptr<StockCluster> cluster_;
  static std::unique_ptr<MapStore> store_;
  static std::unique_ptr<Ingest> ingest_;
  static Lsn start_, last_, end_;
  static std::string wal_;
};
std::unique_ptr<StockCluster> IngestOfAStockCluster::cluster_;
std::unique_ptr<MapStore> IngestOfAStockCluster::store_;
std::unique_ptr<Ingest> IngestOfAStockCluster::ingest_;
Lsn IngestOfAStockCluster::start_, IngestOfAStockCluster::last_, IngestOfAStockCluster::end_;
std::string IngestOfAStockCluster::wal_;

TEST_F(IngestOfAStockCluster, CountersAreExactWithoutACheckpoint) {
  CheckpointFields expected = cluster_->control().checkpoint.fields;
  CheckpointFields found = ingest_->checkpoint();
  EXPECT_EQ(found.next_full_xid, expected.next_full_xid);
  EXPECT_GE(found.next_oid, expected.next_oid);  // WAL has them in lots of 8192.
  EXPECT_LE(found.next_oid, expected.next_oid + 8192);
  EXPECT_EQ(found.next_multi, expected.next_multi);
  EXPECT_EQ(found.next_multi_offset, expected.next_multi_offset);
  EXPECT_EQ(found.oldest_xid, expected.oldest_xid);
  EXPECT_EQ(found.oldest_multi, expected.oldest_multi);
  EXPECT_EQ(found.newest_commit_ts_xid, expected.newest_commit_ts_xid);
  EXPECT_EQ(found.oldest_commit_ts_xid, expected.oldest_commit_ts_xid);
  EXPECT_GT(found.next_multi, 2048u) << "the workload no longer crosses a page of multixacts";
  EXPECT_GT(found.next_full_xid, 32768u) << "the workload no longer crosses a page of clog";
}

TEST_F(IngestOfAStockCluster, RelationsAreAsLongAsTheirFiles) {
  std::map<RelTag, ForkFile> files = find_all_forks(cluster_->data());
  std::map<RelTag, uint32_t> found;
  for (const RelSize& rel : ingest_->skeleton().relations) found[rel.tag] = rel.pages;
  size_t compared = 0;
  for (const auto& [tag, file] : files) {
    if (tag.fork == static_cast<uint8_t>(Fork::fsm)) continue;  // Not in WAL.
    bool unlogged =
        tag.fork != static_cast<uint8_t>(Fork::init) && files.contains(tag.with_fork(Fork::init));
    auto at = found.find(tag);
    if (unlogged) {
      EXPECT_EQ(at, found.end());
      continue;
    }
    ASSERT_NE(at, found.end()) << tag.spc << " " << tag.db << " " << tag.rel << " " << +tag.fork;
    EXPECT_EQ(at->second, file.pages)
        << tag.spc << " " << tag.db << " " << tag.rel << " " << +tag.fork;
    ++compared;
  }
  for (const auto& [tag, pages] : found)
    EXPECT_TRUE(files.contains(tag)) << tag.spc << " " << tag.db << " " << tag.rel;
  EXPECT_GT(compared, 1000u);
}

TEST_F(IngestOfAStockCluster, VisibilityMapsAreTheSameByteForByte) {
  size_t compared = 0, with_bits = 0;
  for (const auto& [tag, file] : find_all_forks(cluster_->data())) {
    if (tag.fork != static_cast<uint8_t>(Fork::vm)) continue;
    // Made by copying whole pages, whose maps are beyond a test without redo or in no WAL at all.
    std::string real = read_file(file.segments[0]);
    for (uint32_t block = 0; block < file.pages; ++block) {
      Key key = Key::page({tag, block});
      std::string page = store_->native_page(key, store_->last_record_lsn());
      std::string expected = real.substr(size_t{block} * kPageSize, kPageSize);
      bool copied = tag.db > 5 && expected.find_first_not_of('\0', 24) != std::string::npos;
      if (copied) continue;
      EXPECT_TRUE(page == expected) << tag.db << " " << tag.rel << " block " << block;
      ++compared;
      with_bits += expected.find_first_not_of('\0', 24) != std::string::npos;
    }
  }
  EXPECT_GT(compared, 100u);
  EXPECT_GT(with_bits, 10u);
}

TEST_F(IngestOfAStockCluster, SlrusAreTheSameByteForByte) {
  const std::pair<Slru, const char*> kAll[] = {{Slru::xact, "pg_xact"},
                                               {Slru::multixact_offsets, "pg_multixact/offsets"},
                                               {Slru::multixact_members, "pg_multixact/members"},
                                               {Slru::commit_ts, "pg_commit_ts"}};
  std::map<std::pair<Slru, uint32_t>, uint32_t> found;
  for (const SlruSegment& s : ingest_->skeleton().slrus) found[{s.slru, s.segment}] = s.pages;
  for (auto [slru, folder] : kAll) {
    SCOPED_TRACE(folder);
    for (const auto& entry : fs::directory_iterator(cluster_->data() / folder)) {
      uint32_t segment = std::stoul(entry.path().filename(), nullptr, 16);
      std::string real = read_file(entry.path());
      uint32_t pages = found[{slru, segment}];
      EXPECT_EQ(pages, real.size() / kPageSize);
      found.erase({slru, segment});
      for (uint32_t p = 0; p < pages; ++p) {
        std::string page = slru_page(slru, segment * kSlruSegmentPages + p);
        std::string expected = real.substr(size_t{p} * kPageSize, kPageSize);
        EXPECT_TRUE(page == expected)
            << "page " << p << " differs at "
            << std::mismatch(page.begin(), page.end(), expected.begin()).first - page.begin();
      }
    }
  }
  EXPECT_TRUE(found.empty());
}

TEST_F(IngestOfAStockCluster, FilesAndFoldersAreThere) {
  Skeleton skeleton = ingest_->skeleton();
  std::set<std::string> directories(skeleton.directories.begin(), skeleton.directories.end());
  size_t maps = 0, prepared = 0, versions = 0;
  for (const SkeletonFile& file : skeleton.files) {
    fs::path real = cluster_->data() / file.path;
    if (file.path == "pg_stat/pgstat.stat") continue;  // initdb's, and not in WAL.
    ASSERT_TRUE(fs::exists(real)) << file.path;
    EXPECT_TRUE(read_file(real) == file.content) << file.path;
    maps += file.path.ends_with("pg_filenode.map");
    versions += file.path.ends_with("PG_VERSION");
    prepared += file.path.starts_with("pg_twophase/");
  }
  EXPECT_EQ(maps, 7u);  // Global, three of initdb, three created ones.
  EXPECT_EQ(versions, 6u);
  EXPECT_EQ(prepared, 1u);
  for (const auto& entry : fs::directory_iterator(cluster_->data() / "base"))
    if (std::isdigit(entry.path().filename().native()[0]))
      EXPECT_TRUE(directories.contains("base/" + entry.path().filename().string()));
  for (const std::string& directory : skeleton.directories)
    EXPECT_TRUE(fs::is_directory(cluster_->data() / directory)) << directory;
  EXPECT_TRUE(fs::exists(cluster_->data() / "pg_tblspc"));
}

TEST_F(IngestOfAStockCluster, MetadataReadBackIsWhatIsInMemory) {
  Skeleton live = ingest_->skeleton();
  Skeleton loaded = build_skeleton(*store_, store_->last_record_lsn(), 15);
  EXPECT_EQ(live.lsn, loaded.lsn);
  EXPECT_EQ(live.directories, loaded.directories);
  ASSERT_EQ(live.relations.size(), loaded.relations.size());
  for (size_t i = 0; i < live.relations.size(); ++i) {
    EXPECT_EQ(live.relations[i].tag, loaded.relations[i].tag);
    EXPECT_EQ(live.relations[i].pages, loaded.relations[i].pages);
  }
  EXPECT_EQ(live.slrus.size(), loaded.slrus.size());
  EXPECT_EQ(live.files.size(), loaded.files.size());
  EXPECT_EQ(live.relcache_invalidated_at, loaded.relcache_invalidated_at);
  EXPECT_GT(live.relcache_invalidated_at, start_);
  EXPECT_GE(loaded.checkpoint.next_full_xid, live.checkpoint.next_full_xid);
  EXPECT_LT(loaded.checkpoint.next_full_xid, live.checkpoint.next_full_xid + 64);
}

TEST_F(IngestOfAStockCluster, EveryPageThatExistsHasABase) {
  Skeleton skeleton = ingest_->skeleton();
  for (const RelSize& rel : skeleton.relations)
    for (uint32_t block = 0; block < rel.pages; ++block) {
      Chain chain = store_->collect(Key::page({rel.tag, block}), skeleton.lsn);
      ASSERT_FALSE(chain.empty()) << rel.tag.rel << " fork " << +rel.tag.fork << " " << block;
      ASSERT_TRUE(is_base(chain.front().kind));
    }
}

TEST_F(IngestOfAStockCluster, TakesUpAgainWhereItWasInterrupted) {
  MapStore other;
  Head empty;
  empty.lsn = start_;
  other.advance(start_);
  std::optional<Ingest> made;
  auto begin = [&](Lsn lsn) -> Ingest& {
    return made.emplace(other, lsn == start_ ? empty : Head::load(other, lsn), kMajor15, nullptr);
  };
  Ingest& ingest = begin(start_);
  size_t half = 1000001;
  ingest.feed(start_, as_bytes(wal_).first(half));
  EXPECT_EQ(ingest.next_lsn(), start_ + half);
  EXPECT_LT(other.last_record_lsn(), start_ + half);
  EXPECT_THROW(ingest.feed(start_, as_bytes(wal_).first(half)), Error);
  Lsn last = other.last_record_lsn();
  ingest.feed(last, as_bytes(wal_).subspan(last - start_, 500000));
  EXPECT_GT(other.last_record_lsn(), last);
  // Damage: what came before it is kept, and good bytes are taken afterwards.
  last = other.last_record_lsn();
  std::string bad = wal_.substr(last - start_, 500000);
  bad[400000] ^= 1;
  EXPECT_THROW(ingest.feed(last, as_bytes(bad)), Error);
  EXPECT_GT(other.last_record_lsn(), last);
  last = other.last_record_lsn();
  EXPECT_THROW(ingest.feed(last, as_bytes(wal_).subspan(last - start_, 500000)), Error);
  EXPECT_FALSE(ingest.skeleton_at(last));
  begin(last).feed(last, as_bytes(wal_).subspan(last - start_, 500000));
  EXPECT_GT(other.last_record_lsn(), last);
}

// Storage fails now and then: what is stored in the end is what would have been without that.
TEST_F(IngestOfAStockCluster, AFailureLeavesNothingHalfChanged) {
  struct FailingStore : MapStore {
    void put(Lsn lsn, std::span<const Put> puts) override {
      if (++calls % 1009 == 0) throw std::bad_alloc();
      MapStore::put(lsn, puts);
    }
    int calls = 0;
  };
  Head empty;
  empty.lsn = start_;
  const Bytes wal = as_bytes(wal_).first(3'000'000);
  MapStore clean;
  Ingest(clean, empty, kMajor15, nullptr).feed(start_, wal);
  FailingStore failing;
  failing.advance(start_);
  int failures = 0;
  for (Lsn at = start_;; at = failing.last_record_lsn()) {
    Ingest ingest(failing, at == start_ ? empty : Head::load(failing, at), kMajor15, nullptr);
    try {
      ingest.feed(at, wal.subspan(at - start_));
      break;
    } catch (const std::bad_alloc&) {
      failures++;
      EXPECT_TRUE(ingest.failed());
      EXPECT_FALSE(ingest.skeleton_at(ingest.head_lsn()));
    }
  }
  EXPECT_GT(failures, 5);
  EXPECT_EQ(failing.last_record_lsn(), clean.last_record_lsn());
  const Skeleton there = build_skeleton(failing, failing.last_record_lsn(), 15);
  const Skeleton wanted = build_skeleton(clean, clean.last_record_lsn(), 15);
  EXPECT_EQ(there.relations.size(), wanted.relations.size());
  for (const auto& [key, versions] : clean.versions())
    if (key.kind != KeyKind::checkpoint)  // As often as it is stored anew; see Change.
      EXPECT_EQ(failing.versions().at(key).size(), versions.size());
}

TEST_F(IngestOfAStockCluster, KeepsFilesThatWalDoesNotCarry) {
  ingest_->put_file("pg_stat/pgstat.stat", "numbers");
  auto has = [&](const std::string& path) {
    for (const SkeletonFile& file : build_skeleton(*store_, ingest_->head_lsn(), 15).files)
      if (file.path == path) return file.content == "numbers";
    return false;
  };
  EXPECT_TRUE(has("pg_stat/pgstat.stat"));
  ingest_->put_file("pg_stat/pgstat.stat", "");
  EXPECT_FALSE(has("pg_stat/pgstat.stat"));
}

}  // namespace
}  // namespace halogen::pageserver
