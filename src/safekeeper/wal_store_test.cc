#include "safekeeper/wal_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <thread>

#include "base/error.h"
#include "safekeeper/test_wal.h"

namespace halogen::safekeeper {
namespace {

using std::chrono::milliseconds;

class WalStoreTest : public testing::Test {
 protected:
  WalStoreTest() {
    static int count = 0;
    home_ = fs::temp_directory_path() / fmt::format("hsk-store-{}-{}", ::getpid(), count++);
    fs::create_directories(home_);
  }
  ~WalStoreTest() override { fs::remove_all(home_); }

  void create(Lsn start) {
    WalStore::create(folder(), {.id = id_,
                                .system_identifier = 42,
                                .start = start,
                                .term = 0,
                                .flushed = start,
                                .oldest = start});
  }
  fs::path folder() const { return home_ / "t"; }
  std::unique_ptr<WalStore> open(std::function<void(std::string_view)> hook = {}) {
    return std::make_unique<WalStore>(
        WalStore::Options{.folder = folder(), .want_space = {}, .hook = std::move(hook)});
  }
  // What is stored from `lsn` to the end of its segment.
  std::string stored(Lsn lsn) const {
    std::string content = read_file(SegmentFiles(folder()).path(lsn));
    return content.substr(lsn.value % kWalSegmentSize);
  }
  void overwrite(Lsn lsn, std::string_view bytes) const {
    UniqueFd fd = SegmentFiles(folder()).open(lsn, O_RDWR);
    pwrite_all(fd.get(), as_bytes(bytes), lsn.value % kWalSegmentSize);
  }
  static bool all_zero(std::string_view text) {
    return text.find_first_not_of('\0') == std::string_view::npos;
  }

