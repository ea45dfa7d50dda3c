// The whole pageserver, fed by a stock server's own walsender.
#include "pageserver/pageserver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <sstream>

#include "pageserver/fake_redo.h"
#include "pageserver/redo/redo_pool.h"
#include "pageserver/redo/redo_test_env.h"
#include "pageserver/redo/redo_test_pages.h"
#include "pageserver/redo/redo_test_workload.h"
#include "postgres/stock_cluster.h"
#include "protocol/storage_contract.h"

namespace halogen::pageserver {
namespace {

constexpr uint32_t kDatabase = 5;  // "postgres"

Deadline in_a_minute() { return Deadline::after(std::chrono::seconds(60)); }

// Of what initdb makes; cleanly stopped and never started.
const halogen::testing::StockCluster& fresh_cluster() {
  static halogen::testing::StockCluster cluster;
  return cluster;
}

class PageserverTest : public ::testing::Test {
 protected:
  void open(Redo& redo) {
    Pageserver::Options options;
    options.home = folder_ / "home";
    options.page_socket = folder_ / "pages";
    options.flush_bytes = flush_bytes_;
    options.following = following_;
    options.merge_files = merge_files_;
    options.history_interval = history_interval_;
    options.archive = archive_;
    options.page_limits.session = page_session_;
    server_ = std::make_unique<Pageserver>(options, redo);
  }
  void open() { open(fake_); }
  Lsn import_fresh() {
    Lsn end = fresh_cluster().end();
    server_->import_template(15, fresh_cluster().data(), end);
    return end;
  }
  TimelineId create(TimelineId ancestor, Lsn lsn, TenantId tenant = TenantId::random()) {
    TimelineId id = TimelineId::random();
    server_->create_timeline(tenant, id, ancestor, lsn, soon());
    return id;
  }

  TempFolder folder_;
  size_t flush_bytes_ = 64 << 20;
  size_t merge_files_ = 8;
  std::chrono::milliseconds history_interval_{60000};
  Follower::Options following_;
  PageSession::Limits page_session_;
  FakeRedo fake_;
  ArchiveNews* archive_ = nullptr;
  std::unique_ptr<Pageserver> server_;
};

// In bytes; 0 where malloc does not tell, as under sanitizers.
size_t allocated() { return ::mallinfo2().uordblks; }

TEST_F(PageserverTest, ABranchAtRestTakesAboutAKilobyte) {
  constexpr int kBranches = 500;
  const Lsn end = fresh_cluster().end();
  following_.wal_end = [end](TimelineId) { return end; };  // The safekeeper has no more.
  open();
  import_fresh();
  const TimelineId base = server_->template_timeline(15).timeline;
  auto reopened = [&] {
    server_.reset();
    const size_t before = allocated();
    open();
    return static_cast<int64_t>(allocated() - before);
  };
  const int64_t none = reopened();
  for (int i = 0; i < kBranches; i++)
    server_->attach_wal(create(base, end), "/a/socket/folder/of/a/safekeeper", 5454);
  EXPECT_LT((reopened() - none) / kBranches, 1400);
}

// Asks at once for what it is told of, as an archive may that has nothing else to do.
class AskingArchive : public ArchiveNews {
 public:
  void pages_changed(TimelineId id) override {
    if (server == nullptr) return;
    last_answer = id;
    try {
      server->stored(id);
    } catch (const Error&) {
      last_answer.reset();
    }
  }
  void wal_changed(TimelineId) override {}
  void wal_cut(TimelineId, Lsn) override {}
  Lsn archived_lsn(TimelineId) override { return Lsn(); }

