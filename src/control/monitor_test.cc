#include "control/monitor.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/file.h"
#include "control/fakes.h"
#include "control/names.h"
#include "control/projects.h"

namespace halogen::control {
namespace {

constexpr int64_t kNow = 1'800'000'000;  // Divides by five minutes.
constexpr int64_t kStep = Monitor::kFineStep.count();

class CountingPooler : public Pooler {
 public:
  PoolerStatus pooler_status(const std::string&, bool) override { return status; }
  bool end_client(const std::string&, uint64_t) override { return false; }
  PoolerStatus status;
};

class RunningHost : public FakeHost {
 public:
  std::vector<ComputeProcess> processes() override { return running; }
  std::optional<BlockUse> block_use(const std::string&) override {
    ++questions;
    return blocks;
  }
  std::vector<ComputeProcess> running;
  std::optional<BlockUse> blocks;
  int questions = 0;
};

class MonitorTest : public testing::Test {
 protected:
  MonitorTest() {
    std::string folder = fs::temp_directory_path() / "halogen-monitor-XXXXXX";
    folder_ = ::mkdtemp(folder.data());
    catalog_ = std::make_unique<Catalog>(folder_ / "catalog.db");
    manager_ = std::make_unique<EndpointManager>(
        EndpointManager::Options{.catalog = *catalog_, .host = host_});
    manager_->start();
    projects_ = std::make_unique<Projects>(
        Projects::Options{*catalog_, *manager_, host_, pageserver_, safekeeper_, "here", 5432});
    endpoint_ = projects_->create({.name = "shop"}).endpoint.id;
    host_.running = {{.endpoint_id = endpoint_, .pid = 0}};
    begin();
  }
  ~MonitorTest() override {
    monitor_.reset();
    manager_.reset();
    fs::remove_all(folder_);
  }
  void begin(int64_t most_rows = Monitor::kMostRows) {
    monitor_.reset();
    monitor_ = std::make_unique<Monitor>(Monitor::Options{*catalog_, *manager_, host_, pageserver_,
                                                          [this] { return &pooler_; },
                                                          folder_ / "metrics.db", most_rows});
    monitor_->start();
  }
  int64_t value(const Sample& sample, Measure measure) {
    return sample.values[static_cast<size_t>(measure)];
  }
  void add_queries(uint64_t count) { pooler_.status.totals["neondb"].queries += count; }

