// Power is lost at any step of a timeline's store: what it said was on disk is, at every LSN.
#include <gtest/gtest.h>

#include <random>

#include "pageserver/layers/test_support.h"
#include "sim/test_disk.h"

namespace halogen::pageserver {
namespace {

constexpr uint64_t kSteps = 120;
constexpr uint64_t kLives = 4;
constexpr uint32_t kKeys = 23;
constexpr uint64_t kStart = 100;

// What the process that dies has said, in memory that outlives it.
struct Told {
  bool created = false;
  uint64_t on_disk = 0;
  uint64_t put = 0;
};

class StorePowerLossTest : public testing::Test {
 protected:
  StorePowerLossTest() {
    options_.layer_cache = std::make_shared<LayerCache>(4 << 20);
    options_.freeze_bytes = 1500;
    options_.merge_files = 3;
  }
  // The version at each LSN is what that says, so it is known what any read must give.
  static Key key_at(uint64_t lsn) { return page_key(1, static_cast<uint32_t>(lsn * 7 % kKeys)); }
  static std::string value_at(uint64_t lsn) {
    return fmt::format("{}-{}", lsn, std::string(lsn % 60, 'x'));
  }
  static std::string wanted(const Key& key, uint64_t lsn) {
    while (lsn > kStart && key_at(lsn) != key) --lsn;
    return lsn > kStart ? value_at(lsn) : "";
  }

  std::string run(uint64_t seed) {
    *told_ = {};
    return disk_.live_through(
        kLives, kSteps, [this, seed](uint64_t life) { live(seed + life); },
        [this] { return verify(); });
  }

  fs::path folder() const { return disk_.root() / "timeline"; }

  void live(uint64_t chance) {
    if (!fs::exists(folder() / kManifestFile)) {
      Manifest manifest;
      manifest.timeline = TimelineId::random();
      manifest.start_lsn = manifest.disk_consistent_lsn = Lsn(kStart);
      TimelineStore::create(folder(), manifest);
    }
    told_->created = true;
    TimelineStore store(options_, folder(), nullptr);
    told_->on_disk = store.disk_consistent_lsn().value;  // A start tells others what it has found.
    std::mt19937_64 random(chance);
    for (int i = 0; i < 600; ++i) {
      const uint64_t lsn = store.last_record_lsn().value + 1;
      const std::string value = value_at(lsn);
      const Put one = make_put(key_at(lsn), ValueKind::image, value);
      told_->put = std::max(told_->put, lsn);
      store.put(Lsn(lsn), {&one, 1});
      store.advance(Lsn(lsn));
      if (random() % 50 == 0) store.flush(soon());
      told_->on_disk = std::max(told_->on_disk, store.disk_consistent_lsn().value);
    }
    store.stop();
  }

  std::string verify() {
    if (!fs::exists(folder() / kManifestFile)) return told_->created ? "the timeline is lost" : "";
    TimelineStore store(options_, folder(), nullptr);
    const uint64_t end = store.disk_consistent_lsn().value;
    if (end < told_->on_disk)
      return fmt::format("only up to {}; {} was said to be on disk", end, told_->on_disk);
    if (end > std::max(told_->put, kStart)) return "more than was ever put";
    for (uint64_t lsn = kStart; lsn <= end; lsn += 1 + lsn % 5) {
      const Key key = page_key(1, static_cast<uint32_t>(lsn % kKeys));
      const Chain chain = store.collect(key, Lsn(lsn));
      const std::string value = chain.empty() ? "" : chain.back().bytes;
      if (value != wanted(key, lsn)) return fmt::format("another version at {}", lsn);
    }
    return "";
  }

  sim::TestDisk disk_;
  TimelineStore::Options options_;
  sim::Testament<Told> told_;
};

TEST_F(StorePowerLossTest, WhatIsSaidToBeOnDiskIsThereAtEveryLsn) {
  EXPECT_EQ(disk_.first_problem(15, [this](uint64_t seed) { return run(seed); }), "");
}

// What the test above is worth.
TEST_F(StorePowerLossTest, AForgottenSyncIsFound) {
  for (const char* path : {"*.layer.tmp", "*/layers", "*/manifest.tmp", "timeline"}) {
    disk_.forget_syncs_of(path);
    EXPECT_NE(disk_.first_problem_from(1, 200, [this](uint64_t seed) { return run(seed); }), "")
        << path;
  }
}

}  // namespace
}  // namespace halogen::pageserver
