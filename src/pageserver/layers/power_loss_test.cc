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
  uint64_t horizon = 0;
  uint64_t point = 0;
};

class StorePowerLossTest : public testing::Test {
 protected:
  StorePowerLossTest() {
    options_.layer_cache = std::make_shared<LayerCache>(4 << 20);
    options_.freeze_bytes = 1500;
    options_.merging.merge_files = 3;
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
    options_.compactor = std::make_shared<Compactor>();  // Its thread is this process's.
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
      if (random() % 100 == 0) forget(store, random());
      told_->on_disk = std::max(told_->on_disk, store.disk_consistent_lsn().value);
    }
    store.stop();
  }

  // History ends somewhere before what is in files, but for one point.
  void forget(TimelineStore& store, uint64_t chance) {
    const uint64_t oldest = store.oldest_readable().value, end = store.disk_consistent_lsn().value;
    const uint64_t horizon = oldest + (end - std::min(oldest, end)) * (chance % 4) / 4;
    if (told_->point < oldest) told_->point = horizon;  // It is let go: the next.
    told_->horizon = std::max(told_->horizon, horizon);
    if (chance % 3 == 0) told_->point = horizon;
    store.set_retain({Lsn(horizon), {Lsn(told_->point)}});
  }

  std::string verify() {
    if (!fs::exists(folder() / kManifestFile)) return told_->created ? "the timeline is lost" : "";
    options_.compactor = std::make_shared<Compactor>();
    TimelineStore store(options_, folder(), nullptr);
    if (store.oldest_readable().value > std::max(told_->horizon, kStart))
      return "more is forgotten than was let go";
    const uint64_t end = store.disk_consistent_lsn().value;
    if (end < told_->on_disk)
      return fmt::format("only up to {}; {} was said to be on disk", end, told_->on_disk);
    if (end > std::max(told_->put, kStart)) return "more than was ever put";
    for (uint64_t lsn = kStart; lsn <= end; lsn += 1 + lsn % 5) {
      if (!store.readable(Lsn(lsn))) continue;
      const Key key = page_key(1, static_cast<uint32_t>(lsn % kKeys));
      const Chain chain = store.collect(key, Lsn(lsn));
      const std::string value = chain.empty() ? "" : chain.back().bytes;
      if (value != wanted(key, lsn)) return fmt::format("another version at {}", lsn);
    }
    if (told_->point > kStart && told_->point <= end && store.readable(Lsn(told_->point)))
      for (uint32_t i = 0; i < kKeys; ++i) {
        const Chain chain = store.collect(page_key(1, i), Lsn(told_->point));
        if ((chain.empty() ? "" : chain.back().bytes) != wanted(page_key(1, i), told_->point))
          return fmt::format("another version at the point {}", told_->point);
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