  Pageserver* server = nullptr;
  std::optional<TimelineId> last_answer;
};

TEST_F(PageserverTest, ABranchThatTheArchiveIsToldOfIsThere) {
  AskingArchive archive;
  archive_ = &archive;
  open();
  const Lsn lsn = import_fresh();
  archive.server = server_.get();
  const TimelineId made = create(server_->template_timeline(15).timeline, lsn);
  EXPECT_EQ(archive.last_answer, made);
  archive.server = nullptr;
  server_.reset();
}

TEST_F(PageserverTest, AProjectIsABranchOfTheTemplateAndSurvivesARestart) {
  open();
  EXPECT_EQ(thrown_by([&] { server_->template_timeline(15); }), Errc::not_found);
  Lsn lsn = import_fresh();
  EXPECT_EQ(thrown_by([&] { import_fresh(); }), Errc::already_exists);
  TimelineInfo base = server_->template_timeline(15);
  EXPECT_EQ(base.disk_consistent_lsn, lsn);
  EXPECT_GT(base.logical_bytes, 20u << 20);
  EXPECT_GT(base.physical_bytes, 1u << 20);

  TenantId tenant = TenantId::random();
  TimelineId id = create(base.timeline, lsn, tenant);
  TimelineInfo info = server_->timeline(id);
  EXPECT_EQ(info.tenant, tenant);
  EXPECT_EQ(info.ancestor, base.timeline);
  EXPECT_EQ(info.last_record_lsn, lsn);
  EXPECT_EQ(info.physical_bytes, 0u) << "nothing is copied";
  EXPECT_EQ(info.logical_bytes, base.logical_bytes);
  Skeleton before = server_->skeleton(id, lsn, soon());
  EXPECT_GT(before.relations.size(), 500u);

  server_.reset();
  open();
  EXPECT_EQ(server_->timelines().size(), 2u);
  EXPECT_EQ(server_->timeline(id).tenant, tenant);
  EXPECT_EQ(server_->timelines_of(tenant).size(), 1u);
  EXPECT_TRUE(server_->timelines_of(TenantId::random()).empty());
  Skeleton after = server_->skeleton(id, lsn, soon());
  EXPECT_EQ(after.relations.size(), before.relations.size());
  EXPECT_EQ(after.files.size(), before.files.size());
  auto pages = testing::read_all_pages(fresh_cluster().data(), kDatabase);
  size_t compared = 0;
  for (const auto& [key, page] : pages) {
    if (compared++ % 10 != 0) continue;
    ASSERT_EQ(server_->read_page(id, key, lsn, soon()), page) << key.tag.rel << " " << key.block;
  }
  EXPECT_GT(compared, 500u);
}

TEST_F(PageserverTest, TenantsBranchOnlyFromTheirOwnAndTheTemplate) {
  open();
  Lsn lsn = import_fresh();
  TimelineId base = server_->template_timeline(15).timeline;
  TenantId tenant = TenantId::random();
  TimelineId main = create(base, lsn, tenant);
  create(main, lsn, tenant);
  EXPECT_EQ(thrown_by([&] { create(main, lsn, TenantId::random()); }), Errc::permission_denied);
  EXPECT_EQ(thrown_by([&] { create(TimelineId::random(), lsn); }), Errc::not_found);
  EXPECT_EQ(thrown_by([&] { create(base, lsn - 8); }), Errc::gone);
  EXPECT_EQ(thrown_by([&] {
              server_->create_timeline(tenant, TimelineId::random(), main, lsn + 8,
                                       Deadline::after(std::chrono::milliseconds(10)));
            }),
            Errc::timed_out);
}

TEST_F(PageserverTest, WhatIsInUseIsNotDeleted) {
  open();
  Lsn lsn = import_fresh();
  TimelineId base = server_->template_timeline(15).timeline;
  TenantId tenant = TenantId::random();
  TimelineId parent = create(base, lsn, tenant);
  TimelineId child = create(parent, lsn, tenant);
  EXPECT_EQ(thrown_by([&] { server_->delete_timeline(base); }), Errc::conflict);
  EXPECT_EQ(thrown_by([&] { server_->delete_timeline(parent); }), Errc::conflict);
  PageToken token = server_->open_session(child, 1, lsn);
  EXPECT_EQ(thrown_by([&] { server_->delete_timeline(child); }), Errc::conflict);
  server_->close_session(token);
  server_->delete_timeline(child);
  server_->delete_timeline(child);
  server_->delete_timeline(parent);
  EXPECT_EQ(thrown_by([&] { server_->timeline(parent); }), Errc::not_found);
  EXPECT_EQ(server_->timelines().size(), 1u);
  EXPECT_FALSE(fs::exists(folder_ / ("home/timelines/" + parent.str())));
}

TEST_F(PageserverTest, KeepsItsContract) {
  open();
  Lsn lsn = import_fresh();
  contract::expect_contract(*server_, server_->template_timeline(15).timeline, lsn);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "home/timelines"), {}), 1);
}