  const TimelineId id_ = TimelineId::random();
  fs::path home_;
};

// A log with records of many sizes that crosses into a second segment.
WalBuilder make_log(Lsn start, uint64_t seed, size_t until) {
  WalBuilder builder(start);
  std::mt19937_64 random(seed);
  while (builder.wal().size() < until) {
    uint64_t kind = random() % 10;
    size_t payload = kind < 6 ? random() % 200 : kind < 9 ? random() % 9000 : random() % 40000;
    builder.add(payload);
  }
  return builder;
}

TEST_F(WalStoreTest, WhatIsFlushedIsReadBackAndNothingElseIsSeen) {
  Lsn start(3 * kWalSegmentSize + 8192 * 5 + 1000);
  WalBuilder log = make_log(start, 1, 300'000);
  create(start);
  auto store = open();
  store->append(as_bytes(log.wal()));
  EXPECT_EQ(store->flushed(), start);
  EXPECT_EQ(store->end(), log.end());
  EXPECT_EQ(store->flush(), log.end());
  EXPECT_EQ(store->flushed(), log.end());
  EXPECT_EQ(store->read(start, log.end()), log.wal());
}

TEST_F(WalStoreTest, NothingIsFlushedBeforeTheSyncHasReturned) {
  std::atomic<bool> in_sync = false;
  std::atomic<bool> let_go = false;
  Lsn start(kWalSegmentSize + 40);
  create(start);
  auto store = open([&](std::string_view step) {
    if (step != "sync") return;
    in_sync = true;
    while (!let_go) std::this_thread::sleep_for(milliseconds(1));
  });
  WalBuilder log = make_log(start, 1, 1000);
  store->append(as_bytes(log.wal()));
  std::thread flusher([&] { store->flush(); });
  while (!in_sync) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(store->flushed(), start);
  EXPECT_THROW(store->wait_flushed(log.end(), Deadline::after(milliseconds(20))), Error);
  let_go = true;
  store->wait_flushed(log.end(), Deadline::after(std::chrono::seconds(10)));
  flusher.join();
  EXPECT_EQ(store->flushed(), log.end());
}

TEST_F(WalStoreTest, ANewTermCutsAtTheLastCompleteRecordAtAnyPoint) {
  std::mt19937_64 random(7);
  Lsn start(2 * kWalSegmentSize - 60'000);  // So that it crosses into the next segment.
  WalBuilder log = make_log(start, 7, 120'000);
  for (int round = 0; round < 60; ++round) {
    fs::remove_all(folder());
    create(start);
    auto store = open();
    Lsn cut = start + random() % (log.wal().size() + 1);
    store->append(log.between(start, cut));
    store->flush();
    std::optional<RecordPlace> expected = log.last_complete(cut);
    std::optional<RecordPlace> last = store->begin_term(1);
    Lsn end = expected ? expected->end : start;
    ASSERT_EQ(last.has_value(), expected.has_value()) << cut.str();
    if (last) EXPECT_EQ(last->start, expected->start);
    EXPECT_EQ(store->flushed(), end);
    EXPECT_EQ(store->end(), end);
    EXPECT_EQ(store->term(), 1u);
    EXPECT_TRUE(all_zero(stored(end))) << cut.str();
    if (cut > end && segment_of(cut) != segment_of(end)) EXPECT_TRUE(all_zero(stored(cut)));
    // Opened again it is the same, and takes the rest of the log.
    store.reset();
    store = open();
    EXPECT_EQ(store->flushed(), end);
    store->append(log.between(end, log.end()));
    store->flush();
    EXPECT_EQ(store->read(start, log.end()), log.wal());
  }
}

TEST_F(WalStoreTest, OpeningFindsEveryCompleteRecordAndZeroesATornTail) {
  std::mt19937_64 random(11);
  Lsn start(5 * kWalSegmentSize + 40);
  WalBuilder log = make_log(start, 11, 100'000);
  for (int round = 0; round < 40; ++round) {
    fs::remove_all(folder());
    create(start);
    Lsn cut = start + random() % log.wal().size();
    open()->append(log.between(start, cut));  // Written, never flushed: as after a crash.
    std::string garbage(1 + random() % 5000, '\0');
    for (char& c : garbage) c = static_cast<char>(random());
    overwrite(cut, garbage);
    auto store = open();
    std::optional<RecordPlace> expected = log.last_complete(cut);
    EXPECT_EQ(store->flushed(), expected ? expected->end : start);
    EXPECT_TRUE(all_zero(stored(store->flushed())));
    EXPECT_EQ(store->read(start, store->flushed()), log.wal().substr(0, store->flushed() - start));
  }
}

TEST_F(WalStoreTest, OpeningEndsTheLogBeforeARecordWithABadChecksum) {
  Lsn start(5 * kWalSegmentSize + 40);
  WalBuilder log = make_log(start, 3, 50'000);
  create(start);
  open()->append(as_bytes(log.wal()));
  const RecordPlace& bad = log.records()[log.records().size() / 2];
  overwrite(bad.start + 16, "\xFF");
  EXPECT_EQ(open()->flushed(), log.last_complete(bad.start)->end);
}

// Damages one byte of what `store` has acknowledged and expects that nothing is lost by it: writing
// is refused with the file and offset, reading goes on up to the damaged record.
void expect_refused(WalStore& store, const WalBuilder& log, const RecordPlace& bad) {
  const std::string place =
      fmt::format("is damaged at offset {}", bad.start.value % kWalSegmentSize);
  try {
    store.begin_term(7);
    ADD_FAILURE() << "a term began on a damaged log";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::corrupt);
    EXPECT_NE(std::string(error.what()).find(place), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find(wal_segment_name(bad.start, kWalSegmentSize)),
              std::string::npos);
    EXPECT_EQ(std::string(error.what()).find('/' + wal_segment_name(bad.start, kWalSegmentSize)),
              std::string::npos)
        << "clients see it, and the server's folders are not theirs to know";
  }
  EXPECT_NE(store.damage(), "");
  EXPECT_EQ(store.flushed(), bad.start);
  const Lsn begin = log.records().front().start;
  EXPECT_EQ(store.read(begin, bad.start), log.wal().substr(0, bad.start - begin));
  EXPECT_THROW(store.wait_flushed(bad.end, Deadline::never()), Error);
  store.trim(log.end());
  store.prepare_ahead();
}

TEST_F(WalStoreTest, DamageInAcknowledgedWalIsSaidAndNeverCut) {
  Lsn start(5 * kWalSegmentSize + 40);
  WalBuilder log = make_log(start, 3, 50'000);
  const RecordPlace& bad = log.records().back();
  create(start);
  auto store = open();
  store->append(as_bytes(log.wal()));
  store->flush();
  overwrite(bad.start + 16, "\xFF");
  const std::string before = stored(start);
  expect_refused(*store, log, bad);
  EXPECT_THROW(store->append(as_bytes("more")), Error);
  store.reset();
  expect_refused(*open(), log, bad);
  // The same is found when it is opened with what was flushed on record.
  fs::remove_all(folder());
  create(start);
  store = open();
  store->append(as_bytes(log.wal()));
  store->flush();
  store->save_flushed();
  store.reset();
  overwrite(bad.start + 16, "\xFF");
  for (int again = 0; again < 2; ++again) {
    store = open();
    expect_refused(*store, log, bad);
    EXPECT_EQ(stored(start).substr(0, log.wal().size()), before.substr(0, log.wal().size()));
  }
  EXPECT_EQ(store->term(), 0u);
  // Mended from elsewhere, it is whole.
  store.reset();
  overwrite(bad.start, log.wal().substr(bad.start - start, 24));
  EXPECT_EQ(open()->begin_term(8)->end, log.end());
}

TEST_F(WalStoreTest, ZerosAndMissingFilesBelowWhatWasFlushedAreDamage) {
  Lsn start(2 * kWalSegmentSize - 50'000);
  WalBuilder log = make_log(start, 3, 120'000);
  for (bool missing : {false, true}) {
    fs::remove_all(folder());
    create(start);
    auto store = open();
    store->append(as_bytes(log.wal()));
    store->flush();
    store->save_flushed();
    store.reset();
    if (missing)
      fs::remove(SegmentFiles(folder()).path(log.end()));
    else
      overwrite(Lsn(page_start(log.end())),
                std::string(log.end() - Lsn(page_start(log.end())), '\0'));
    store = open();
    EXPECT_THROW(store->begin_term(1), Error) << missing;
    EXPECT_LT(store->flushed(), log.end());
    EXPECT_GT(store->flushed(), start);
  }
}

// What a crash tears is at most what was not flushed, so WAL far behind a bad record shows that the
// record had been acknowledged, although no record says so.
TEST_F(WalStoreTest, DamageFarBeforeTheEndIsNoTornTail) {
  Lsn start(2 * kWalSegmentSize + 40);
  WalBuilder log = make_log(start, 9, 4 << 20);
  create(start);
  {
    auto store = open();
    for (Lsn at = start; at < log.end(); at = std::min(log.end(), at + 100'000)) {
      store->append(log.between(at, std::min(log.end(), at + 100'000)));
      store->flush();
    }
  }
  const RecordPlace& bad = log.records()[3];
  overwrite(bad.start + 16, "\xFF");
  expect_refused(*open(), log, bad);
}

TEST_F(WalStoreTest, NoMoreIsWrittenThanACrashMayTear) {
  Lsn start(2 * kWalSegmentSize + 40);
  WalBuilder log = make_log(start, 9, 6 << 20);
  create(start);
  auto store = open();
  for (Lsn at = start; at < log.end(); at = std::min(log.end(), at + 100'000)) {
    store->append(log.between(at, std::min(log.end(), at + 100'000)));
    EXPECT_LE(store->end() - store->flushed(), 2u << 20);
  }
}

TEST_F(WalStoreTest, AFirstRecordThatIsNotCompleteYetIsNoDamage) {
  Lsn start(2 * kWalSegmentSize - 1000);
  WalBuilder log(start);
  log.add(20'000);
  Lsn part(2 * kWalSegmentSize + 500);
  create(start);
  auto store = open();
  store->append(log.between(start, part));
  store->flush();
  store.reset();
  store = open();
  EXPECT_EQ(store->flushed(), part);
  EXPECT_FALSE(store->begin_term(1).has_value());
  EXPECT_EQ(store->end(), start);
}

TEST_F(WalStoreTest, WhatWasAcknowledgedInANewSegmentIsNeverForgotten) {
  Lsn start(2 * kWalSegmentSize - 1000);
  WalBuilder log(start);
  log.add(100);
  RecordPlace big = log.add(20'000);
  Lsn part(2 * kWalSegmentSize + 500);
  ASSERT_LT(big.start, Lsn(2 * kWalSegmentSize));
  ASSERT_LT(part, big.end);
  create(start);
  {
    auto store = open();
    store->append(log.between(start, part));
    store->flush();
  }
  // Postgres may have dropped the segment in which the unfinished record begins.
  auto store = open();
  EXPECT_EQ(store->flushed(), part);
  store->append(log.between(part, log.end()));
  store->flush();
  EXPECT_EQ(open()->flushed(), log.end());
}

TEST_F(WalStoreTest, ASwitchIsCompleteOnlyWithItsSegment) {
  Lsn start(2 * kWalSegmentSize - 50'000);
  WalBuilder log(start);
  RecordPlace first = log.add(100);
  RecordPlace change = log.add_switch();
  RecordPlace next = log.add(50);
  create(start);
  auto store = open();
  store->append(log.between(start, change.start + 500));
  store->flush();
  EXPECT_EQ(store->begin_term(1)->end, first.end);
  store->append(log.between(first.end, change.end));
  store->flush();
  EXPECT_EQ(store->begin_term(2)->end, change.end);
  EXPECT_EQ(change.end.value % kWalSegmentSize, 0u);
  store->append(log.between(change.end, log.end()));
  store->flush();
  EXPECT_EQ(store->begin_term(3)->start, next.start);
}

TEST_F(WalStoreTest, UnflushedWalOfAnOldTermIsGoneForGood) {
  Lsn start(2 * kWalSegmentSize + 40);
  WalBuilder log = make_log(start, 5, 20'000);
  create(start);
  {
    auto store = open();
    store->append(log.between(start, log.records()[3].end));
    store->flush();
    store->append(log.between(log.records()[3].end, log.end()));
    store->discard_unflushed();
    EXPECT_EQ(store->begin_term(9)->end, log.records()[3].end);
  }
  auto store = open();
  EXPECT_EQ(store->flushed(), log.records()[3].end);
  EXPECT_EQ(store->term(), 9u);
}

TEST_F(WalStoreTest, TrimKeepsWhatReadersAndTheNextTermNeed) {
  Lsn start(2 * kWalSegmentSize + 40);
  WalBuilder log = make_log(start, 5, 5 * kWalSegmentSize);
  create(start);
  auto store = open();
  store->append(as_bytes(log.wal()));
  store->flush();
  {
    WalStore::Reader reader(*store, start + kWalSegmentSize);
    store->trim(log.end());
    EXPECT_EQ(store->oldest(), Lsn(3 * kWalSegmentSize));
  }
  EXPECT_THROW(WalStore::Reader(*store, start), Error);
  store->trim(Lsn(4 * kWalSegmentSize + 1));
  EXPECT_EQ(store->oldest(), Lsn(4 * kWalSegmentSize));
  store->trim(log.end() + 100 * kWalSegmentSize);
  EXPECT_EQ(store->oldest(), segment_of(log.records().back().start));
  EXPECT_EQ(SegmentFiles(folder()).list().front(), store->oldest());
  store.reset();
  store = open();
  EXPECT_EQ(store->flushed(), log.end());
  EXPECT_EQ(store->begin_term(1)->start, log.records().back().start);
}

TEST_F(WalStoreTest, AReaderFollowsTheLogAndIsEndedByACutBelowIt) {
  Lsn start(2 * kWalSegmentSize + 40);
  WalBuilder log = make_log(start, 5, 100'000);
  create(start);
  auto store = open();
  Lsn part = log.records()[5].start + 8;
  std::string got;
  std::thread reading([&] {
    WalStore::Reader reader(*store, start);
    std::vector<std::byte> buffer(5000);
    while (reader.position() < part) {
      reader.clear_event();
      reader.wake_at(reader.position() + 1);
      struct timespec nap{.tv_sec = 0, .tv_nsec = 100'000};
      nanosleep(&nap, nullptr);
      got += as_text(Bytes(buffer.data(), reader.read(buffer)));
    }
  });
  for (Lsn at = start; at < part;) {
    Lsn next = std::min(part, at + 700);
    store->append(log.between(at, next));
    store->flush();
    at = next;
  }
  reading.join();
  EXPECT_EQ(got, log.wal().substr(0, part - start));

  WalStore::Reader ahead(*store, part);
  WalStore::Reader behind(*store, log.records()[4].end);
  store->begin_term(1);
  EXPECT_THROW(ahead.available(), Error);
  EXPECT_EQ(behind.available(), 0u);
}

// The bytes may be of the new log, or zeros on their way to being so.
TEST_F(WalStoreTest, AReadThatACutOvertakesGivesNothing) {
  Lsn start(2 * kWalSegmentSize + 40);
  WalBuilder log = make_log(start, 5, 100'000);
  create(start);
  WalStore* to_cut = nullptr;
  auto store = open([&](std::string_view step) {
    if (step == "read" && to_cut) std::exchange(to_cut, nullptr)->begin_term(1);
  });
  store->append(log.between(start, log.records()[5].start + 8));
  store->flush();
  WalStore::Reader reader(*store, start);
  std::vector<std::byte> buffer(100'000);
  to_cut = store.get();
  EXPECT_THROW(reader.read(buffer), Error);
  EXPECT_EQ(store->flushed(), log.records()[4].end);
  EXPECT_THROW(reader.available(), Error);
}

TEST_F(WalStoreTest, WithoutRoomNothingIsLostAndItGoesOnWhenThereIs) {
  bool full = false;
  Lsn start(2 * kWalSegmentSize + 40);
  WalBuilder log = make_log(start, 5, 2'000'000);
  create(start);
  auto store = open([&](std::string_view step) {
    if (full && step == "allocate") throw Error(Errc::io, "No space left on device");
  });
  Lsn part = start + 100'000;
  store->append(log.between(start, part));
  store->flush();
  full = true;
  EXPECT_THROW(store->append(log.between(part, log.end())), Error);
  EXPECT_EQ(store->flush(), part);
  full = false;
  store->append(log.between(part, log.end()));
  EXPECT_EQ(store->flush(), log.end());
  EXPECT_EQ(store->read(start, log.end()), log.wal());
}

TEST_F(WalStoreTest, AllocatingAheadNeverTouchesWhatIsWritten) {
  Lsn start(2 * kWalSegmentSize + 40);
  WalBuilder log = make_log(start, 5, 3 * kWalSegmentSize);
  create(start);
  auto store = open();
  std::atomic<bool> done = false;
  std::thread ahead([&] {
    while (!done) store->prepare_ahead();
  });
  for (Lsn at = start; at < log.end();) {
    Lsn next = std::min(log.end(), at + 100'000);
    store->append(log.between(at, next));
    if (next.value % 7 == 0) store->flush();
    at = next;
  }
  store->flush();
  done = true;
  ahead.join();
  EXPECT_EQ(store->read(start, log.end()), log.wal());
}

TEST_F(WalStoreTest, AHalfWrittenStateLeavesTheOneBefore) {
  Lsn start(2 * kWalSegmentSize + 40);
  create(start);
  open()->begin_term(1);  // Sequence 2, in the first slot.
  open()->begin_term(2);
  UniqueFd fd = open_file(folder() / "state", O_RDWR);
  pwrite_all(fd.get(), as_bytes("torn"), 4096 + 20);
  EXPECT_EQ(open()->term(), 1u);
  pwrite_all(fd.get(), as_bytes("torn"), 20);
  EXPECT_THROW(open(), Error);
}

// The first record of the segment that is kept begins behind what the state had on record.
TEST_F(WalStoreTest, AfterATrimTheNextOpeningFindsTheEndOfTheLog) {
  const Lsn segment(3 * kWalSegmentSize);
  WalBuilder log(segment - 1000);
  log.add(20'000);  // Over the end of its segment, and flushed when it is half there.
  log.add(100);
  create(segment - 1000);
  {
    auto store = open();
    store->append(log.between(segment - 1000, segment + 9000));
    store->flush();
    store->append(log.between(segment + 9000, log.end()));
    store->flush();
    store->trim(log.end());
    EXPECT_EQ(store->oldest(), segment);
  }
  auto store = open();
  EXPECT_EQ(store->damage(), "");
  EXPECT_EQ(store->flushed(), log.end());
}

}  // namespace
}  // namespace halogen::safekeeper
