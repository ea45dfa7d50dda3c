#include "pageserver/layers/timeline_store.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <thread>

#include "pageserver/layers/test_support.h"

namespace halogen::pageserver {
namespace {

using Versions = std::map<Key, std::vector<Value>>;

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() {
    options_.layer_cache = std::make_shared<LayerCache>(4 << 20);
    options_.first_retry = std::chrono::milliseconds(10);
  }

  void create(const std::string& name, Lsn start) {
    Manifest manifest;
    manifest.timeline = TimelineId::random();
    manifest.start_lsn = manifest.disk_consistent_lsn = start;
    TimelineStore::create(folder_ / name, manifest);
  }
  void create_branch(const std::string& name, Lsn lsn) {
    Manifest manifest;
    manifest.timeline = TimelineId::random();
    manifest.ancestor = TimelineId::random();
    manifest.ancestor_lsn = manifest.start_lsn = manifest.disk_consistent_lsn = lsn;
    TimelineStore::create(folder_ / name, manifest);
  }
  std::shared_ptr<TimelineStore> open(const std::string& name,
                                      std::shared_ptr<TimelineStore> ancestor = nullptr) {
    return std::make_shared<TimelineStore>(std::make_shared<const TimelineStore::Options>(options_),
                                           folder_ / name, ancestor);
  }
  static void put(TimelineStore& store, uint64_t lsn, const Key& key, ValueKind kind,
                  const std::string& bytes) {
    Put one = make_put(key, kind, bytes);
    store.put(Lsn(lsn), {&one, 1});
    store.advance(Lsn(lsn));
  }
  static std::string chain(const TimelineStore& store, const Key& key, uint64_t lsn) {
    return describe(store.collect(key, Lsn(lsn)));
  }
  static std::string scan(const TimelineStore& store, uint64_t lsn) {
    std::string out;
    store.scan(size_key(0), size_key(~0u), Lsn(lsn), [&](const Key& key, const Value& value) {
      out += fmt::format("{}={} ", key.rel, value.bytes);
    });
    return out;
  }