// A branch that cannot be opened can still be deleted, but for one that others stand on.
TEST_F(PageserverTest, WhatCannotBeOpenedCanBeDeleted) {
  open();
  Lsn lsn = import_fresh();
  TenantId tenant = TenantId::random();
  TimelineId bad = create(server_->template_timeline(15).timeline, lsn, tenant);
  TimelineId child = create(bad, lsn, tenant);
  server_.reset();
  const fs::path folder = folder_ / ("home/timelines/" + bad.str());
  write_file_durably(folder / kManifestFile, "damaged");
  open();
  EXPECT_EQ(thrown_by([&] { server_->timeline(bad); }), Errc::not_found);
  EXPECT_EQ(thrown_by([&] { server_->delete_timeline(bad); }), Errc::conflict);
  server_->delete_timeline(child);
  server_->delete_timeline(bad);
  EXPECT_FALSE(fs::exists(folder));
}

// After one of the two folders was restored, or WAL was lost, a compute would commit a fork.
TEST_F(PageserverTest, NoComputeGoesOnFromBeforeWhatHasBeenRead) {
  open();
  Lsn lsn = import_fresh();
  TimelineId id = create(server_->template_timeline(15).timeline, lsn);
  EXPECT_EQ(thrown_by([&] { server_->open_session(id, 1, lsn - 8); }), Errc::corrupt);
  server_->close_session(server_->open_session(id, 1, lsn));
}

TEST_F(PageserverTest, WhatACrashLeftHalfMadeIsRemoved) {
  open();
  Lsn lsn = import_fresh();
  TimelineId id = create(server_->template_timeline(15).timeline, lsn);
  fs::path timelines = folder_ / "home/timelines";
  fs::create_directories(timelines / TimelineId::random().str() / "layers");
  Manifest orphan;  // A template whose import did not end.
  orphan.timeline = TimelineId::random();
  TimelineStore::create(timelines / orphan.timeline.str(), orphan);
  server_.reset();
  open();
  EXPECT_EQ(server_->timelines().size(), 2u);
  EXPECT_EQ(server_->timeline(id).last_record_lsn, lsn);
  EXPECT_EQ(std::distance(fs::directory_iterator(timelines), {}), 2);
}

// Losing a file of 33 bytes must not delete every project.
TEST_F(PageserverTest, ATemplateThatBranchesNameIsNeverRemoved) {
  open();
  Lsn lsn = import_fresh();
  TimelineId base = server_->template_timeline(15).timeline;
  TimelineId child = create(base, lsn);
  for (std::string_view left : {"", "damaged\n"}) {
    server_.reset();
    fs::path file = folder_ / "home" / "templates" / "15";
    fs::remove(file);
    if (!left.empty()) write_file_durably(file, left);
    open();
    EXPECT_EQ(server_->template_timeline(15).timeline, base);
    EXPECT_EQ(server_->timeline(child).ancestor, base);
    create(base, lsn);
  }
}

TEST_F(PageserverTest, WhatIsNotKnownLiesInTheTrashForAWeek) {
  open();
  server_.reset();
  const fs::path home = folder_ / "home";
  TimelineId id = TimelineId::random();
  fs::create_directories(home / "timelines" / id.str() / "layers");
  open();
  ASSERT_TRUE(fs::exists(home / "trash"));
  fs::path kept = fs::directory_iterator(home / "trash")->path();
  EXPECT_NE(kept.string().find(id.str()), std::string::npos);
  EXPECT_TRUE(fs::exists(kept / "layers"));
  server_.reset();
  open();
  EXPECT_TRUE(fs::exists(kept));
  server_.reset();
  fs::rename(kept, home / "trash" / ("1000000000-" + id.str()));
  open();
  EXPECT_TRUE(fs::is_empty(home / "trash"));
}

TEST_F(PageserverTest, ADamagedTimelineDoesNotHideTheOthers) {
  open();
  Lsn lsn = import_fresh();
  TimelineId base = server_->template_timeline(15).timeline;
  TenantId tenant = TenantId::random();
  TimelineId bad = create(base, lsn, tenant), good = create(base, lsn, tenant);
  TimelineId child = create(bad, lsn, tenant);
  server_.reset();
  write_file(folder_ / ("home/timelines/" + bad.str() + "/manifest"), "damaged");
  open();
  EXPECT_EQ(server_->timeline(good).last_record_lsn, lsn);
  EXPECT_EQ(thrown_by([&] { server_->timeline(bad); }), Errc::not_found);
  EXPECT_EQ(thrown_by([&] { server_->timeline(child); }), Errc::not_found);
  EXPECT_TRUE(fs::exists(folder_ / ("home/timelines/" + bad.str() + "/manifest")));
}

