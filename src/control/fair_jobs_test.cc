#include "control/fair_jobs.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "control/alarms.h"

namespace halogen::control {
namespace {

using std::chrono::milliseconds;

// Jobs that wait until they are let go.
class Gate {
 public:
  std::function<void()> job() {
    return [this] {
      ++waiting;
      open_.wait();
    };
  }
  void open() { opened_.set_value(); }
  bool reaches(int count) {
    Deadline deadline = Deadline::after(milliseconds(5000));
    while (waiting < count && !deadline.passed()) std::this_thread::sleep_for(milliseconds(1));
    return waiting == count;
  }
  std::atomic<int> waiting = 0;

 private:
  std::promise<void> opened_;
  std::shared_future<void> open_ = opened_.get_future().share();
};

bool is_done_soon(FairJobs& jobs, const std::string& key) {
  auto done = std::make_shared<std::promise<void>>();
  jobs.add(key, [done] { done->set_value(); });
  return done->get_future().wait_for(milliseconds(5000)) == std::future_status::ready;
}

TEST(FairJobs, JobsOfAKeyBeginInOrder) {
  std::vector<int> order;
  FairJobs jobs({.width = 4, .per_key = 1});
  for (int i = 0; i < 100; ++i) jobs.add("a", [&order, i] { order.push_back(i); });
  jobs.stop();
  ASSERT_EQ(order.size(), 100u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(FairJobs, AKeyHasNoMoreThanItsShareUnderWay) {
  Gate gate;
  FairJobs jobs({.width = 16, .per_key = 3});
  for (int i = 0; i < 10; ++i) jobs.add("greedy", gate.job());
  EXPECT_TRUE(gate.reaches(3));
  EXPECT_TRUE(is_done_soon(jobs, "other"));
  EXPECT_EQ(gate.waiting, 3);
  gate.open();
  jobs.stop();
  EXPECT_EQ(gate.waiting, 10) << "all are done";
}

TEST(FairJobs, JobsThatAreStuckMakeWayForOthers) {
  Gate gate;
  FairJobs jobs({.width = 2, .per_key = 1, .patience = milliseconds(20)});
  for (int i = 0; i < 30; ++i) jobs.add("stuck " + std::to_string(i), gate.job());
  EXPECT_TRUE(is_done_soon(jobs, "other"));
  EXPECT_TRUE(gate.reaches(30));
  gate.open();
}

TEST(FairJobs, OnlyAsManyWorkAtATimeAsFit) {
  std::atomic<int> now = 0;
  std::atomic<int> most = 0;
  FairJobs jobs({.width = 3, .patience = std::chrono::minutes(1)});
  for (int i = 0; i < 60; ++i)
    jobs.add(std::to_string(i), [&] {
      most = std::max<int>(most, ++now);
      std::this_thread::sleep_for(milliseconds(1));
      --now;
    });
  jobs.stop();
  EXPECT_LE(most, 3);
}

TEST(FairJobs, ThreadsAreBoundedAndEndWhenThereIsNothingToDo) {
  Gate gate;
  FairJobs jobs(
      {.width = 2, .most = 5, .patience = milliseconds(1), .idle_life = milliseconds(20)});
  for (int i = 0; i < 20; ++i) jobs.add(std::to_string(i), gate.job());
  EXPECT_TRUE(gate.reaches(5));
  EXPECT_EQ(jobs.threads(), 5u);
  gate.open();
  Deadline deadline = Deadline::after(milliseconds(5000));
  while (jobs.threads() > 0 && !deadline.passed()) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(jobs.threads(), 0u);
  EXPECT_EQ(gate.waiting, 20);
  EXPECT_TRUE(is_done_soon(jobs, "later"));
}

TEST(Alarms, RingInTheOrderOfTheirTimes) {
  std::vector<int> order;
  std::promise<void> over;
  Alarms alarms;
  const auto now = steady_clock::now();
  for (int i : {3, 1, 2, 0})
    alarms.set(now + milliseconds(20 * i + 20), [&, i] {
      order.push_back(i);
      if (i == 3) over.set_value();
    });
  ASSERT_EQ(over.get_future().wait_for(milliseconds(5000)), std::future_status::ready);
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3}));
  EXPECT_GE(steady_clock::now(), now + milliseconds(80));
}

TEST(Alarms, NoneRingsAfterTheStop) {
  std::atomic<int> rung = 0;
  Alarms alarms;
  alarms.set(steady_clock::now() + std::chrono::hours(1), [&] { ++rung; });
  alarms.stop();
  alarms.set(steady_clock::now(), [&] { ++rung; });
  EXPECT_EQ(rung, 0);
}

}  // namespace
}  // namespace halogen::control