  TempFolder folder_;
  TimelineStore::Options options_;
};

constexpr auto kImage = ValueKind::image;
constexpr auto kRecord = ValueKind::record;

TEST_F(StoreTest, ALayerFileThatNoManifestNamesGoesToTheTrash) {
  create("t", Lsn(100));
  const fs::path layers = folder_ / "t" / "layers";
  write_file(layers / "00000000000000ff.layer", "whole");
  write_file(layers / "00000000000000fe.layer.tmp", "half");
  (void)open("t");
  EXPECT_TRUE(fs::is_empty(layers));
  std::vector<std::string> kept;
  for (const auto& entry : fs::directory_iterator(folder_ / "t" / "trash"))
    kept.push_back(read_file(entry.path()));
  EXPECT_EQ(kept, std::vector<std::string>{"whole"});
}

// Whoever is the last to put, and whichever timeline it is.
TEST_F(StoreTest, WhereMemoryIsShortTheLargestOpenLayerIsWrittenFirst) {
  constexpr uint64_t kLimit = 2 << 20;
  options_.memory = std::make_shared<LayerMemory>(kLimit);
  create("large", Lsn(100));
  create("small", Lsn(100));
  auto large = open("large");
  auto small = open("small");
  const std::string page(8192, 'x');
  uint64_t lsn = 100;
  while (large->memory_bytes() < kLimit / 8 * 3)
    put(*large, ++lsn, page_key(1, 0), ValueKind::image, page);
  EXPECT_TRUE(large->manifest().layers.empty());
  const Deadline deadline = soon();
  while (large->manifest().layers.empty() && !deadline.passed() &&
         small->memory_bytes() < kLimit / 2)
    put(*small, ++lsn, page_key(2, 0), ValueKind::image, page);
  while (large->memory_bytes() > 0 && !deadline.passed()) std::this_thread::yield();
  EXPECT_EQ(large->memory_bytes(), 0u);
  for (uint64_t i = 0; i < 4 * kLimit / page.size(); ++i) {
    put(*small, ++lsn, page_key(2, static_cast<uint32_t>(i)), ValueKind::image, page);
    EXPECT_LT(options_.memory->bytes(), 2 * static_cast<int64_t>(kLimit));
  }
  small.reset();
  large.reset();
  EXPECT_EQ(options_.memory->bytes(), 0);
}

TEST_F(StoreTest, TheNewestBaseAtOrBelowTheLsnBeginsTheChain) {
  create("a", Lsn(10));
  auto store = open("a");
  const Key key = page_key(1, 1);
  for (bool flushed : {false, true}) {
    if (!flushed) {
      put(*store, 20, key, kImage, "i20");
      put(*store, 30, key, kRecord, "r30");
      put(*store, 40, key, kImage, "i40");
      put(*store, 50, key, kRecord, "r50");
      put(*store, 60, key, kRecord, "r60");
    } else {
      store->flush(soon());
    }
    EXPECT_EQ(chain(*store, key, 19), "");
    EXPECT_EQ(chain(*store, key, 29), "20:0:i20");
    EXPECT_EQ(chain(*store, key, 39), "20:0:i20 30:4:r30");
    EXPECT_EQ(chain(*store, key, 40), "40:0:i40");
    EXPECT_EQ(chain(*store, key, 55), "40:0:i40 50:4:r50");
    EXPECT_EQ(chain(*store, key, 60), "40:0:i40 50:4:r50 60:4:r60");
    EXPECT_EQ(describe(store->collect_above(key, Lsn(60), Lsn(50))), "60:4:r60");
    EXPECT_EQ(describe(store->collect_above(key, Lsn(60), Lsn(60))), "");
  }
}

TEST_F(StoreTest, AChainRunsThroughAllLayersInOrder) {
  create("a", Lsn(10));
  auto store = open("a");
  const Key key = page_key(1, 1);
  put(*store, 20, key, kImage, "i");
  std::string expected = "20:0:i";
  for (uint64_t lsn = 30; lsn < 60; lsn += 10) {
    store->flush(soon());
    put(*store, lsn, key, kRecord, "r");
    expected += fmt::format(" {}:4:r", lsn);
  }
  EXPECT_EQ(chain(*store, key, 100), expected);
}

TEST_F(StoreTest, SeveralVersionsAtOneLsnKeepTheirOrder) {
  create("a", Lsn(10));
  auto store = open("a");
  const std::string one = "1", two = "2", three = "3";
  std::vector<Put> puts = {make_put(page_key(1, 1), kImage, one),
                           make_put(page_key(1, 1), kRecord, two),
                           make_put(page_key(1, 1), kRecord, three)};
  store->put(Lsn(20), puts);
  store->advance(Lsn(20));
  EXPECT_EQ(chain(*store, page_key(1, 1), 20), "20:0:1 20:4:2 20:4:3");
  store->flush(soon());
  EXPECT_EQ(chain(*store, page_key(1, 1), 20), "20:0:1 20:4:2 20:4:3");
}

TEST_F(StoreTest, ScanShowsTheNewestAndSkipsTombstones) {
  create("a", Lsn(10));
  auto store = open("a");
  put(*store, 20, size_key(1), kImage, "1");
  put(*store, 30, size_key(2), kImage, "1");
  store->flush(soon());
  put(*store, 40, size_key(1), ValueKind::tombstone, "");
  put(*store, 50, size_key(2), kImage, "5");
  put(*store, 50, page_key(2, 1), ValueKind::zero, "");
  EXPECT_EQ(scan(*store, 19), "");
  EXPECT_EQ(scan(*store, 30), "1=1 2=1 ");
  EXPECT_EQ(scan(*store, 40), "2=1 ");
  EXPECT_EQ(scan(*store, 50), "2=5 ");
  create_branch("b", Lsn(45));
  auto branch = open("b", store);
  put(*branch, 60, size_key(2), ValueKind::tombstone, "");
  put(*branch, 60, size_key(3), kImage, "9");
  EXPECT_EQ(scan(*branch, 60), "3=9 ");
  EXPECT_EQ(scan(*branch, 45), "2=1 ");
  EXPECT_EQ(scan(*store, 60), "2=5 ");
}

TEST_F(StoreTest, ABranchSeesTheAncestorOnlyUpToTheBranchPoint) {
  create("a", Lsn(10));
  auto store = open("a");
  const Key key = page_key(1, 1);
  put(*store, 20, key, kImage, "i20");
  put(*store, 30, key, kRecord, "r30");
  create_branch("b", Lsn(30));
  auto branch = open("b", store);
  put(*store, 40, key, kRecord, "a40");
  put(*branch, 40, key, kRecord, "b40");
  for (int i = 0; i < 2; i++) {
    EXPECT_EQ(chain(*store, key, 100), "20:0:i20 30:4:r30 40:4:a40");
    EXPECT_EQ(chain(*branch, key, 100), "20:0:i20 30:4:r30 40:4:b40");
    EXPECT_EQ(chain(*branch, key, 25), "20:0:i20");
    EXPECT_EQ(describe(branch->collect_above(key, Lsn(100), Lsn(30))), "40:4:b40");
    store->flush(soon());
    branch->flush(soon());
  }
  EXPECT_EQ(chain(*branch, page_key(1, 2), 100), "");
}

TEST_F(StoreTest, RestartHasWhatWasFlushedAndAsksForTheRest) {
  create("a", Lsn(10));
  {
    auto store = open("a");
    EXPECT_EQ(store->last_record_lsn(), Lsn(10));
    put(*store, 20, page_key(1, 1), kImage, "i20");
    store->advance(Lsn(25));
    store->flush(soon());
    EXPECT_EQ(store->disk_consistent_lsn(), Lsn(25));
    put(*store, 30, page_key(1, 1), kImage, "i30");
  }
  auto store = open("a");
  EXPECT_EQ(store->last_record_lsn(), Lsn(25));
  EXPECT_EQ(chain(*store, page_key(1, 1), 100), "20:0:i20");
  put(*store, 30, page_key(1, 1), kImage, "i30");
  EXPECT_EQ(chain(*store, page_key(1, 1), 100), "30:0:i30");
}

TEST_F(StoreTest, AFileBesideTheManifestIsNotThere) {
  create("a", Lsn(10));
  {
    auto store = open("a");
    put(*store, 20, page_key(1, 1), kImage, "i20");
    store->flush(soon());
    // As if the process died between the layer file and the manifest.
    fs::copy_file(folder_ / "a" / kManifestFile, folder_ / "old");
    put(*store, 30, page_key(1, 1), kImage, "i30");
    store->flush(soon());
  }
  fs::rename(folder_ / "old", folder_ / "a" / kManifestFile);
  write_file(folder_ / "a/layers/half.layer.tmp", "half");
  auto store = open("a");
  EXPECT_EQ(store->last_record_lsn(), Lsn(20));
  EXPECT_EQ(chain(*store, page_key(1, 1), 100), "20:0:i20");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "a/layers"), {}), 1);
  put(*store, 30, page_key(1, 1), kImage, "again");
  store->flush(soon());
  EXPECT_EQ(chain(*store, page_key(1, 1), 100), "30:0:again");
}

