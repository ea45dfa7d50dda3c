#include "pageserver/timeline.h"
#include "pageserver/page_builder.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "pageserver/fake_redo.h"
#include "pageserver/ingest/native_apply.h"

namespace halogen::pageserver {
namespace {

constexpr PageKey page(uint32_t block) {
  return {RelTag::relation(1663, 5, 100, Fork::main), block};
}

class TimelineTest : public ::testing::Test {
 protected:
  TimelineTest() {
    options_.layer_cache = std::make_shared<LayerCache>(4 << 20);
    options_.reconstruct = reconstruct_with(redo_);
  }

  std::shared_ptr<Timeline> make(const std::string& name, Lsn start,
                                 std::shared_ptr<Timeline> ancestor = nullptr) {
    Manifest manifest;
    manifest.timeline = TimelineId::random();
    if (ancestor) {
      manifest.ancestor = ancestor->id();
      manifest.ancestor_lsn = start;
    }
    manifest.start_lsn = manifest.disk_consistent_lsn = start;
    TimelineStore::create(folder_ / name, manifest);
    return std::make_shared<Timeline>(Timeline::Parts{redo_, cache_, jobs_},
                                      std::make_shared<const TimelineStore::Options>(options_),
                                      folder_ / name, ancestor);
  }
  static void put(Timeline& timeline, uint64_t lsn, const PageKey& key, ValueKind kind,
                  const std::string& bytes) {
    Put one = make_put(Key::page(key), kind, bytes);
    timeline.store().put(Lsn(lsn), {&one, 1});
    timeline.store().advance(Lsn(lsn));
  }
  static std::string read(Timeline& timeline, const PageKey& key, uint64_t lsn) {
    return page_text(timeline.read_page(key, Lsn(lsn), soon()));
  }