TEST_F(PageserverTest, FilesAreKeptAsOfTheEndOnly) {
  open();
  Lsn lsn = import_fresh();
  TimelineId id = create(server_->template_timeline(15).timeline, lsn);
  auto content = [&](TimelineId of) -> std::string {
    for (const SkeletonFile& file : server_->skeleton(of, lsn, soon()).files)
      if (file.path == "base/5/pg_internal.init") return file.content;
    return "none";
  };
  EXPECT_EQ(content(id), "none");
  server_->put_file(id, lsn, "base/5/pg_internal.init", "statistics");
  EXPECT_EQ(content(id), "statistics");
  EXPECT_EQ(thrown_by([&] { server_->put_file(id, lsn - 8, "x", "y"); }), Errc::conflict);
  server_.reset();  // Flushes.
  open();
  EXPECT_EQ(content(id), "statistics");
  EXPECT_EQ(content(server_->template_timeline(15).timeline), "none");
  server_->put_file(id, lsn, "base/5/pg_internal.init", "");
  EXPECT_EQ(content(id), "none");
}

TEST_F(PageserverTest, TheSkeletonBringsThePagesThatTheLastBootAskedFor) {
  open();
  Lsn lsn = import_fresh();
  TimelineId base = server_->template_timeline(15).timeline;
  TimelineId id = create(base, lsn);
  const PageKey pg_class{RelTag::relation(1663, kDatabase, 1259, Fork::main), 0};
  PageToken token = server_->open_session(id, 1, lsn);
  {
    net::Socket socket = net::connect_unix(server_->page_service_socket(), soon());
    PageKey past_the_end = pg_class;
    past_the_end.block = 100000;
    Writer out;
    out.put(PageHello{.token = token});
    out.put(PageRequest{1, lsn.value, 5000, 2});
    out.put(PageRange{past_the_end, 1}).put(PageRange{pg_class, 1});
    socket.send_all(out.view());
    std::string reply(sizeof(PageHelloReply) + sizeof(PageReply) + 2 * kPageSize, '\0');
    socket.recv_exact(std::as_writable_bytes(std::span(reply)), soon());
    EXPECT_EQ(reply.substr(reply.size() - 2 * kPageSize, kPageSize), std::string(kPageSize, '\0'));
  }
  server_->close_session(token);
  Skeleton skeleton = server_->skeleton(id, lsn, soon());
  ASSERT_EQ(skeleton.hot_pages.size(), 1u) << "not those that do not exist";
  EXPECT_EQ(skeleton.hot_pages[0].key, pg_class);
  EXPECT_EQ(*skeleton.hot_pages[0].page, server_->read_page(id, pg_class, lsn, soon()));
  TimelineId other = create(base, lsn);
  EXPECT_EQ(server_->skeleton(other, lsn, soon()).hot_pages.size(), 1u) << "other projects too";
}

// A stock server whose walsender plays the safekeeper.
class LivePageserverTest : public PageserverTest {
 protected:
  void SetUp() override {
    stock_.start(settings());
    stock_.sql(read_file(testing::TestFolder::extension_sql()));
    stock_.sql(fmt::format("CREATE ROLE \"{}\" LOGIN REPLICATION;", id_.str()));
    stock_.stop();
    start_ = stock_.end();
    open(redo_);
    server_->import_template(15, stock_.data(), start_);
    server_->create_timeline(TenantId::random(), id_, server_->template_timeline(15).timeline,
                             start_, soon());
    server_->attach_wal(id_, stock_.folder().string(), 5432);
    stock_.start(settings());
  }
  void TearDown() override { server_.reset(); }

  std::string settings() const {
    return fmt::format(
        "-c autovacuum=off -c shared_buffers=16MB -c dynamic_library_path={} -c max_wal_size=8GB",
        redo_folder_.path().string());
  }
  Lsn now() {
    std::string text = stock_.sql("SELECT pg_current_wal_insert_lsn();");
    text.erase(text.find_last_not_of('\n') + 1);
    return *Lsn::parse(text);
  }