TEST_F(StoreTest, ADamagedManifestIsAnError) {
  create("a", Lsn(10));
  std::string manifest = read_file(folder_ / "a" / kManifestFile);
  for (size_t at = 0; at < manifest.size(); at++) {
    std::string bad = manifest;
    bad[at] ^= 0x10;
    EXPECT_EQ(thrown_by([&] { Manifest::parse(as_bytes(bad)); }), Errc::corrupt) << at;
  }
}

TEST_F(StoreTest, ALongChainEndsWithAnImage) {
  options_.image_after_deltas = 5;
  options_.reconstruct = [](TenantId, const PageKey&, const Chain& chain) {
    return fmt::format("page of {}", chain.size());
  };
  create("a", Lsn(10));
  auto store = open("a");
  put(*store, 20, page_key(1, 1), kImage, "i");
  put(*store, 20, page_key(1, 2), kImage, "i");
  put(*store, 20, size_key(1), kImage, "s");
  for (uint64_t lsn = 21; lsn <= 24; lsn++) put(*store, lsn, page_key(1, 1), kRecord, "r");
  store->flush(soon());
  EXPECT_EQ(store->collect(page_key(1, 1), Lsn(30)).size(), 5u) << "four deltas are few";
  for (uint64_t lsn = 25; lsn <= 26; lsn++) put(*store, lsn, page_key(1, 1), kRecord, "r");
  put(*store, 27, page_key(1, 2), kRecord, "r");
  store->flush(soon());
  EXPECT_EQ(chain(*store, page_key(1, 1), 27), "27:0:page of 7") << "counted through both layers";
  EXPECT_EQ(store->collect(page_key(1, 1), Lsn(26)).size(), 7u) << "older reads are as before";
  EXPECT_EQ(chain(*store, page_key(1, 2), 27), "20:0:i 27:4:r");
}

