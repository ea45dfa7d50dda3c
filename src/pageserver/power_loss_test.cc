// Power is lost at any step of a pageserver that makes and deletes timelines: those that were made
// are there, those that were deleted are not.
#include <gtest/gtest.h>

#include <random>

#include "pageserver/fake_redo.h"
#include "pageserver/layers/test_support.h"
#include "pageserver/pageserver.h"
#include "postgres/stock_cluster.h"
#include "sim/test_disk.h"

namespace halogen::pageserver {
namespace {

constexpr uint64_t kSteps = 3000;
constexpr uint64_t kLives = 4;
constexpr size_t kMost = 200;

enum class State { none, making, made, deleting, deleted };

// What the process that dies has been told, in memory that outlives it.
struct Told {
  TimelineId base;
  bool has_base = false;
  size_t used = 0;
  State states[kMost] = {};
  TimelineId ids[kMost] = {};
};

class PageserverPowerLossTest : public ::testing::Test {
 protected:
  std::unique_ptr<Pageserver> open() {
    fs::create_directories(disk_.root() / "home");
    fsync_folder(disk_.root());  // As the platform does.
    Pageserver::Options options;
    options.home = disk_.root() / "home";
    options.page_socket = sockets_ / "pages";
    return std::make_unique<Pageserver>(options, redo_);
  }

  std::string run(uint64_t seed) {
    *told_ = {};
    return disk_.live_through(
        kLives, kSteps, [this, seed](uint64_t life) { live(seed + life); },
        [this] { return verify(); });
  }

  void live(uint64_t chance) {
    auto server = open();
    try {
      told_->base = server->template_timeline(15).timeline;
    } catch (const Error&) {
      if (told_->has_base) throw;
      server->import_template(15, cluster_.data(), cluster_.end());
      told_->base = server->template_timeline(15).timeline;
    }
    told_->has_base = true;
    settle(*server);
    std::mt19937_64 random(chance);
    for (int i = 0; i < 12 && told_->used < kMost; ++i) {
      make(*server);
      if (random() % 2 == 0) remove(*server, random() % told_->used);
    }
  }
  void make(Pageserver& server) {
    const size_t at = told_->used;
    told_->ids[at] = TimelineId::random();
    told_->states[at] = State::making;
    told_->used = at + 1;
    server.create_timeline(TenantId(), told_->ids[at], told_->base, cluster_.end(), soon());
    told_->states[at] = State::made;
  }
  void remove(Pageserver& server, size_t at) {
    if (told_->states[at] != State::made) return;
    told_->states[at] = State::deleting;
    server.delete_timeline(told_->ids[at]);
    told_->states[at] = State::deleted;
  }

  std::string verify() { return settle(*open()); }
  // What a start finds of a creation or deletion that did not end stays so.
  std::string settle(Pageserver& server) {
    std::set<TimelineId> there;
    for (const TimelineInfo& info : server.timelines()) there.insert(info.timeline);
    if (told_->has_base && !there.contains(told_->base)) return "the template is lost";
    for (size_t i = 0; i < told_->used; ++i) {
      const bool is = there.contains(told_->ids[i]);
      if (told_->states[i] == State::made && !is) return "a timeline is lost";
      if (told_->states[i] == State::deleted && is) return "a deleted timeline is back";
      told_->states[i] = is ? State::made : State::deleted;
    }
    return "";
  }

  sim::TestDisk disk_;
  TempFolder sockets_;
  FakeRedo redo_;
  const halogen::testing::StockCluster cluster_;
  sim::Testament<Told> told_;
};

TEST_F(PageserverPowerLossTest, TimelinesAreMadeAndDeletedForGood) {
  EXPECT_EQ(disk_.first_problem(4, [this](uint64_t seed) { return run(seed); }), "");
}

}  // namespace
}  // namespace halogen::pageserver