  // Every page of the stopped server's files against the pageserver's; returns those that differ
  // once the server, started again, has masked both.
  std::string compare_all() {
    stock_.sql("SELECT halogen.prepare_suspend();");  // Sequences are ahead of WAL otherwise.
    std::map<uint32_t, int> rmgrs = read_rmgrs();
    stock_.stop();  // Waits until the pageserver has all WAL.
    Lsn end = stock_.end();
    server_->wait_for_lsn(id_, end, in_a_minute());
    std::string script =
        "CREATE TEMP TABLE d(k text, blk int8, rmgr int, a bytea, b bytea);\nCOPY d FROM STDIN;\n";
    for (const auto& [key, page] : testing::read_all_pages(stock_.data(), kDatabase)) {
      if (!rmgrs.contains(key.tag.rel) || key.tag.fork == 1) continue;
      compared_++;
      std::string ours = server_->read_page(id_, key, end, in_a_minute());
      if (ours == page) continue;
      script +=
          fmt::format("{} fork {} block {}\t{}\t{}\t\\\\x{}\t\\\\x{}\n", key.tag.rel, key.tag.fork,
                      key.block, key.block, key.tag.fork == 0 ? rmgrs[key.tag.rel] : -1,
                      to_hex(as_bytes(ours)), to_hex(as_bytes(page)));
    }
    check_sizes(end);
    stock_.start(settings());
    return stock_.sql(script +
                      "\\.\nSELECT k, rmgr FROM d WHERE halogen.mask_page(a, blk, rmgr) <> "
                      "halogen.mask_page(b, blk, rmgr);");
  }
  // Of each relation file: the resource manager whose mask describes its pages.
  std::map<uint32_t, int> read_rmgrs() {
    std::istringstream lines(stock_.sql(
        "SELECT pg_relation_filenode(c.oid), CASE relkind WHEN 'S' THEN 15 ELSE CASE a.amname "
        "WHEN 'heap' THEN 10 WHEN 'btree' THEN 11 WHEN 'hash' THEN 12 WHEN 'gin' THEN 13 "
        "WHEN 'gist' THEN 14 WHEN 'spgist' THEN 16 WHEN 'brin' THEN 17 END END "
        "FROM pg_class c LEFT JOIN pg_am a ON a.oid = c.relam "
        "WHERE relkind IN ('r','t','m','i','S') AND relpersistence = 'p' "
        "AND pg_relation_filenode(c.oid) IS NOT NULL;"));
    std::map<uint32_t, int> rmgrs;
    for (std::string line; std::getline(lines, line);)
      if (auto bar = line.find('|'); bar != std::string::npos)
        rmgrs[static_cast<uint32_t>(std::stoul(line))] = std::stoi(line.substr(bar + 1));
    return rmgrs;
  }
  void check_sizes(Lsn end) {
    Skeleton skeleton = server_->skeleton(id_, end, soon());
    for (const RelSize& size : skeleton.relations) {
      if (size.tag.db != kDatabase || size.tag.spc != 1663 || size.tag.fork != 0) continue;
      fs::path file = stock_.data() / "base/5" / std::to_string(size.tag.rel);
      ASSERT_TRUE(fs::exists(file)) << file;
      EXPECT_EQ(fs::file_size(file), uint64_t{size.pages} * kPageSize) << file;
    }
  }

  testing::TestFolder redo_folder_;
  RedoPool redo_{redo_folder_.pool_options()};
  halogen::testing::StockCluster stock_;
  TimelineId id_ = TimelineId::random();
  Lsn start_;
  size_t compared_ = 0;
};

TEST_F(LivePageserverTest, EveryPageEqualsTheServersAlsoAfterFlushesAndRestarts) {
  flush_bytes_ = 2 << 20;
  server_.reset();
  open(redo_);
  stock_.sql(testing::kWorkload);
  EXPECT_EQ(compare_all(), "");
  EXPECT_GT(compared_, 2000u);
  server_->wait_for_lsn(id_, now(), in_a_minute());
  server_->flush(id_, in_a_minute());
  TimelineInfo info = server_->timeline(id_);
  EXPECT_EQ(info.disk_consistent_lsn, info.last_record_lsn);
  EXPECT_GT(info.physical_bytes, 1u << 20);
  server_.reset();
  stock_.sql("UPDATE t SET n = n + 1 WHERE id % 3 = 0; VACUUM t; CREATE TABLE late AS SELECT 1 a;");
  open(redo_);
  EXPECT_EQ(compare_all(), "") << "the source is remembered, and nothing is missed";
}