  TempFolder folder_;
  FakeRedo redo_;
  PageCache cache_{8 << 20};
  JobPool jobs_{2};
  TimelineStore::Options options_;
};

constexpr auto kImage = ValueKind::image;
constexpr auto kRecord = ValueKind::record;
constexpr auto kInit = ValueKind::record_init;

TEST_F(TimelineTest, APageIsItsBaseAndTheRecordsSinceInOneReplay) {
  auto timeline = make("a", Lsn(10));
  put(*timeline, 20, page(1), kImage, text_page("a"));
  put(*timeline, 30, page(1), kRecord, "b");
  put(*timeline, 40, page(1), kRecord, "c");
  put(*timeline, 50, page(1), kInit, "x");
  put(*timeline, 60, page(1), kRecord, "y");
  EXPECT_EQ(read(*timeline, page(1), 45), "abc");
  EXPECT_EQ(redo_.calls, 1);
  EXPECT_EQ(read(*timeline, page(1), 60), "xy");
  EXPECT_EQ(redo_.calls, 2);
  EXPECT_EQ(read(*timeline, page(1), 29), "a");
  EXPECT_EQ(redo_.calls, 2) << "an image needs no redo";
}

TEST_F(TimelineTest, APageThatNeverWasIsZeros) {
  auto timeline = make("a", Lsn(10));
  EXPECT_EQ(timeline->read_page(page(7), Lsn(10), soon()), std::string(kPageSize, '\0'));
  put(*timeline, 20, page(7), ValueKind::zero, "");
  put(*timeline, 30, page(7), kRecord, "r");
  EXPECT_EQ(timeline->read_page(page(7), Lsn(20), soon()), std::string(kPageSize, '\0'));
  EXPECT_EQ(read(*timeline, page(7), 30), "r");
}

TEST_F(TimelineTest, PastTheEndOfARelationAreZeros) {
  auto timeline = make("a", Lsn(10));
  const std::string zeros(kPageSize, '\0');
  auto put_length = [&](uint64_t lsn, std::optional<uint32_t> pages) {
    std::string bytes = pages ? Writer().put(*pages).take() : "";
    Put one =
        make_put(Key::relation_size(page(0).tag), pages ? kImage : ValueKind::tombstone, bytes);
    timeline->store().put(Lsn(lsn), {&one, 1});
    timeline->store().advance(Lsn(lsn));
  };
  put(*timeline, 20, page(1), kImage, text_page("a"));
  put_length(20, 2);
  put_length(30, 1);  // Truncated.
  put_length(40, 2);  // Made longer again, and written.
  put(*timeline, 40, page(1), kImage, text_page("b"));
  put_length(50, std::nullopt);  // Dropped.
  auto branch = make("b", Lsn(35), timeline);
  for (int round = 0; round < 2; ++round) {  // The second from the cache.
    EXPECT_EQ(read(*timeline, page(1), 20), "a");
    EXPECT_EQ(timeline->read_page(page(1), Lsn(30), soon()), zeros);
    EXPECT_EQ(read(*timeline, page(1), 40), "b");
    EXPECT_EQ(timeline->read_page(page(1), Lsn(50), soon()), zeros);
    EXPECT_EQ(branch->read_page(page(1), Lsn(35), soon()), zeros);
    EXPECT_EQ(timeline->read_page(page(UINT32_MAX), Lsn(20), soon()), zeros);
  }
}

TEST_F(TimelineTest, NativeChangesAndRecordsKeepTheirOrder) {
  auto timeline = make("a", Lsn(10));
  PageKey clog{RelTag::slru(Slru::xact), 3};
  put(*timeline, 20, clog, ValueKind::zero, "");
  Writer op;
  op.put(NativeOp::clog).put(uint8_t{1}).put(uint16_t{0});
  put(*timeline, 30, clog, ValueKind::native, op.take());
  std::string got = timeline->read_page(clog, Lsn(30), soon());
  EXPECT_EQ(got[0], 1) << "transaction 0 of the page has committed";
  EXPECT_EQ(redo_.calls, 0);
}

TEST_F(TimelineTest, ACachedPageIsTheBaseOfALaterRead) {
  auto timeline = make("a", Lsn(10));
  put(*timeline, 20, page(1), kImage, text_page("a"));
  put(*timeline, 30, page(1), kRecord, "b");
  EXPECT_EQ(read(*timeline, page(1), 30), "ab");
  put(*timeline, 40, page(1), kRecord, "c");
  redo_.applied = 0;
  EXPECT_EQ(read(*timeline, page(1), 40), "abc");
  EXPECT_EQ(redo_.applied, 1) << "only what is new";
  EXPECT_EQ(read(*timeline, page(1), 40), "abc");
  EXPECT_EQ(redo_.applied, 1) << "nothing is new";
  EXPECT_EQ(read(*timeline, page(1), 35), "ab") << "the cached page is too new for this one";
  EXPECT_EQ(read(*timeline, page(1), 20), "a");
  EXPECT_EQ(read(*timeline, page(1), 40), "abc");
}

TEST_F(TimelineTest, BranchesShareTheCacheOfWhatTheyShareAndNothingElse) {
  auto root = make("root", Lsn(10));
  put(*root, 20, page(1), kImage, text_page("a"));
  put(*root, 30, page(1), kRecord, "b");
  auto one = make("one", Lsn(30), root);
  auto two = make("two", Lsn(30), root);
  EXPECT_EQ(read(*one, page(1), 30), "ab");
  redo_.applied = 0;
  EXPECT_EQ(read(*two, page(1), 30), "ab");
  EXPECT_EQ(redo_.applied, 0) << "one has read it";
  put(*root, 40, page(1), kRecord, "R");
  put(*one, 40, page(1), kRecord, "1");
  put(*two, 40, page(1), kRecord, "2");
  EXPECT_EQ(read(*root, page(1), 40), "abR");
  EXPECT_EQ(read(*one, page(1), 40), "ab1");
  EXPECT_EQ(read(*two, page(1), 40), "ab2");
  EXPECT_EQ(read(*one, page(1), 30), "ab");
}

TEST_F(TimelineTest, ReadsWaitForTheirLsnOnBothSidesOfTheBranchPoint) {
  auto root = make("root", Lsn(10));
  EXPECT_EQ(thrown_by([&] {
              root->read_page(page(1), Lsn(20), Deadline::after(std::chrono::milliseconds(10)));
            }),
            Errc::timed_out);
  EXPECT_EQ(thrown_by([&] { root->read_page(page(1), Lsn(9), soon()); }), Errc::gone);
  auto child = make("child", Lsn(20), root);  // As after a restart: the root's WAL is not here yet.
  EXPECT_EQ(thrown_by([&] {
              child->read_page(page(1), Lsn(20), Deadline::after(std::chrono::milliseconds(10)));
            }),
            Errc::timed_out);
  std::thread writer([&] {
    ::usleep(20000);
    put(*root, 20, page(1), kImage, text_page("a"));
  });
  EXPECT_EQ(read(*child, page(1), 20), "a");
  writer.join();
}

TEST_F(TimelineTest, DamagedHistoryIsAnErrorNotAPage) {
  auto timeline = make("a", Lsn(10));
  put(*timeline, 20, page(1), kRecord, "no base");
  put(*timeline, 30, page(2), kImage, "short");
  put(*timeline, 40, page(3), kInit, "bad");
  for (uint32_t block = 1; block <= 3; block++)
    EXPECT_EQ(thrown_by([&] { read(*timeline, page(block), 40); }), Errc::corrupt) << block;
}

TEST_F(TimelineTest, BatchedReadsAreInTheOrderAsked) {
  auto timeline = make("a", Lsn(10));
  for (uint32_t i = 0; i < 200; i++) {
    put(*timeline, 20 + i, page(i), kInit, fmt::format("page {}", i));
  }
  std::vector<PageKey> keys;
  for (uint32_t i = 0; i < 200; i++) keys.push_back(page((i * 37) % 200));
  std::string pages = timeline->read_pages(keys, Lsn(219), soon());
  ASSERT_EQ(pages.size(), 200 * kPageSize);
  for (uint32_t i = 0; i < 200; i++)
    EXPECT_EQ(page_text(pages.substr(i * kPageSize, kPageSize)),
              fmt::format("page {}", keys[i].block));
  put(*timeline, 300, page(5), kInit, "bad");
  EXPECT_EQ(thrown_by([&] { timeline->read_pages(keys, Lsn(300), soon()); }), Errc::corrupt);
}

TEST_F(TimelineTest, AFlushEndsLongChainsWithTheRightPage) {
  options_.image_after_deltas = 4;
  auto timeline = make("a", Lsn(10));
  std::string expected = "i";
  put(*timeline, 20, page(1), kInit, "i");
  for (uint64_t lsn = 21; lsn < 31; lsn++) {
    put(*timeline, lsn, page(1), kRecord, "r");
    expected += "r";
  }
  timeline->store().flush(soon());
  Chain chain = timeline->store().collect(Key::page(page(1)), Lsn(30));
  ASSERT_EQ(chain.size(), 1u);
  EXPECT_EQ(chain[0].kind, kImage);
  EXPECT_EQ(read(*timeline, page(1), 30), expected);
  EXPECT_EQ(read(*timeline, page(1), 25), "irrrrr");
}

// Random appends, flushes and reads at any LSN, on a parent and a branch, against plain strings.
TEST_F(TimelineTest, RandomReadsAtAnyLsnAreRight) {
  constexpr unsigned kSeed = 42;
  SCOPED_TRACE(fmt::format("seed {}", kSeed));
  std::mt19937 random(kSeed);
  auto below = [&](uint32_t n) { return static_cast<uint32_t>(random() % n); };
  options_.image_after_deltas = 5;
  options_.freeze_bytes = 40000;
  options_.merging.merge_files = 3;
  using History = std::map<uint64_t, std::string>;  // The page's text from each LSN on.
  struct Side {
    std::shared_ptr<Timeline> timeline;
    std::map<uint32_t, History> pages;
    uint64_t last;
  };
  std::vector<Side> sides = {{make("root", Lsn(10)), {}, 10}};
  auto text_at = [](const History& history, uint64_t lsn) {
    auto at = history.upper_bound(lsn);
    return at == history.begin() ? std::string() : std::prev(at)->second;
  };
  for (int step = 0; step < 4000; step++) {
    Side& side = sides[below(static_cast<uint32_t>(sides.size()))];
    uint32_t block = below(12);
    History& history = side.pages[block];
    if (uint32_t what = below(20); what < 10) {
      side.last += 1 + below(3);
      std::string before = text_at(history, side.last);
      bool fresh = before.empty() || before.size() > 200 || what == 0;
      std::string text = fmt::format("{}.", step);
      put(*side.timeline, side.last, page(block), fresh ? kInit : kRecord, text);
      history[side.last] = fresh ? text : before + text;
    } else if (what == 10 && step % 7 == 0) {
      side.timeline->store().flush(soon());
    } else if (what == 11 && step > 1000 && sides.size() < 3) {
      auto child = make(fmt::format("child{}", step), Lsn(side.last), side.timeline);
      sides.push_back({child, side.pages, side.last});
    } else {
      uint64_t lsn = below(3) ? side.last : 10 + below(static_cast<uint32_t>(side.last - 9));
      ASSERT_EQ(read(*side.timeline, page(block), lsn), text_at(history, lsn)) << "at " << lsn;
    }
  }
}

TEST_F(TimelineTest, ReadersAndAWriterAtTheSameTime) {
  options_.freeze_bytes = 100000;
  options_.image_after_deltas = 5;
  auto timeline = make("a", Lsn(10));
  put(*timeline, 11, page(0), kInit, "");
  std::atomic<bool> over = false;
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; i++)
    readers.emplace_back([&] {
      while (!over) {
        Lsn lsn = timeline->store().last_record_lsn();
        std::string text = page_text(timeline->read_page(page(0), lsn, soon()));
        ASSERT_EQ(text.size(), (lsn.value - 11) % 1000);
      }
    });
  for (uint64_t lsn = 12; lsn < 5000; lsn++) {
    bool fresh = (lsn - 11) % 1000 == 0;
    put(*timeline, lsn, page(0), fresh ? kInit : kRecord, fresh ? "" : "x");
  }
  over = true;
  for (auto& reader : readers) reader.join();
}

TEST(JobPool, RunsEveryPartOnceAndPassesOnTheFirstFailure) {
  JobPool pool(3);
  std::vector<std::atomic<int>> counts(1000);
  pool.run(counts.size(), [&](size_t i) { counts[i]++; });
  for (auto& count : counts) EXPECT_EQ(count, 1);
  pool.run(0, [&](size_t) { FAIL(); });
  EXPECT_EQ(thrown_by([&] {
              pool.run(100, [](size_t i) {
                if (i == 50) throw Error(Errc::gone, "part {}", i);
              });
            }),
            Errc::gone);
}

TEST(BootSet, WhatABootAskedForGoesFirstAndSurvivesARestart) {
  TempFolder folder;
  std::vector<PageKey> old;
  for (uint32_t i = 0; i < kBootSetPages; i++) old.push_back(page(i));
  {
    BootSet set(folder / "boot_set");
    EXPECT_TRUE(set.pages().empty());
    set.add({page(1000), page(3)}, old);
  }
  BootSet set(folder / "boot_set");
  auto pages = set.pages();
  ASSERT_EQ(pages.size(), kBootSetPages);
  EXPECT_EQ(pages[0], page(1000));
  EXPECT_EQ(pages[1], page(3));
  EXPECT_EQ(pages[2], page(0));
  write_file(folder / "boot_set", "garbage");
  EXPECT_TRUE(BootSet(folder / "boot_set").pages().empty()) << "best effort";
}

}  // namespace
}  // namespace halogen::pageserver