TEST_F(StoreTest, ManySmallFilesBecomeOneWithAllHistory) {
  options_.merging.merge_files = 4;
  create("a", Lsn(10));
  auto store = open("a");
  std::string expected;
  for (uint64_t lsn = 20; lsn < 50; lsn++) {
    put(*store, lsn, page_key(1, 1), lsn == 20 ? kImage : kRecord, "x");
    put(*store, lsn, page_key(2, static_cast<uint32_t>(lsn)), kImage, "y");
    store->flush(soon());
  }
  for (int i = 0; i < 200 && store->manifest().layers.size() >= 8; i++) ::usleep(10000);
  EXPECT_LT(store->manifest().layers.size(), 8u);
  auto check = [&](const TimelineStore& at) {
    Chain all = at.collect(page_key(1, 1), Lsn(100));
    ASSERT_EQ(all.size(), 30u);
    for (size_t i = 0; i < all.size(); i++) EXPECT_EQ(all[i].lsn, Lsn(20 + i));
    EXPECT_EQ(chain(at, page_key(2, 33), 100), "33:0:y");
  };
  check(*store);
  store.reset();
  auto again = open("a");
  check(*again);
  size_t files = again->manifest().layers.size();
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "a/layers"), {}),
            static_cast<ptrdiff_t>(files))
      << "merged files are gone";
}

// Whoever holds a copy of a layer, a reader or an upload, may trust its name for ever: through
// flushes, merges, restarts, losses of what was not flushed.
TEST_F(StoreTest, ALayerFileNeverChangesNorIsItsNameUsedAgain) {
  options_.merging.merge_files = 3;
  create("a", Lsn(10));
  std::map<std::string, std::string> known;
  size_t gone = 0;
  auto look = [&](const TimelineStore& store) {
    std::set<std::string> now;
    for (const LayerDesc& layer : store.manifest().layers) {
      now.insert(layer.file_name());
      auto [at, fresh] = known.try_emplace(layer.file_name());
      std::string bytes = read_file(folder_ / "a/layers" / layer.file_name());
      if (fresh) at->second = bytes;
      EXPECT_EQ(at->second, bytes) << layer.file_name();
      EXPECT_NE(at->second, "") << layer.file_name() << " is back";
    }
    for (auto& [name, bytes] : known)
      if (!now.contains(name) && !std::exchange(bytes, "").empty()) gone++;
  };
  auto merges_wait = [&](const TimelineStore& store) {
    std::map<int, size_t> levels;
    for (const LayerDesc& layer : store.manifest().layers)
      if (++levels[layer.level] >= options_.merging.merge_files) return true;
    return false;
  };
  uint64_t lsn = 10;
  for (int restart = 0; restart < 4; restart++) {
    auto store = open("a");
    for (int round = 0; round < 6; round++) {
      lsn++;
      put(*store, lsn, page_key(1, 1), round == 0 ? kImage : kRecord, fmt::format("v{}", lsn));
      store->flush(soon());
      for (int i = 0; i < 500 && merges_wait(*store); i++) ::usleep(10000);
      look(*store);
    }
    put(*store, lsn + 1, page_key(1, 2), kImage, "never flushed");
  }
  EXPECT_GT(known.size(), 20u);
  EXPECT_GT(gone, 10u) << "files were merged";
}

TEST_F(StoreTest, APutThatComesTooLateIsAConflict) {
  create("a", Lsn(10));
  auto store = open("a");
  put(*store, 20, page_key(1, 1), kImage, "i");
  EXPECT_EQ(thrown_by([&] { put(*store, 19, page_key(1, 1), kImage, "i"); }), Errc::conflict);
  put(*store, 20, size_key(1), kImage, "same");
  EXPECT_EQ(scan(*store, 20), "1=same ");
}

