// Power is lost at any step of a timeline's store: what it said was on disk is, at every LSN.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "base/checksum.h"
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

// An object store in a folder of another disk, which loses no power.
class FolderOrigin : public LayerOrigin {
 public:
  // `is_attached`: it knows what its manifest names, which takes a request.
  FolderOrigin(fs::path folder, bool is_attached) : folder_(std::move(folder)) {
    if (!is_attached || !fs::exists(folder_ / "named")) return;
    const std::string named = read_file(folder_ / "named");
    for (Reader in(named); !in.empty();) named_.insert(in.get<uint64_t>());
  }
  // Layers, then the manifest that names them.
  void upload(const TimelineStore& store) {
    const auto stored = store.stored();
    if (!stored) return;
    std::set<uint64_t> named;
    Writer out;
    for (const auto& layer : stored->layers) {
      if (!fs::exists(object(layer.id))) write_file(object(layer.id), read_file(layer.file));
      named.insert(layer.id);
      out.put(layer.id);
    }
    write_file(folder_ / "named", out.view());
    MutexLock lock(mutex_);
    named_ = std::move(named);
  }
  std::optional<LayerCopy> copy_of(const LayerName& name) override {
    MutexLock lock(mutex_);
    if (!named_.contains(name.layer)) return std::nullopt;
    const std::string bytes = read_file(object(name.layer));
    return LayerCopy{1, bytes.size(), crc32c(as_bytes(bytes))};
  }
  bool is_lost() override { return false; }
  void fetch(const LayerName& name, const LayerCopy& copy, const fs::path& file,
             const std::function<void()>& pause) override {
    const std::string bytes = read_file(object(name.layer));
    EXPECT_EQ(crc32c(as_bytes(bytes)), copy.crc);
    UniqueFd fd = open_file(file, O_WRONLY | O_CREAT | O_TRUNC);
    write_all(fd.get(), as_bytes(bytes));
    pause();
    fsync_or_die(fd.get(), file.string());
  }

 private:
  fs::path object(uint64_t layer) const { return folder_ / std::to_string(layer); }

  const fs::path folder_;
  Mutex mutex_;
  std::set<uint64_t> named_ GUARDED_BY(mutex_);
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
    fs::remove_all(objects_.path());
    fs::create_directories(objects_.path());
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
    begin_life(true);
    TimelineStore store(std::make_shared<const TimelineStore::Options>(options_), folder(),
                        nullptr);
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
      if (origin_) use_cache(store, random());
    }
    store.stop();
    end_life();
  }

  // Threads are this process's.
  void begin_life(bool is_attached) {
    options_.compactor = std::make_shared<Compactor>();
    if (!has_cache_) return;
    origin_ = std::make_unique<FolderOrigin>(objects_.path(), is_attached);
    options_.local_layers = std::make_shared<LocalLayers>(LocalLayers::Options(), *origin_);
  }
  void end_life() {
    if (options_.local_layers) options_.local_layers->stop();
  }

  // Files are copied, go, and come back.
  void use_cache(const TimelineStore& store, uint64_t chance) {
    if (chance % 60 == 0) origin_->upload(store);
    if (chance % 70 == 1) options_.local_layers->drop(UINT64_MAX);
    if (chance % 40 == 2) (void)store.collect(page_key(1, 1), store.last_record_lsn());
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
    begin_life(false);
    TimelineStore store(std::make_shared<const TimelineStore::Options>(options_), folder(),
                        nullptr);
    const std::string problem = look_at(store);
    store.stop();
    end_life();
    return problem;
  }

  std::string look_at(const TimelineStore& store) {
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
  TempFolder objects_;
  bool has_cache_ = false;
  std::unique_ptr<FolderOrigin> origin_;
  TimelineStore::Options options_;
  sim::Testament<Told> told_;
};

TEST_F(StorePowerLossTest, WhatIsSaidToBeOnDiskIsThereAtEveryLsn) {
  EXPECT_EQ(disk_.first_problem(15, [this](uint64_t seed) { return run(seed); }), "");
}

TEST_F(StorePowerLossTest, WhatWentToTheObjectStoreAloneIsThereToo) {
  has_cache_ = true;
  EXPECT_EQ(disk_.first_problem(15, [this](uint64_t seed) { return run(seed); }), "");
}

// What the tests above are worth.
TEST_F(StorePowerLossTest, AForgottenSyncIsFound) {
  for (const char* path : {"*.layer.tmp", "*/layers", "*/manifest.tmp", "timeline"}) {
    disk_.forget_syncs_of(path);
    EXPECT_NE(disk_.first_problem_from(1, 200, [this](uint64_t seed) { return run(seed); }), "")
        << path;
  }
  has_cache_ = true;
  disk_.forget_syncs_of("*.layer.copy.tmp");
  EXPECT_NE(disk_.first_problem_from(1, 200, [this](uint64_t seed) { return run(seed); }), "");
}

}  // namespace
}  // namespace halogen::pageserver