  fs::path folder_;
  RunningHost host_;
  FakePageserver pageserver_;
  FakeSafekeeper safekeeper_;
  CountingPooler pooler_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<EndpointManager> manager_;
  std::unique_ptr<Projects> projects_;
  std::unique_ptr<Monitor> monitor_;
  std::string endpoint_;
};

TEST_F(MonitorTest, SamplesTellWhatCameSinceTheOneBefore) {
  add_queries(5);
  monitor_->pass(kNow);
  add_queries(7);
  monitor_->pass(kNow + kStep);
  auto samples = monitor_->samples(endpoint_, kNow - 3600, kNow + 3600);
  ASSERT_EQ(samples.size(), 2u);
  EXPECT_EQ(value(samples[0], Measure::queries), 5);
  EXPECT_EQ(value(samples[1], Measure::queries), 7);
  EXPECT_EQ(samples[1].seconds, kStep);
}

TEST_F(MonitorTest, ItsUseOfBlocksIsAskedForWhereItWasUsed) {
  host_.running[0].pid = ::getpid();
  host_.blocks = BlockUse{1'000'000, 5'000};  // Of former lives: it tells nothing of this time.
  monitor_->pass(kNow);
  monitor_->pass(kNow + kStep);
  EXPECT_EQ(host_.questions, 1) << "nothing was asked of it";
  host_.blocks = BlockUse{1'000'090, 5'010};
  add_queries(1);
  monitor_->pass(kNow + 2 * kStep);
  host_.blocks.reset();  // It does not answer: it is left alone for a while.
  for (int i = 3; i < 6; ++i) {
    add_queries(1);
    monitor_->pass(kNow + i * kStep);
  }
  EXPECT_EQ(host_.questions, 3);
  auto samples = monitor_->samples(endpoint_, kNow - 3600, kNow + 3600);
  ASSERT_EQ(samples.size(), 6u);
  std::vector<int64_t> hit, read;
  for (const Sample& sample : samples) {
    hit.push_back(value(sample, Measure::blocks_hit));
    read.push_back(value(sample, Measure::blocks_read));
  }
  EXPECT_EQ(hit, (std::vector<int64_t>{0, 0, 90, 0, 0, 0}));
  EXPECT_EQ(read, (std::vector<int64_t>{0, 0, 10, 0, 0, 0}));
}

TEST_F(MonitorTest, WhatAnEarlierReleaseHasKeptStays) {
  monitor_.reset();
  fs::remove(folder_ / "metrics.db");
  {
    Database old(folder_ / "metrics.db");
    old.exec(
        "CREATE TABLE samples (endpoint TEXT NOT NULL, tier INTEGER NOT NULL, at INTEGER NOT "
        "NULL, seconds INTEGER NOT NULL, queries INTEGER NOT NULL, PRIMARY KEY (endpoint, "
        "tier, at)) WITHOUT ROWID");
    old.run("INSERT INTO samples VALUES (?, 30, ?, 30, 7)", endpoint_, kNow);
  }
  begin();
  add_queries(5);
  monitor_->pass(kNow + kStep);
  auto samples = monitor_->samples(endpoint_, kNow - 3600, kNow + 3600);
  ASSERT_EQ(samples.size(), 2u);
  EXPECT_EQ(value(samples[0], Measure::queries), 7);
  EXPECT_EQ(value(samples[0], Measure::blocks_hit), 0);
  EXPECT_EQ(value(samples[1], Measure::queries), 5);
}

TEST_F(MonitorTest, AComputeAtRestHasNoSamples) {
  host_.running.clear();
  monitor_->pass(kNow);
  monitor_->pass(kNow + kStep);
  EXPECT_TRUE(monitor_->samples(endpoint_, 0, kNow * 2).empty());
}

TEST_F(MonitorTest, FiveMinutesBecomeOneSampleThatOutlivesTheFineOnes) {
  for (int64_t at = kNow; at <= kNow + 300; at += kStep) {
    add_queries(2);
    monitor_->pass(at);
  }
  begin();
  host_.running.clear();
  monitor_->pass(kNow + Monitor::kFineTime.count() * 3600 + 600);
  EXPECT_TRUE(monitor_->samples(endpoint_, kNow, kNow + 3600).empty()) << "the fine ones are gone";
  auto coarse = monitor_->samples(endpoint_, kNow - 86400, kNow + 86400);
  ASSERT_EQ(coarse.size(), 2u);
  EXPECT_EQ(coarse[1].at, kNow + 300);
  EXPECT_EQ(coarse[1].seconds, 300);
  EXPECT_EQ(value(coarse[1], Measure::queries), 20);
}

TEST_F(MonitorTest, ItsRoomIsBounded) {
  begin(10);
  for (int64_t at = kNow; at < kNow + 1200; at += kStep) monitor_->pass(at);
  monitor_->pass(kNow + 1200);
  auto left = monitor_->samples(endpoint_, kNow - 3600, kNow + 3600);
  EXPECT_LE(left.size(), 10u);
  ASSERT_FALSE(left.empty());
  EXPECT_EQ(left.back().at, kNow + 1200) << "the newest stay";
}

TEST_F(MonitorTest, ADamagedFileIsMadeAnew) {
  monitor_->pass(kNow);
  monitor_.reset();
  write_file(folder_ / "metrics.db", "this is no database, and has no page of one in it at all");
  for (const char* part : {"metrics.db-wal", "metrics.db-shm"}) fs::remove(folder_ / part);
  begin();
  monitor_->pass(kNow + kStep);
  EXPECT_EQ(monitor_->samples(endpoint_, kNow, kNow + 3600).size(), 1u);
  for (const auto& open : fs::directory_iterator("/proc/self/fd")) {
    std::error_code closed;  // The listing's own.
    EXPECT_NE(fs::read_symlink(open, closed), folder_ / "metrics.db (deleted)");
  }
}

TEST(ProcessUse, ItsChildrenCountAndSharedMemoryOnce) {
  std::string name = fs::temp_directory_path() / "halogen-proc-XXXXXX";
  fs::path proc = ::mkdtemp(name.data());
  auto add = [&](int pid, int user, int ended, int anonymous, int shared) {
    fs::path folder = proc / std::to_string(pid);
    fs::create_directories(folder / "task" / std::to_string(pid));
    std::ofstream(folder / "stat") << pid << " (post) gres 1) S 1 1 1 0 -1 0 0 0 0 0 " << user
                                   << " 0 " << ended << " 0 20 0 1";
    std::ofstream(folder / "status")
        << "Name:\tx\nRssAnon:\t" << anonymous << " kB\nRssShmem:\t" << shared << " kB\n";
  };
  add(10, 100, 50, 1000, 4000);
  add(11, 20, 9, 500, 3000);
  std::ofstream(proc / "10/task/10/children") << "11 12 ";  // 12 has just ended.
  ProcessUse use = use_of_processes(10, proc);
  fs::remove_all(proc);
  const int64_t tick = 1'000'000 / ::sysconf(_SC_CLK_TCK);
  EXPECT_EQ(use.cpu_us, 170 * tick);
  EXPECT_EQ(use.memory_bytes, (1000 + 500 + 4000) * 1024);
}

}  // namespace
}  // namespace halogen::control
