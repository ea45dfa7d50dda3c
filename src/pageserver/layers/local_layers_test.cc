#include "pageserver/layers/local_layers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>

#include "base/checksum.h"
#include "pageserver/layers/test_support.h"

namespace halogen::pageserver {
namespace {

constexpr auto kImage = ValueKind::image;
constexpr auto kRecord = ValueKind::record;

// An object store in memory: layers as they were uploaded, of which a manifest may name some.
class FakeOrigin : public LayerOrigin {
 public:
  std::atomic<bool> away = false;
  std::atomic<bool> lost = false;
  std::atomic<int> full_disks = 0;  // So many fetches end with a full disk.
  std::atomic<int> fetches = 0;

  // What the archive does: all that the manifest names, and nothing else, has a copy.
  void upload(TimelineStore& store) {
    const auto stored = store.stored();
    ASSERT_TRUE(stored);
    const TimelineId id = store.manifest().timeline;
    std::set<uint64_t> named;
    MutexLock lock(mutex_);
    for (const auto& layer : stored->layers) {
      named.insert(layer.id);
      if (!objects_[id].contains(layer.id)) objects_[id][layer.id] = read_file(layer.file);
    }
    named_[id] = std::move(named);  // What no manifest names stays for a while.
  }
  std::string& object(TimelineId id, uint64_t layer) {
    MutexLock lock(mutex_);
    return objects_[id].at(layer);
  }
  void forget(TimelineId id) {
    MutexLock lock(mutex_);
    objects_.erase(id);
    named_.erase(id);
  }
  // Fetches wait until they are let go.
  void hold(bool held) {
    MutexLock lock(mutex_);
    held_ = held;
    changed_.notify_all();
  }
  void wait_for_waiting(size_t count) {
    MutexLock lock(mutex_);
    while (waiting_ < count) changed_.wait(mutex_);
  }

  std::optional<LayerCopy> copy_of(const LayerName& name) override {
    MutexLock lock(mutex_);
    auto named = named_.find(name.timeline);
    if (lost || named == named_.end() || !named->second.contains(name.layer)) return std::nullopt;
    const std::string& object = objects_.at(name.timeline).at(name.layer);
    return LayerCopy{1, object.size(), crc32c(as_bytes(object))};
  }
  bool is_lost() override { return lost; }
  void fetch(const LayerName& name, const LayerCopy& copy, const fs::path& file,
             const std::function<void()>& pause) override {
    fetches++;
    std::string bytes;
    wait_while_held(pause);
    {
      MutexLock lock(mutex_);
      if (away) throw Error(Errc::unavailable, "connection refused");
      auto timeline = objects_.find(name.timeline);
      if (timeline == objects_.end() || !timeline->second.contains(name.layer))
        throw Error(Errc::not_found, "there is no object");
      bytes = timeline->second.at(name.layer);
    }
    if (full_disks > 0 && full_disks-- > 0) throw Error(Errc::io, "no space left on device");
    write_file(file, bytes.substr(0, bytes.size() / 2));
    pause();
    if (crc32c(as_bytes(bytes)) != copy.crc) throw Error(Errc::corrupt, "its checksum is wrong");
    write_file(file, bytes);
  }

 private:
  void wait_while_held(const std::function<void()>& pause) {
    struct Waiting {
      explicit Waiting(FakeOrigin& owner) : owner(owner) { add(1); }
      ~Waiting() { add(-1); }
      void add(int change) {
        MutexLock lock(owner.mutex_);
        owner.waiting_ += static_cast<size_t>(change);
        owner.changed_.notify_all();
      }
      FakeOrigin& owner;
    } waiting(*this);
    for (;; pause()) {
      MutexLock lock(mutex_);
      if (!held_) return;
      changed_.wait_until(mutex_, steady_clock::now() + std::chrono::milliseconds(5));
    }
  }

  Mutex mutex_;
  CondVar changed_;
  bool held_ GUARDED_BY(mutex_) = false;
  size_t waiting_ GUARDED_BY(mutex_) = 0;
  std::map<TimelineId, std::map<uint64_t, std::string>> objects_ GUARDED_BY(mutex_);
  std::map<TimelineId, std::set<uint64_t>> named_ GUARDED_BY(mutex_);
};

class LocalLayersTest : public ::testing::Test {
 protected:
  LocalLayersTest() {
    options_.layer_cache = std::make_shared<LayerCache>(64, 64);  // All is read from files.
    options_.first_retry = options_.last_retry = std::chrono::milliseconds(10);
  }
  ~LocalLayersTest() override {
    if (options_.local_layers) options_.local_layers->stop();
  }