TEST_F(LivePageserverTest, ABranchStandsStillWhileItsParentGoesOn) {
  stock_.sql("CREATE TABLE b AS SELECT 1 a FROM generate_series(1, 1000);");
  Lsn at = now();
  server_->wait_for_lsn(id_, at, in_a_minute());
  TimelineId branch = TimelineId::random();
  server_->create_timeline(server_->timeline(id_).tenant, branch, id_, at, soon());
  std::string file = stock_.sql("SELECT pg_relation_filenode('b');");
  const PageKey page{
      RelTag::relation(1663, kDatabase, static_cast<uint32_t>(std::stoul(file)), Fork::main), 0};
  std::string before = server_->read_page(id_, page, at, soon());
  EXPECT_NE(before, std::string(kPageSize, '\0'));
  stock_.sql("DELETE FROM b; INSERT INTO b VALUES (2); DROP TABLE b; CREATE TABLE c(a int);");
  server_->wait_for_lsn(id_, now(), in_a_minute());
  EXPECT_EQ(server_->read_page(branch, page, at, soon()), before);
  EXPECT_EQ(server_->read_page(id_, page, at, soon()), before) << "time travel";
  auto has = [&](const Skeleton& skeleton) {
    return std::any_of(skeleton.relations.begin(), skeleton.relations.end(),
                       [&](const RelSize& size) { return size.tag == page.tag; });
  };
  EXPECT_TRUE(has(server_->skeleton(branch, at, soon())));
  EXPECT_TRUE(has(server_->skeleton(id_, at, soon())));
  EXPECT_FALSE(has(server_->skeleton(id_, server_->timeline(id_).last_record_lsn, soon())));
}

class BoundedPageserverTest : public LivePageserverTest {
 protected:
  void SetUp() override {
    flush_bytes_ = 1 << 20;
    merge_files_ = 3;
    history_interval_ = std::chrono::milliseconds(20);
    page_session_.patience = std::chrono::seconds(0);
    LivePageserverTest::SetUp();
  }
  TenantId tenant() { return server_->timeline(id_).tenant; }
  std::map<PageKey, std::string> all_pages(TimelineId id, Lsn lsn) {
    std::map<PageKey, std::string> pages;
    for (const RelSize& size : server_->skeleton(id, lsn, in_a_minute()).relations)
      for (uint32_t block = 0; block < size.pages; block++)
        pages[{size.tag, block}] = server_->read_page(id, {size.tag, block}, lsn, in_a_minute());
    return pages;
  }
  // Until history begins at or after `lsn`, and what was before it has gone.
  void wait_for_horizon(Lsn lsn) {
    const Deadline deadline = in_a_minute();
    auto done = [&] {
      const TimelineInfo info = server_->timeline(id_);
      return info.oldest_lsn >= lsn && !server_->merging(id_);
    };
    while (!done() && !deadline.passed()) ::usleep(10000);
    ASSERT_GE(server_->timeline(id_).oldest_lsn, lsn);
    ASSERT_FALSE(server_->merging(id_));
  }
};

TEST_F(BoundedPageserverTest, WhatIsOlderThanTheWindowGoesAndEveryOtherPageIsAsItWas) {
  stock_.sql(testing::kWorkload);
  const Lsn at = now();
  server_->wait_for_lsn(id_, at, in_a_minute());
  const TimelineId branch = TimelineId::random();
  server_->create_timeline(tenant(), branch, id_, at, in_a_minute());
  const auto before = all_pages(branch, at);
  EXPECT_GT(before.size(), 2000u);
  EXPECT_LE(server_->earliest_moment(id_).lsn, start_)
      << "nobody has said how much history there is to be";

  server_->set_history_retention(tenant(), std::chrono::seconds(0));
  for (int round = 0; round < 4; round++) {
    stock_.sql(
        "UPDATE t SET n = n + 1; VACUUM t; DROP TABLE IF EXISTS late; CREATE TABLE late AS SELECT "
        "* FROM t;");
    server_->wait_for_lsn(id_, now(), in_a_minute());
    ::usleep(100000);
  }
  server_->flush(id_, in_a_minute());
  wait_for_horizon(at + 1);
  EXPECT_EQ(compare_all(), "");
  server_->wait_for_lsn(id_, now(), in_a_minute());
  server_->flush(id_, in_a_minute());
  wait_for_horizon(at + 1);

  for (int restarts = 0; restarts < 2; restarts++) {
    EXPECT_EQ(all_pages(branch, at), before) << "what a branch stands on stays";
    const Moment earliest = server_->earliest_moment(id_);
    EXPECT_GT(earliest.lsn, at);
    EXPECT_EQ(server_->moment_at(id_, earliest.lsn).lsn, earliest.lsn);
    EXPECT_EQ(server_->moment_at_time(id_, *earliest.commit_time).lsn, earliest.lsn);
    EXPECT_EQ(thrown_by([&] { server_->moment_at(id_, at); }), Errc::gone);
    EXPECT_EQ(thrown_by([&] { server_->moment_at_time(id_, *earliest.commit_time - 1); }),
              Errc::gone);
    EXPECT_EQ(thrown_by([&] { server_->skeleton(id_, at - 8, soon()); }), Errc::gone);
    EXPECT_EQ(thrown_by([&] { create(id_, at, tenant()); }), Errc::gone);
    EXPECT_NO_THROW(server_->moment_at(branch, at));
    server_.reset();
    open(redo_);
  }
  server_->set_history_retention(tenant(), std::chrono::seconds(0));
  const uint64_t with_branch = server_->timeline(id_).physical_bytes;
  server_->delete_timeline(branch);
  stock_.sql("UPDATE t SET n = n + 1; CHECKPOINT;");
  server_->wait_for_lsn(id_, now(), in_a_minute());
  server_->flush(id_, in_a_minute());
  wait_for_horizon(at + 1);
  EXPECT_LT(server_->timeline(id_).physical_bytes, with_branch) << "nobody needs it any more";
}