TEST_F(StoreTest, WaitingForAnLsnEndsWhenItArrivesOrTheTimeIsOver) {
  create("a", Lsn(10));
  auto store = open("a");
  EXPECT_EQ(thrown_by([&] {
              store->wait_for_lsn(Lsn(20), Deadline::after(std::chrono::milliseconds(20)));
            }),
            Errc::timed_out);
  std::thread writer([&] {
    ::usleep(30000);
    store->advance(Lsn(20));
  });
  store->wait_for_lsn(Lsn(20), soon());
  writer.join();
  std::thread stopper([&] {
    ::usleep(30000);
    store->stop();
  });
  EXPECT_EQ(thrown_by([&] { store->wait_for_lsn(Lsn(30), soon()); }), Errc::cancelled);
  stopper.join();
}

// The folder of layers is replaced by a file: every write fails, as on a full disk.
TEST_F(StoreTest, WhenWritingFailsNothingIsLostAndItIsTriedAgain) {
  create("a", Lsn(10));
  auto store = open("a");
  put(*store, 20, page_key(1, 1), kImage, "i20");
  fs::remove(folder_ / "a/layers");
  write_file(folder_ / "a/layers", "");
  EXPECT_EQ(thrown_by([&] { store->flush(Deadline::after(std::chrono::milliseconds(100))); }),
            Errc::timed_out);
  put(*store, 30, page_key(1, 1), kRecord, "r30");
  EXPECT_EQ(chain(*store, page_key(1, 1), 100), "20:0:i20 30:4:r30");
  fs::remove(folder_ / "a/layers");
  fs::create_directory(folder_ / "a/layers");
  store->flush(soon());
  EXPECT_EQ(store->disk_consistent_lsn(), Lsn(30));
  store.reset();
  EXPECT_EQ(chain(*open("a"), page_key(1, 1), 100), "20:0:i20 30:4:r30");
}

TEST_F(StoreTest, PutWaitsWhileTooManyLayersWaitForTheDisk) {
  options_.max_frozen = 1;
  options_.freeze_bytes = 1000;
  create("a", Lsn(10));
  auto store = open("a");
  fs::remove(folder_ / "a/layers");
  write_file(folder_ / "a/layers", "");
  std::atomic<uint64_t> done = 0;
  std::thread writer([&] {
    for (uint64_t lsn = 20; lsn < 30; lsn++) {
      put(*store, lsn, page_key(1, 1), kImage, std::string(1000, 'x'));
      done = lsn;
    }
  });
  ::usleep(200000);
  EXPECT_LT(done, 29u) << "put must wait";
  EXPECT_GE(done, 20u);
  fs::remove(folder_ / "a/layers");
  fs::create_directory(folder_ / "a/layers");
  writer.join();
  EXPECT_EQ(done, 29u);
  store->flush(soon());
}

// Random work against a plain map.
class Model {
 public:
  void put(uint64_t lsn, const Key& key, ValueKind kind, const std::string& bytes) {
    versions_[key].push_back({Lsn(lsn), kind, bytes});
  }
  // What a store must say: the versions from the newest base at or below the LSN.
  std::string chain(const Key& key, uint64_t lsn) const {
    auto found = versions_.find(key);
    if (found == versions_.end()) return "";
    Chain out;
    for (const Value& value : found->second) {
      if (value.lsn > Lsn(lsn)) break;
      if (is_base(value.kind)) out.clear();
      out.push_back(value);
    }
    return describe(out);
  }
  void cut(uint64_t lsn) {  // What was not flushed when the process died.
    for (auto& [key, all] : versions_)
      std::erase_if(all, [&](const Value& value) { return value.lsn > Lsn(lsn); });
  }

 private:
  Versions versions_;
};

struct Branch {
  std::shared_ptr<TimelineStore> store;
  Model model;
  std::string name;
  size_t ancestor = 0;  // Its own index: none.
  uint64_t start = 10;
  uint64_t last = 10;
};