  void bound(uint64_t limit) {
    if (options_.local_layers) options_.local_layers->stop();
    options_.local_layers = std::make_shared<LocalLayers>(
        LocalLayers::Options{.limit = limit,
                             .first_pause = std::chrono::milliseconds(1),
                             .last_pause = std::chrono::milliseconds(5)},
        origin_);
  }
  LocalLayers& locals() { return *options_.local_layers; }

  std::shared_ptr<TimelineStore> create(const std::string& name,
                                        TenantId tenant = TenantId::random()) {
    Manifest manifest;
    manifest.tenant = tenant;
    manifest.timeline = TimelineId::random();
    manifest.start_lsn = manifest.disk_consistent_lsn = Lsn(10);
    TimelineStore::create(folder_ / name, manifest);
    return open(name);
  }
  std::shared_ptr<TimelineStore> open(const std::string& name) {
    return std::make_shared<TimelineStore>(std::make_shared<const TimelineStore::Options>(options_),
                                           folder_ / name, nullptr);
  }
  static void put(TimelineStore& store, uint64_t lsn, const Key& key, ValueKind kind,
                  const std::string& bytes) {
    Put one = make_put(key, kind, bytes);
    store.put(Lsn(lsn), {&one, 1});
    store.advance(Lsn(lsn));
  }
  // A layer file with one page of random bytes, so that it has their size, about.
  static void add_layer(TimelineStore& store, uint64_t lsn, uint32_t block) {
    put(store, lsn, page_key(1, block), kImage, text_of(lsn));
    store.flush(soon());
  }
  static std::string text_of(uint64_t lsn) {
    std::mt19937_64 random(lsn);
    std::string text(8192, '\0');
    for (char& c : text) c = static_cast<char>(random());
    return text;
  }
  static bool reads(const TimelineStore& store, uint64_t lsn, uint32_t block) {
    const Chain chain = store.collect(page_key(1, block), Lsn(lsn));
    return chain.size() == 1 && chain[0].bytes == text_of(lsn);
  }
  size_t count(const std::string& name, std::string_view extension) {
    size_t found = 0;
    for (const auto& entry : fs::directory_iterator(folder_ / name / "layers"))
      found += entry.path().extension() == extension ? 1 : 0;
    return found;
  }
  // Everything that may go.
  void remove_all(const std::string& name) {
    locals().drop(UINT64_MAX);
    EXPECT_EQ(count(name, ".layer"), 0u);
  }
  // Timeline "a" with one layer, which only the store has.
  std::shared_ptr<TimelineStore> create_away() {
    bound(LocalLayers::kNoLimit);
    auto store = create("a");
    add_layer(*store, 20, 1);
    origin_.upload(*store);
    remove_all("a");
    return store;
  }
  // What is over the limit.
  void keep_limit() { locals().drop(0); }

