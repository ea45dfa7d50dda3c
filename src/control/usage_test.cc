#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "control/usage_meter.h"

namespace halogen::control {
namespace {

using std::chrono::milliseconds;

constexpr int64_t kHour = 3600;
constexpr int64_t kNow = 1'790'000'000 - 1'790'000'000 % kHour;  // 2026-09-21, an hour's beginning.

class UsageTest : public testing::Test {
 protected:
  UsageTest() {
    std::string folder = fs::temp_directory_path() / "halogen-usage-XXXXXX";
    folder_ = ::mkdtemp(folder.data());
    open();
  }
  ~UsageTest() override {
    store_.reset();
    fs::remove_all(folder_);
  }
  void open() {
    store_.reset();
    store_ = std::make_unique<UsageStore>(folder_ / "usage.db");
  }
  template <typename Work>
  void batch(Work work) {
    store_->write([&](UsageStore::Batch& batch) { work(batch); });
  }

  fs::path folder_;
  std::unique_ptr<UsageStore> store_;
};

TEST_F(UsageTest, WhatIsAddedIsThereAfterARestartInEachPeriod) {
  batch([](auto& batch) { batch.add("br-a", "p", {1000, 250, 10, 20, 0}, kNow); });
  open();
  batch([](auto& batch) {
    batch.add("br-a", "p", {500, 125, 1, 2, 0}, kNow + kHour);
    batch.add("br-b", "p", {1, 1, 1, 1, 0}, kNow + kHour);
  });
  EXPECT_EQ(store_->of_branch("br-a", kNow + kHour), (Usage{1500, 375, 11, 22, 0}));
  EXPECT_EQ(store_->of_project("p", kNow + kHour), (Usage{1501, 376, 12, 23, 0}));
  EXPECT_EQ(store_->of_branches("p", kNow + kHour).size(), 2u);
  EXPECT_EQ(store_->of_project("other", kNow), Usage());
  auto hours = store_->history("p", "", Granularity::hourly, kNow, kNow + 2 * kHour);
  ASSERT_EQ(hours.size(), 2u);
  EXPECT_EQ(hours[0].begin, kNow);
  EXPECT_EQ(hours[0].usage.active_ms, 1000);
  EXPECT_EQ(store_->history("p", "", Granularity::monthly, 0, kNow + kHour).size(), 1u);
  EXPECT_EQ(store_->of_project("p", kNow + 40 * 24 * kHour), Usage()) << "another month";
}

TEST_F(UsageTest, ABatchThatFailsIsTakenBack) {
  EXPECT_THROW(batch([](auto& batch) {
                 batch.add("br-a", "p", {1000, 0, 0, 0, 0}, kNow);
                 throw Error(Errc::unavailable, "no");
               }),
               Error);
  EXPECT_EQ(store_->of_branch("br-a", kNow), Usage());
}

TEST_F(UsageTest, WalIsCountedOnceFromWhereItsTimelineBegan) {
  const TimelineId first = TimelineId::random();
  const TimelineId second = TimelineId::random();
  auto written = [&] { return store_->of_branch("br-a", kNow).written_bytes; };
  auto end = [&](TimelineId timeline, uint64_t lsn) {
    batch([&](auto& batch) { batch.wal_end("br-a", "p", timeline, Lsn(100), Lsn(lsn), kNow); });
  };
  end(first, 150);
  EXPECT_EQ(written(), 50);
  end(first, 150);
  open();
  end(first, 180);
  EXPECT_EQ(written(), 80);
  end(second, 110);  // The branch was restored.
  EXPECT_EQ(written(), 90);
}

TEST_F(UsageTest, StorageCountsByTheHourAlsoWhileNobodyLooks) {
  auto stored = [&](int64_t bytes, int64_t now) {
    batch([&](auto& batch) { batch.storage("br-a", "p", bytes, now); });
  };
  stored(1'000'000, kNow);
  EXPECT_EQ(store_->of_branch("br-a", kNow + kHour / 2).storage_byte_hours, 500'000);
  open();
  stored(3'000'000, kNow + 2 * kHour);
  EXPECT_EQ(store_->of_branch("br-a", kNow + 3 * kHour).storage_byte_hours, 5'000'000);
  auto hours = store_->history("p", "", Granularity::hourly, kNow, kNow + 3 * kHour);
  ASSERT_EQ(hours.size(), 2u);
  EXPECT_EQ(hours[1].usage.storage_byte_hours, 1'000'000);
  batch([](auto& batch) { batch.forget_others({"br-b"}, kNow + 3 * kHour); });
  EXPECT_EQ(store_->of_project("p", kNow + 9 * kHour).storage_byte_hours, 5'000'000);
  stored(int64_t{1} << 50, kNow);  // A petabyte for half a year does not overflow.
  EXPECT_GT(store_->of_branch("br-a", kNow + 5 * 24 * kHour).storage_byte_hours, int64_t{1} << 56);
}

TEST_F(UsageTest, OldPeriodsGo) {
  batch([](auto& batch) {
    batch.add("br-a", "p", {1000, 0, 0, 0, 0}, kNow);
    batch.prune(kNow + 30 * 24 * kHour);
  });
  EXPECT_TRUE(store_->history("p", "", Granularity::hourly, 0, kNow + 1).empty());
  EXPECT_EQ(store_->history("p", "", Granularity::daily, 0, kNow + 1).size(), 1u);
}

TEST(Periods, BeginOnTheHourTheDayAndTheMonth) {
  const int64_t at = 1'709'209'845;  // 2024-02-29 12:30:45 UTC.
  EXPECT_EQ(period_of(Granularity::hourly, at), 1'709'208'000);
  EXPECT_EQ(period_of(Granularity::daily, at), 1'709'164'800);
  EXPECT_EQ(period_of(Granularity::monthly, at), 1'706'745'600);
}

TEST(ActivityLog, TellsEachMillisecondOnce) {
  ActivityLog log;
  const auto now = steady_clock::now();
  log.began({"ep-a", "p", "br-a", {}}, now);
  log.began({"ep-a", "p", "br-a", {}}, now + milliseconds(3));
  auto taken = log.take(now + milliseconds(10));
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0].ran, milliseconds(10));
  log.ended("ep-a", now + milliseconds(15));
  log.began({"ep-a", "p", "br-a", {}}, now + milliseconds(20));
  log.ended("ep-a", now + milliseconds(21));
  log.ended("ep-a", now + milliseconds(50));
  taken = log.take(now + milliseconds(60));
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0].ran, milliseconds(6));
  EXPECT_TRUE(log.take(now + milliseconds(70)).empty());
}

TEST_F(UsageTest, TheMeterCountsWhatRanWasWrittenAndWasSent) {
  const TimelineId timeline = TimelineId::random();
  std::vector<Activity> activity = {{"ep-a", "p", "br-a", milliseconds(4000)}};
  uint64_t sent = 500;
  WalStatus wal{.start = Lsn(1000), .flush = Lsn(1700)};
  bool storage_answers = true;
  UsageMeter meter(
      *store_,
      {.activity = [&] { return activity; },
       .branch = [&](const std::string& id) -> UsageMeter::Branch { return {id, "p", timeline}; },
       .wal =
           [&](TimelineId) {
             if (!storage_answers) throw Error(Errc::unavailable, "down");
             return wal;
           },
       .stored_bytes = [](TimelineId) { return int64_t{3600}; },
       .sent = [&] { return std::map<std::string, uint64_t>{{"ep-a", sent}}; },
       .all_branches = [&] { return std::vector<UsageMeter::Branch>{{"br-a", "p", timeline}}; }});
  meter.look(kNow);
  EXPECT_EQ(store_->of_branch("br-a", kNow), (Usage{4000, 1000, 700, 500, 0}));
  sent = 600;
  wal.flush = Lsn(1800);
  storage_answers = false;
  meter.look(kNow + 1);
  EXPECT_EQ(store_->of_branch("br-a", kNow + 1).written_bytes, 700);
  storage_answers = true;
  activity.clear();
  meter.look(kNow + 2);
  activity = {{"ep-a", "p", "br-a", milliseconds(0)}};
  meter.look(kNow + 3);
  const Usage usage = store_->of_branch("br-a", kNow + 3);
  EXPECT_EQ(usage.active_ms, 8000);
  EXPECT_EQ(usage.transfer_bytes, 600);
  EXPECT_EQ(usage.written_bytes, 800) << "it was not lost while storage did not answer";
}

}  // namespace
}  // namespace halogen::control