class StorePropertyTest : public StoreTest, public ::testing::WithParamInterface<unsigned> {
 protected:
  uint32_t below(uint32_t n) { return std::uniform_int_distribution<uint32_t>(0, n - 1)(random_); }

  void write(Branch& branch) {
    for (uint32_t n = below(200); n > 0; n--) {
      branch.last += 1 + below(5);
      std::vector<std::string> texts(1 + below(3));
      std::vector<Put> puts;
      for (std::string& text : texts) {
        Key key = below(4) == 0 ? size_key(below(10)) : page_key(below(3), below(10));
        ValueKind kind = static_cast<ValueKind>(key.is_page() ? below(6) : below(2) * 2);
        text = fmt::format("{}/{}", branch.name, branch.last) + std::string(below(2000), '.');
        if (kind == ValueKind::zero || kind == ValueKind::tombstone) text.clear();
        puts.push_back(make_put(key, kind, text));
        branch.model.put(branch.last, key, kind, text);
      }
      branch.store->put(Lsn(branch.last), puts);
      branch.store->advance(Lsn(branch.last));
    }
  }

  void check(Branch& branch) {
    for (int i = 0; i < 30; i++) {
      Key key = below(4) == 0 ? size_key(below(10)) : page_key(below(3), below(10));
      uint64_t lsn = branch.start + below(static_cast<uint32_t>(branch.last - branch.start) + 5);
      ASSERT_EQ(describe(branch.store->collect(key, Lsn(lsn))), branch.model.chain(key, lsn))
          << branch.name << " at " << lsn;
    }
  }

  void restart() {
    for (size_t i = branches_.size(); i-- > 0;) branches_[i].store.reset();
    for (Branch& branch : branches_) {
      auto& ancestor = branches_[branch.ancestor];
      branch.store = open(branch.name, &ancestor == &branch ? nullptr : ancestor.store);
      branch.last = branch.store->last_record_lsn().value;
      branch.model.cut(branch.last);
    }
  }

  void add_branch() {
    size_t from = below(static_cast<uint32_t>(branches_.size()));
    Branch& parent = branches_[from];
    parent.store->flush(soon());  // So that a restart keeps what the branch stands on.
    Branch child{nullptr, parent.model, fmt::format("b{}", branches_.size()),
                 from,    parent.last,  parent.last};
    create_branch(child.name, Lsn(child.start));
    child.store = open(child.name, parent.store);
    branches_.push_back(std::move(child));
  }

  std::mt19937 random_{GetParam()};
  std::vector<Branch> branches_;
};