  TempFolder folder_;
  FakeOrigin origin_;
  TimelineStore::Options options_;
};

TEST_F(LocalLayersTest, WhatTheStoreHasLeavesTheDiskAndComesBackWhenItIsRead) {
  bound(LocalLayers::kNoLimit);
  auto store = create("a");
  for (uint32_t i = 0; i < 4; i++) add_layer(*store, 20 + i, i);
  origin_.upload(*store);
  remove_all("a");
  EXPECT_EQ(count("a", ".copy"), 4u);
  EXPECT_EQ(locals().status().files_away, 4u);
  for (uint32_t i = 0; i < 4; i++) EXPECT_TRUE(reads(*store, 20 + i, i)) << i;
  EXPECT_EQ(origin_.fetches, 4);
  EXPECT_EQ(count("a", ".layer"), 4u);
  EXPECT_EQ(count("a", ".tmp"), 0u);
  EXPECT_EQ(locals().status().files_away, 0u);
  EXPECT_EQ(locals().status().bytes_here, store->sizes().own);
}

TEST_F(LocalLayersTest, WhatTheStoreHasNotStays) {
  bound(1);
  auto store = create("a");
  add_layer(*store, 20, 1);
  origin_.upload(*store);
  add_layer(*store, 30, 2);
  keep_limit();
  EXPECT_EQ(count("a", ".layer"), 1u);
  origin_.away = true;
  EXPECT_TRUE(reads(*store, 30, 2));
  EXPECT_EQ(thrown_by([&] { reads(*store, 20, 1); }), Errc::unavailable);
}

TEST_F(LocalLayersTest, ManyReadersOfAFileFetchItOnce) {
  auto store = create_away();
  origin_.hold(true);
  std::vector<std::thread> readers;
  std::atomic<int> good = 0;
  for (int i = 0; i < 8; i++) readers.emplace_back([&] { good += reads(*store, 20, 1) ? 1 : 0; });
  origin_.wait_for_waiting(1);
  origin_.hold(false);
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(good, 8);
  EXPECT_EQ(origin_.fetches, 1);
}

TEST_F(LocalLayersTest, WhileTheStoreIsAwayOnlyWhatIsNotHereFailsAndLaterNothing) {
  auto store = create_away();
  add_layer(*store, 30, 2);
  origin_.away = true;
  for (int i = 0; i < 20; i++) {
    EXPECT_EQ(thrown_by([&] { reads(*store, 20, 1); }), Errc::unavailable);
    EXPECT_TRUE(reads(*store, 30, 2));
  }
  EXPECT_NE(locals().status().problem, "");
  origin_.away = false;
  const Deadline deadline = soon();
  while (thrown_by([&] { reads(*store, 20, 1); }) == Errc::unavailable && !deadline.passed()) {
  }
  EXPECT_TRUE(reads(*store, 20, 1));
  EXPECT_EQ(locals().status().problem, "");
}

TEST_F(LocalLayersTest, ACopyThatIsDamagedOrAnotherLayersIsNotPutInPlace) {
  bound(LocalLayers::kNoLimit);
  auto a = create("a"), b = create("b");
  add_layer(*a, 20, 1);
  add_layer(*b, 20, 1);
  origin_.upload(*a);
  origin_.upload(*b);
  const TimelineId of_a = a->manifest().timeline, of_b = b->manifest().timeline;
  const uint64_t layer = a->manifest().layers[0].id;
  remove_all("a");
  remove_all("b");
  // The same keys and bytes; only the footer tells them apart.
  ASSERT_EQ(origin_.object(of_a, layer).size(), origin_.object(of_b, layer).size());
  origin_.object(of_a, layer) = origin_.object(of_b, layer);
  EXPECT_EQ(thrown_by([&] { reads(*a, 20, 1); }), Errc::corrupt);
  const int before = origin_.fetches;
  EXPECT_EQ(thrown_by([&] { reads(*a, 20, 1); }), Errc::corrupt);
  EXPECT_EQ(origin_.fetches, before) << "a damaged copy is not fetched again and again";
  EXPECT_EQ(count("a", ".layer") + count("a", ".tmp"), 0u);
  EXPECT_TRUE(reads(*b, 20, 1)) << "one damaged copy is no outage";
}

TEST_F(LocalLayersTest, WhatIsNeitherHereNorThereIsDamageAndNoOutage) {
  auto store = create_away();
  origin_.forget(store->manifest().timeline);
  EXPECT_EQ(thrown_by([&] { reads(*store, 20, 1); }), Errc::corrupt);
  EXPECT_EQ(locals().status().problem, "");
}

TEST_F(LocalLayersTest, AFileThatIsNowhereIsDamageAndOneThatTheStoreHasComesBack) {
  bound(LocalLayers::kNoLimit);
  auto store = create("a");
  add_layer(*store, 20, 1);
  store.reset();
  fs::remove(folder_ / "a/layers" / LayerDesc{.id = 1}.file_name());
  store = open("a");
  EXPECT_EQ(thrown_by([&] { reads(*store, 20, 1); }), Errc::corrupt);
  // The same, but the store has it, though nobody removed it here.
  auto other = create("b");
  add_layer(*other, 20, 1);
  origin_.upload(*other);
  fs::remove(folder_ / "b/layers" / other->manifest().layers[0].file_name());
  EXPECT_TRUE(reads(*other, 20, 1));
  EXPECT_EQ(locals().status().bytes_here, other->sizes().own);
}

TEST_F(LocalLayersTest, ARestartKnowsWhatIsAwayWithoutTheStore) {
  auto store = create_away();
  add_layer(*store, 30, 2);
  store.reset();
  write_file(folder_ / "a/layers/0000000000000001.layer.tmp", "half of a fetch");
  write_file(folder_ / "a/layers/00000000000000ff.layer.copy", "of a layer that was merged");
  origin_.away = true;
  bound(1 << 20);
  store = open("a");
  EXPECT_EQ(count("a", ".tmp"), 0u);
  EXPECT_EQ(count("a", ".copy"), 1u);
  EXPECT_TRUE(reads(*store, 30, 2));
  EXPECT_EQ(thrown_by([&] { reads(*store, 20, 1); }), Errc::unavailable);
  EXPECT_EQ(locals().status().files_away, 1u);
  origin_.away = false;
  const Deadline deadline = soon();
  while (thrown_by([&] { reads(*store, 20, 1); }) == Errc::unavailable && !deadline.passed()) {
  }
  EXPECT_TRUE(reads(*store, 20, 1));
}

TEST_F(LocalLayersTest, ACrashBeforeTheFileGoesLeavesTheFile) {
  bound(LocalLayers::kNoLimit);
  auto store = create("a");
  add_layer(*store, 20, 1);
  const fs::path file = folder_ / "a/layers" / store->manifest().layers[0].file_name();
  write_layer_note(file, {store->manifest().timeline, store->manifest().layers[0].id},
                   {1, fs::file_size(file), 0});
  store.reset();
  store = open("a");
  EXPECT_TRUE(reads(*store, 20, 1));
  EXPECT_EQ(origin_.fetches, 0);
}

TEST_F(LocalLayersTest, AnotherLayersNoteIsDamage) {
  const LayerName name{TimelineId::random(), 7};
  const std::string bytes = encode_layer_note(name, {3, 100, 5});
  EXPECT_EQ(parse_layer_note(as_bytes(bytes), name), (LayerCopy{3, 100, 5}));
  EXPECT_EQ(thrown_by([&] { parse_layer_note(as_bytes(bytes), {name.timeline, 8}); }),
            Errc::corrupt);
  for (size_t at = 0; at < bytes.size(); at++) {
    std::string bad = bytes;
    bad[at] ^= 4;
    EXPECT_EQ(thrown_by([&] { parse_layer_note(as_bytes(bad), name); }), Errc::corrupt) << at;
    EXPECT_EQ(thrown_by([&] { parse_layer_note(as_bytes(bytes.substr(0, at)), name); }),
              Errc::corrupt);
  }
}

TEST_F(LocalLayersTest, AReaderThatWaitsForManyFilesKeepsThreadsForTheOthers) {
  bound(LocalLayers::kNoLimit);
  auto store = create("a");
  for (uint32_t i = 0; i < 4; i++) add_layer(*store, 20 + i, i);
  origin_.upload(*store);
  remove_all("a");
  add_layer(*store, 30, 9);
  origin_.hold(true);
  const TenantId tenant = TenantId::random();
  auto read = [&](uint32_t block, TenantId reader) {
    const LayerReads hurried(LayerReads::Patience::hurried, reader);
    return reads(*store, 20 + block, block);
  };
  std::vector<std::thread> waiting;
  for (uint32_t i = 0; i < 2; i++) waiting.emplace_back([&, i] { EXPECT_TRUE(read(i, tenant)); });
  origin_.wait_for_waiting(2);
  EXPECT_EQ(thrown_by([&] { read(2, tenant); }), Errc::unavailable) << "at once";
  EXPECT_TRUE(reads(*store, 30, 9));
  waiting.emplace_back([&] { EXPECT_TRUE(read(3, TenantId::random())); });  // Another project's.
  origin_.wait_for_waiting(3);
  {
    const LayerReads local(LayerReads::Patience::local_only);
    EXPECT_THROW(reads(*store, 22, 2), LayerNotHere);
  }
  origin_.hold(false);
  for (std::thread& thread : waiting) thread.join();
  EXPECT_TRUE(read(2, tenant));
}

TEST_F(LocalLayersTest, TheLeastRecentlyReadGoesFirstAndNotWhatAnotherProjectUses) {
  options_.merging.merge_files = 100;  // Each layer stays a file of its own,
  bound(100'000);                      // of 8 KiB: about twelve of them.
  auto small = create("small"), large = create("large");
  for (uint32_t i = 0; i < 2; i++) add_layer(*small, 20 + i, i);
  for (uint32_t i = 0; i < 2; i++) EXPECT_TRUE(reads(*small, 20 + i, i));
  origin_.upload(*small);
  for (uint32_t i = 0; i < 30; i++) {
    add_layer(*large, 20 + i, i);
    if (i != 3) EXPECT_TRUE(reads(*large, 20 + i, i));
    EXPECT_TRUE(reads(*large, 20, 0));
  }
  origin_.upload(*large);
  keep_limit();
  EXPECT_LE(locals().status().bytes_here, 100'000u);
  EXPECT_GT(locals().status().bytes_here, 80'000u) << "no more than need be";
  EXPECT_EQ(count("small", ".layer"), 2u) << "though they were read before all others";
  auto is_here = [&](uint32_t number) {
    for (const LayerDesc& layer : large->manifest().layers)
      if (layer.min_lsn == Lsn(20 + number))
        return fs::exists(folder_ / "large/layers" / layer.file_name());
    return false;
  };
  EXPECT_TRUE(is_here(0)) << "read all the time";
  EXPECT_TRUE(is_here(29));
  EXPECT_FALSE(is_here(3));
  EXPECT_FALSE(is_here(4));
}

TEST_F(LocalLayersTest, AFullDiskMakesRoomOnceAndThenIsTheReadersError) {
  auto store = create_away();
  origin_.full_disks = 1;
  EXPECT_TRUE(reads(*store, 20, 1));
  remove_all("a");
  origin_.full_disks = 2;
  EXPECT_EQ(thrown_by([&] { reads(*store, 20, 1); }), Errc::io);
  EXPECT_EQ(count("a", ".tmp"), 0u);
}

TEST_F(LocalLayersTest, WhatWasTakenOverIsNotReliedOnAndComesBack) {
  bound(1);
  auto store = create("a");
  add_layer(*store, 20, 1);
  origin_.upload(*store);
  keep_limit();
  EXPECT_EQ(count("a", ".layer"), 0u);
  const Deadline deadline = soon();
  origin_.lost = true;
  while (count("a", ".layer") == 0 && !deadline.passed())
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  keep_limit();
  EXPECT_EQ(count("a", ".layer"), 1u) << "in spite of the limit";
  EXPECT_TRUE(reads(*store, 20, 1));
}

TEST_F(LocalLayersTest, WithoutALimitAPlatformThatCameBackHasItsFilesInTheEnd) {
  bound(LocalLayers::kNoLimit);
  auto store = create("a");
  for (uint32_t i = 0; i < 4; i++) add_layer(*store, 20 + i, i);
  origin_.upload(*store);
  remove_all("a");
  store.reset();
  bound(LocalLayers::kNoLimit);
  store = open("a");
  const Deadline deadline = soon();
  while (count("a", ".layer") < 4 && !deadline.passed())
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(count("a", ".layer"), 4u);
}

TEST_F(LocalLayersTest, ATimelineThatIsClosedHasNothingWrittenIntoItsFolder) {
  bound(LocalLayers::kNoLimit);
  auto store = create("a");
  add_layer(*store, 20, 1);
  add_layer(*store, 21, 2);
  origin_.upload(*store);
  remove_all("a");
  const TimelineId id = store->manifest().timeline;
  origin_.hold(true);
  std::thread reader([&] { EXPECT_EQ(thrown_by([&] { reads(*store, 20, 1); }), Errc::cancelled); });
  origin_.wait_for_waiting(1);
  locals().close_timeline(id);  // The fetch ends when it is asked for its next piece.
  reader.join();
  EXPECT_EQ(count("a", ".layer") + count("a", ".tmp"), 0u);
  origin_.hold(false);
  EXPECT_EQ(thrown_by([&] { reads(*store, 21, 2); }), Errc::cancelled);
  locals().open_timeline(id);
  EXPECT_TRUE(reads(*store, 21, 2));
}

TEST_F(LocalLayersTest, AFlushMakesNoImageOfWhatIsNotHereAndDoesNotWaitForIt) {
  options_.image_after_deltas = 3;
  options_.reconstruct = [](TenantId, const PageKey&, const Chain&) {
    return std::string("image");
  };
  auto store = create_away();
  origin_.away = true;
  for (uint64_t lsn = 21; lsn < 30; lsn++) put(*store, lsn, page_key(1, 1), kRecord, "r");
  store->flush(soon());
  EXPECT_EQ(store->disk_consistent_lsn(), Lsn(29));
}

// Readers, flushes, merges that forget history, removals and outages at once. Whatever is read is
// right, or `unavailable`; in the end all is there, and the folder has nothing else.
class LocalLayersPropertyTest : public LocalLayersTest,
                                public ::testing::WithParamInterface<unsigned> {};

TEST_P(LocalLayersPropertyTest, ReadersSeeWhatWasWrittenWhateverComesAndGoes) {
  SCOPED_TRACE(fmt::format("seed {}", GetParam()));
  constexpr uint32_t kBlocks = 12;
  std::mt19937 random{GetParam()};
  options_.merging.merge_files = 3;
  bound(40'000);
  auto store = create("a");
  auto at = [](uint64_t lsn, uint32_t block) {  // The newest version of it at `lsn`.
    uint64_t newest = lsn;
    while (newest > 10 && newest * 7 % kBlocks != block) newest--;
    return newest;
  };
  std::atomic<uint64_t> written = 10, horizon = 10;
  std::atomic<bool> over = false;
  std::atomic<uint64_t> good = 0;
  auto read_one = [&](std::mt19937& chance) {
    const uint64_t oldest = horizon, newest = written;
    const uint64_t lsn = oldest + chance() % (newest - oldest + 1);
    const uint32_t block = chance() % kBlocks;
    const uint64_t version = at(lsn, block);
    try {
      const Chain chain = store->collect(page_key(1, block), Lsn(lsn));
      if (version == 10) {
        EXPECT_TRUE(chain.empty());
      } else {
        ASSERT_EQ(chain.size(), 1u) << lsn << " " << block;
        ASSERT_EQ(chain[0].lsn, Lsn(version));
        ASSERT_EQ(chain[0].bytes, text_of(version));
      }
      good++;
    } catch (const Error& error) {
      ASSERT_TRUE(error.code() == Errc::unavailable || error.code() == Errc::gone) << error.what();
      if (error.code() == Errc::gone) {
        ASSERT_LT(lsn, horizon);
      }
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 3; i++)
    threads.emplace_back([&, i] {
      std::mt19937 chance{GetParam() * 10 + i};
      const LayerReads reads(i == 0 ? LayerReads::Patience::patient
                                    : LayerReads::Patience::hurried);
      while (!over) read_one(chance);
    });
  for (int step = 0; step < 60; step++) {
    for (uint32_t n = 1 + random() % 5; n > 0; n--) {
      const uint64_t lsn = written + 1;
      put(*store, lsn, page_key(1, lsn * 7 % kBlocks), kImage, text_of(lsn));
      written = lsn;
    }
    store->flush(soon());
    if (random() % 3 > 0) origin_.upload(*store);
    if (random() % 4 == 0) origin_.away = !origin_.away;
    if (random() % 3 == 0) locals().drop(20'000);
    if (random() % 8 == 0) {
      horizon = written - std::min<uint64_t>(written - horizon, 10);
      store->set_retain({.horizon = Lsn(horizon), .points = {}});
    }
  }
  over = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(good, 50u);
  origin_.away = false;
  const Deadline deadline = soon();
  while (store->merging() && !deadline.passed())
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_FALSE(store->merging()) << "merges go on with what was away";
  origin_.upload(*store);
  store.reset();
  bound(40'000);
  store = open("a");
  std::mt19937 chance{GetParam()};
  const uint64_t before = good;
  for (int i = 0; i < 300; i++) read_one(chance);
  EXPECT_EQ(good, before + 300);
  keep_limit();
  std::set<std::string> wanted;
  for (const LayerDesc& layer : store->manifest().layers) wanted.insert(layer.file_name());
  for (const auto& entry : fs::directory_iterator(folder_ / "a/layers")) {
    const std::string name = entry.path().filename().string();
    EXPECT_TRUE(wanted.contains(name.substr(0, name.find(".copy")))) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, LocalLayersPropertyTest, ::testing::Values(1, 2, 3, 4));

}  // namespace
}  // namespace halogen::pageserver