TEST_F(BoundedPageserverTest, AComputeReadsWhereItBootedHoweverLongAgo) {
  stock_.sql("CREATE TABLE b AS SELECT i FROM generate_series(1, 50000) i;");
  const Lsn boot = now();
  server_->wait_for_lsn(id_, boot, in_a_minute());
  const auto before = all_pages(id_, boot);
  const PageToken token = server_->open_session(id_, 1, server_->timeline(id_).last_record_lsn);
  const Lsn reads = server_->timeline(id_).last_record_lsn;
  server_->set_history_retention(tenant(), std::chrono::seconds(0));
  stock_.sql("UPDATE b SET i = i + 1; VACUUM b; UPDATE b SET i = i + 1;");
  server_->wait_for_lsn(id_, now(), in_a_minute());
  server_->flush(id_, in_a_minute());
  wait_for_horizon(reads + 1);
  for (const auto& [key, page] : before)
    ASSERT_EQ(server_->read_page(id_, key, reads, in_a_minute()), page)
        << key.tag.rel << " " << key.block;
  server_->close_session(token);
}

TEST_F(BoundedPageserverTest, AComputeThatReadsLaterLetsGoOfWhereItBooted) {
  stock_.sql("CREATE TABLE b AS SELECT i FROM generate_series(1, 50000) i;");
  server_->wait_for_lsn(id_, now(), in_a_minute());
  const Lsn boot = server_->timeline(id_).last_record_lsn;
  const PageToken token = server_->open_session(id_, 1, boot);
  server_->set_history_retention(tenant(), std::chrono::seconds(0));
  std::map<Lsn, std::map<PageKey, std::string>> pages;
  auto note = [&](Lsn lsn) {
    for (const auto& [key, page] : all_pages(id_, lsn)) pages[lsn][key] = page;
  };
  auto go_on = [&] {
    stock_.sql("UPDATE b SET i = i + 1; VACUUM b; UPDATE b SET i = i + 1;");
    server_->wait_for_lsn(id_, now(), in_a_minute());
    server_->flush(id_, in_a_minute());
  };
  auto reads_still = [&](Lsn lsn) {
    for (const auto& [key, page] : pages[lsn])
      ASSERT_EQ(server_->read_page(id_, key, lsn, in_a_minute()), page) << lsn.str();
  };
  note(boot);
  go_on();
  const Lsn second = server_->advance_session(token);
  EXPECT_EQ(second, server_->timeline(id_).last_record_lsn);
  note(second);
  go_on();
  wait_for_horizon(second + 1);
  const PageKey any = pages[boot].begin()->first;
  EXPECT_EQ(thrown_by([&] { server_->read_page(id_, any, boot, soon()); }), Errc::gone);
  reads_still(second);
  server_->close_session(token);
  EXPECT_EQ(thrown_by([&] { server_->advance_session(token); }), Errc::not_found);
}

// The stock server in the place of a safekeeper, which knows how far its WAL goes.
class RestingPageserverTest : public LivePageserverTest {
 protected:
  void SetUp() override {
    following_.rest_after = std::chrono::milliseconds(20);
    following_.wal_end = [this](TimelineId id) { return id == id_ ? Lsn(wal_end_) : Lsn(0); };
    LivePageserverTest::SetUp();
  }
  void change(const std::string& sql) {
    stock_.sql(sql);
    wal_end_ = now().value;
  }
  void wait_for_rest() {
    const Deadline deadline = in_a_minute();
    while (server_->counts().awake > 0 && !deadline.passed()) ::usleep(1000);
    ASSERT_EQ(server_->counts().awake, 0u);
  }
  std::string walsenders() { return stock_.sql("SELECT count(*) FROM pg_stat_replication;"); }