TEST_P(StorePropertyTest, ActsLikeAMap) {
  SCOPED_TRACE(fmt::format("seed {}", GetParam()));
  options_.freeze_bytes = 60000;
  options_.merging.merge_files = 3;
  branches_.push_back({nullptr, {}, "main", 0, 10, 10});
  create("main", Lsn(10));
  branches_[0].store = open("main");
  for (int step = 0; step < 120 && !HasFatalFailure(); step++) {
    Branch& branch = branches_[below(static_cast<uint32_t>(branches_.size()))];
    switch (below(12)) {
      case 0:
        branch.store->flush(soon());
        break;
      case 1:
        restart();
        break;
      case 2:
        if (branches_.size() < 6) add_branch();
        break;
      default:
        write(branch);
    }
    for (Branch& each : branches_) check(each);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, StorePropertyTest, ::testing::Values(1, 2, 3));

// CREATE DATABASE ... STRATEGY file_copy puts every page of a database at one LSN.
TEST_F(StoreTest, ARecordOfAnySizeTakesBoundedMemory) {
  options_.freeze_bytes = 100000;
  create("a", Lsn(10));
  auto store = open("a");
  put(*store, 20, page_key(9, 9), kImage, "before");
  const std::string page(8192, 'p');
  auto copy = [&](uint32_t blocks) {
    size_t most = 0;
    for (uint32_t block = 0; block < blocks; block++) {
      Put one = make_put(page_key(1, block), kImage, page);
      store->put(Lsn(30), {&one, 1});
      most = std::max(most, store->memory_bytes());
    }
    return most;
  };
  EXPECT_LT(copy(500), (options_.max_frozen + 2) * 2 * options_.freeze_bytes);
  EXPECT_EQ(store->last_record_lsn(), Lsn(20));
  EXPECT_EQ(chain(*store, page_key(1, 0), 20), "");
  store.reset();  // A crash within the record: nothing of it is left, and it comes again.
  store = open("a");
  EXPECT_EQ(chain(*store, page_key(1, 0), 30), "");
  put(*store, 20, page_key(9, 9), kImage, "before");
  copy(500);
  put(*store, 30, page_key(1, 600), kImage, "end");
  put(*store, 40, page_key(1, 7), kRecord, "r");
  for (int state = 0; state < 3; state++) {
    if (state == 1) store->flush(soon());
    if (state == 2) {
      store.reset();
      store = open("a");
    }
    for (uint32_t block : {0, 499, 600})
      EXPECT_EQ(store->collect(page_key(1, block), Lsn(40)).size(), 1u);
    EXPECT_EQ(chain(*store, page_key(1, 7), 40), "30:0:" + page.substr(0, 40) + " 40:4:r");
    EXPECT_EQ(chain(*store, page_key(1, 7), 29), "");
  }
}

// However many pages want an image: what closes a timeline waits for this thread.
TEST_F(StoreTest, RedoThatIsAwayDelaysAFlushOnce) {
  int calls = 0;
  options_.reconstruct = [&](TenantId, const PageKey&, const Chain&) -> std::string {
    ++calls;
    throw Error(Errc::timed_out, "redo is away");
  };
  create("a", Lsn(10));
  auto store = open("a");
  auto long_chains = [&](uint64_t from) {
    for (uint64_t lsn = from; lsn < from + 50; lsn++) {
      std::vector<Put> puts;
      for (uint32_t block = 0; block < 20; block++)
        puts.push_back({page_key(1, block), lsn == 20 ? kImage : kRecord, as_bytes("x")});
      store->put(Lsn(lsn), puts);
      store->advance(Lsn(lsn));
    }
  };
  long_chains(20);
  store->flush(soon());
  EXPECT_EQ(calls, 1);
  long_chains(70);
  store->cancel_waits();
  store->flush(soon());
  EXPECT_EQ(calls, 1) << "a timeline that closes makes none";
  EXPECT_EQ(store->disk_consistent_lsn(), Lsn(119));
}

TEST_F(StoreTest, AClosedBranchWaitsForNoAncestor) {
  create("a", Lsn(10));
  auto ancestor = open("a");
  create_branch("b", Lsn(20));
  auto branch = open("b", ancestor);
  std::thread waiting([&] {
    EXPECT_EQ(
        thrown_by([&] { branch->wait_for_lsn(Lsn(20), Deadline::after(std::chrono::hours(1))); }),
        Errc::cancelled);
  });
  branch->cancel_waits();
  waiting.join();
  EXPECT_EQ(
      thrown_by([&] {
        open("b", ancestor)->wait_for_lsn(Lsn(20), Deadline::after(std::chrono::milliseconds(1)));
      }),
      Errc::timed_out);
}

TEST_F(StoreTest, ReadersSeeWholeRecordsWhileTheWriterWorks) {
  options_.freeze_bytes = 200000;
  options_.merging.merge_files = 3;
  create("a", Lsn(10));
  auto store = open("a");
  std::atomic<bool> over = false;
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; i++)
    readers.emplace_back([&] {
      while (!over) {
        Lsn lsn = store->last_record_lsn();
        Chain one = store->collect(page_key(1, 1), lsn);
        Chain two = store->collect(page_key(1, 2), lsn);
        ASSERT_EQ(describe(one), describe(two));
      }
    });
  for (uint64_t lsn = 20; lsn < 20000; lsn++) {
    std::string text = std::to_string(lsn);
    auto kind = lsn % 10 == 0 ? kImage : kRecord;
    std::vector<Put> puts = {make_put(page_key(1, 1), kind, text),
                             make_put(page_key(1, 2), kind, text)};
    store->put(Lsn(lsn), puts);
    store->advance(Lsn(lsn));
  }
  over = true;
  for (auto& reader : readers) reader.join();
}

}  // namespace
}  // namespace halogen::pageserver