  std::atomic<uint64_t> wal_end_ = 0;
};

TEST_F(RestingPageserverTest, ATimelineAtRestCostsNoThreadAndNoConnectionAndMissesNothing) {
  wait_for_rest();
  const PageToken token = server_->open_session(id_, 1, start_);
  change("CREATE TABLE r AS SELECT 1 a;");
  server_->wait_for_lsn(id_, now(), in_a_minute());
  ::usleep(100'000);  // Some rounds of the housekeeper.
  EXPECT_EQ(server_->counts().awake, 1u) << "a compute may write at any moment";
  server_->close_session(token);
  wait_for_rest();
  TimelineInfo info = server_->timeline(id_);
  EXPECT_EQ(info.disk_consistent_lsn, info.last_record_lsn);
  EXPECT_GT(info.logical_bytes, 20u << 20);
  EXPECT_EQ(walsenders(), "0\n");

  change("INSERT INTO r VALUES (2);");
  server_->wait_for_lsn(id_, now(), in_a_minute());
  wait_for_rest();
  server_.reset();
  change("INSERT INTO r VALUES (3);");
  open(redo_);
  EXPECT_EQ(server_->counts().awake, 1u) << "the source is ahead";
  wait_for_rest();
  EXPECT_GE(server_->timeline(id_).disk_consistent_lsn.value, wal_end_.load());
  server_.reset();
  open(redo_);
  EXPECT_EQ(server_->counts().awake, 0u) << "there is nothing to do";
  EXPECT_EQ(walsenders(), "0\n");
  server_->open_session(id_, 2, now());  // The source is stopped to be compared, and goes on after.
  server_->wait_for_lsn(id_, now(), in_a_minute());
  EXPECT_EQ(compare_all(), "");
}

TEST_F(RestingPageserverTest, WhileAllRestNothingIsKeptReadyForReadsButPages) {
  class Watched : public FakeRedo {
   public:
    explicit Watched(Redo& redo) : redo_(redo) {}
    std::string replay(const PageKey& key, std::optional<Bytes> base,
                       std::span<const RedoRecord> records, Deadline deadline) override {
      return redo_.replay(key, base, records, deadline);
    }

   private:
    Redo& redo_;
  } watched(redo_);
  auto comes = [](const std::function<bool()>& condition) {
    const Deadline deadline = in_a_minute();
    while (!condition() && !deadline.passed()) ::usleep(1000);
    return condition();
  };
  wait_for_rest();
  server_.reset();
  open(watched);
  EXPECT_TRUE(comes([&] { return !watched.expects_work; }));
  const PageToken token = server_->open_session(id_, 1, now());
  EXPECT_TRUE(comes([&] { return watched.expects_work.load(); }));
  server_->skeleton(id_, now(), in_a_minute());
  EXPECT_GT(server_->memory().blocks, 0u);
  server_->close_session(token);
  EXPECT_TRUE(comes([&] { return server_->memory().blocks == 0; }));
  EXPECT_TRUE(comes([&] { return !watched.expects_work; }));
  server_.reset();
}

// What is waited for is asked for, also where it is the parent's.
TEST_F(RestingPageserverTest, ABranchWakesItsParentForWhatIsMissing) {
  wait_for_rest();
  stock_.sql("CREATE TABLE r AS SELECT 1 a;");  // Nobody says that there is more.
  TimelineId child = TimelineId::random();
  const Lsn at = now();
  server_->create_timeline(server_->timeline(id_).tenant, child, id_, at, in_a_minute());
  EXPECT_GE(server_->timeline(id_).last_record_lsn, at);
  EXPECT_GT(server_->skeleton(child, at, in_a_minute()).relations.size(), 500u);
}

TEST_F(RestingPageserverTest, ComingToRestAndWakingMayMeetAtAnyMoment) {
  stock_.sql("CREATE TABLE r (a int);");
  for (uint64_t term = 1; term <= 12; term++) {
    const PageToken token = server_->open_session(id_, term, now());
    change("INSERT INTO r VALUES (1);");
    ASSERT_NO_THROW(server_->wait_for_lsn(id_, Lsn(wal_end_), soon())) << term;
    server_->close_session(token);
    if (term % 4 == 0) wait_for_rest();
  }
}

}  // namespace
}  // namespace halogen::pageserver
