// What is promised of a compute that writes its WAL in place, played by this test.
#include "safekeeper/wal_tail.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "base/error.h"
#include "safekeeper/test_wal.h"
#include "safekeeper/timeline.h"

namespace halogen::safekeeper {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Deadline soon() { return Deadline::after(seconds(20)); }

// Writes WAL as Postgres under the shim does.
class Writer {
 public:
  Writer(fs::path folder, InPlaceAccess access)
      : folder_(std::move(folder)), access_(std::move(access)) {
    void* map =
        ::mmap(nullptr, kInPlaceWalSize, PROT_READ | PROT_WRITE, MAP_SHARED, access_.page.get(), 0);
    CHECK(map != MAP_FAILED);
    page_ = static_cast<InPlaceWal*>(map);
  }
  ~Writer() { ::munmap(page_, kInPlaceWalSize); }

  InPlaceWal& page() { return *page_; }
  int page_fd() const { return access_.page.get(); }
  fs::path segment(Lsn lsn) const { return folder_ / wal_segment_name(lsn, kWalSegmentSize); }

  void want(Lsn lsn) {
    page_->wanted = lsn.value;
    tell();
  }
  void wait_for_room(Lsn lsn) {
    want(lsn);
    for (auto until = soon(); page_->room < lsn.value && !until.passed();)
      std::this_thread::sleep_for(milliseconds(1));
    ASSERT_GE(page_->room, lsn.value);
  }
  void write(Lsn at, Bytes wal) {
    wait_for_room(at + wal.size());
    ++page_->begun;
    while (!wal.empty()) {
      const uint64_t offset = at.value % kWalSegmentSize;
      const size_t size = std::min<uint64_t>(wal.size(), kWalSegmentSize - offset);
      pwrite_all(open_file(segment(at), O_WRONLY).get(), wal.first(size), offset);
      at = at + size;
      wal = wal.subspan(size);
    }
    page_->written = at.value;
  }
  void say_synced() {
    page_->synced = page_->begun.load();
    tell();
  }

 private:
  void tell() {
    const uint64_t one = 1;
    if (page_->asleep.exchange(0) != 0)
      ASSERT_EQ(::write(access_.news.get(), &one, sizeof one), ssize_t{sizeof one});
  }

  const fs::path folder_;
  InPlaceAccess access_;
  InPlaceWal* page_ = nullptr;
};

class WalTailTest : public testing::Test {
 protected:
  WalTailTest() {
    static int count = 0;
    home_ = fs::temp_directory_path() / fmt::format("hsk-tail-{}-{}", ::getpid(), count++);
    fs::create_directories(home_ / "pg_wal");
    WalStore::create(home_ / "t", {.id = TimelineId::random(),
                                   .system_identifier = 42,
                                   .start = start_,
                                   .term = 0,
                                   .flushed = start_,
                                   .oldest = start_});
    open();
  }
  ~WalTailTest() override {
    writer_.reset();
    timeline_.reset();
    fs::remove_all(home_);
  }
  void open() {
    timeline_.reset();
    timeline_ = std::make_unique<Timeline>(
        WalStore::Options{.folder = home_ / "t", .hook = [this](std::string_view step) {
                            if (step == "sync") ++syncs_;
                          }});
  }
  Writer& write_in_place(uint64_t term) {
    writer_ = std::make_unique<Writer>(
        home_ / "pg_wal",
        timeline_->write_in_place(term, open_file(home_ / "pg_wal", O_RDONLY | O_DIRECTORY)));
    return *writer_;
  }
  Writer& begin(uint64_t term) {
    end_ = timeline_->begin_term(term).end;
    return write_in_place(term);
  }
  // A number of records that follow the log, written and called synced.
  void commit(Writer& writer, size_t records, size_t payload = 100) {
    for (size_t i = 0; i < records; ++i) log_.add(payload);
    writer.write(end_, log_.between(end_, log_.end()));
    writer.say_synced();
    end_ = log_.end();
  }
  WalStore& store() { return timeline_->store(); }
  std::string stored(Lsn lsn) const {
    return read_file(SegmentFiles(home_ / "t").path(lsn)).substr(lsn.value % kWalSegmentSize);
  }

  const Lsn start_{4 * kWalSegmentSize - 3 * kWalPageSize};
  fs::path home_;
  WalBuilder log_{start_};
  Lsn end_;
  std::atomic<int> syncs_ = 0;
  std::unique_ptr<Timeline> timeline_;
  std::unique_ptr<Writer> writer_;
};

TEST_F(WalTailTest, WhatTheComputeHasSyncedIsTakenWithoutASyncOfOurs) {
  Writer& writer = begin(1);
  for (int round = 0; round < 20; ++round) {
    commit(writer, 50);  // Into the next segment.
    store().wait_flushed(end_, soon());
  }
  EXPECT_GT(segment_of(end_), segment_of(start_));
  EXPECT_EQ(store().flushed(), end_);
  EXPECT_EQ(store().read(start_, end_), log_.wal());
  EXPECT_EQ(syncs_, 0);
}

TEST_F(WalTailTest, WhatIsNotKnownToBeSyncedIsSyncedBeforeItIsTaken) {
  Writer& writer = begin(1);
  log_.add(100);
  writer.write(end_, log_.between(end_, log_.end()));
  writer.page().synced = 1;  // A sync that began before the write.
  writer.want(end_ + 1);     // Wakes nobody if there is room.
  EXPECT_EQ(store().flushed(), start_);
  EXPECT_EQ(timeline_->catch_up(), log_.end());
  EXPECT_GT(syncs_, 0);
}

TEST_F(WalTailTest, HalfARecordIsNotTaken) {
  Writer& writer = begin(1);
  const Lsn first = log_.add(100).end;
  log_.add(5000);
  writer.write(end_, log_.between(end_, log_.end() - 64));
  writer.say_synced();
  EXPECT_EQ(timeline_->catch_up(), first);
  writer.write(log_.end() - 64, log_.between(log_.end() - 64, log_.end()));
  writer.say_synced();
  store().wait_flushed(log_.end(), soon());
}

TEST_F(WalTailTest, RoomIsDurableZerosUnderTheComputesNames) {
  Writer& writer = begin(1);
  const Lsn far = start_ + 2 * kWalSegmentSize;
  writer.wait_for_room(far);
  for (Lsn at = segment_of(start_); at < far; at = at + kWalSegmentSize) {
    struct stat ours{}, theirs{};
    ASSERT_EQ(::stat(SegmentFiles(home_ / "t").path(at).c_str(), &ours), 0);
    ASSERT_EQ(::stat(writer.segment(at).c_str(), &theirs), 0);
    EXPECT_EQ(ours.st_ino, theirs.st_ino);
    EXPECT_EQ(theirs.st_size, off_t{kWalSegmentSize});
  }
  EXPECT_GE(fs::file_size(writer.segment(far - 1)), kWalSegmentSize);
}

TEST_F(WalTailTest, TheEndOfTheComputeTakesAllThatIsCompleteAndZeroesTheRest) {
  Writer& writer = begin(1);
  const Lsn whole = log_.add(100).end;
  log_.add(5000);
  writer.write(end_, log_.between(end_, log_.end() - 64));  // Nothing of it was called synced.
  UniqueFd straggler = open_file(writer.segment(end_), O_RDWR);
  timeline_->stop_pull(1);
  EXPECT_EQ(store().flushed(), whole);
  EXPECT_EQ(stored(whole).find_first_not_of('\0'), std::string::npos);
  // The name in pg_wal is still there, so the straggler's file is no longer the log's.
  pwrite_all(straggler.get(), as_bytes("late"), whole.value % kWalSegmentSize);
  EXPECT_EQ(stored(whole).find_first_not_of('\0'), std::string::npos);
  open();
  EXPECT_EQ(store().flushed(), whole);
  EXPECT_EQ(timeline_->begin_term(2).end, whole);
}

TEST_F(WalTailTest, ANewTermEndsTheOneThatWrites) {
  Writer& old = begin(1);
  commit(old, 10);
  UniqueFd straggler = open_file(old.segment(end_), O_RDWR);
  EXPECT_EQ(timeline_->begin_term(2).end, end_);  // Asked to or not, all has come.
  pwrite_all(straggler.get(), as_bytes("late"), end_.value % kWalSegmentSize);
  EXPECT_THROW(timeline_->write_in_place(1, open_file(home_, O_RDONLY)), Error);
  Writer& writer = write_in_place(2);
  commit(writer, 10);
  store().wait_flushed(end_, soon());
  EXPECT_EQ(store().read(start_, end_), log_.wal());
}

TEST_F(WalTailTest, AfterAKillANewTermHasAFileOfItsOwn) {
  Writer& writer = begin(1);
  commit(writer, 10);
  store().wait_flushed(end_, soon());
  UniqueFd straggler = open_file(writer.segment(end_), O_RDWR);
  // As if this process were killed: the store alone is opened by the next.
  fs::path kept = home_ / "kept";
  fs::create_directories(kept);
  for (const auto& entry : fs::directory_iterator(home_ / "t"))
    fs::create_hard_link(entry.path(), kept / entry.path().filename());
  timeline_.reset();
  open();
  EXPECT_EQ(timeline_->begin_term(2).end, end_);
  struct stat held{}, now{};
  ASSERT_EQ(::fstat(straggler.get(), &held), 0);
  ASSERT_EQ(::stat(SegmentFiles(home_ / "t").path(end_).c_str(), &now), 0);
  EXPECT_NE(held.st_ino, now.st_ino);
}

TEST_F(WalTailTest, LiesHarmNobodyElse) {
  Writer& writer = begin(1);
  commit(writer, 10);
  store().wait_flushed(end_, soon());
  InPlaceWal& page = writer.page();
  for (uint64_t lie : {~uint64_t{0}, uint64_t{0}, uint64_t{1} << 63}) {
    page.begun = page.synced = page.written = lie;
    page.wanted = lie >> 60 ? 0 : lie;
    page.asleep = 1;
    EXPECT_EQ(timeline_->catch_up(), end_);
  }
  // What is no WAL is not taken, whatever is said of it.
  const std::string noise(50'000, 'x');
  pwrite_all(open_file(writer.segment(end_), O_WRONLY).get(), as_bytes(noise).first(1000),
             end_.value % kWalSegmentSize);
  page.written = (end_ + noise.size()).value;
  writer.say_synced();
  EXPECT_EQ(timeline_->catch_up(), end_);
  // Nobody can take the page away from under us, or the segments.
  EXPECT_NE(::ftruncate(writer.page_fd(), 0), 0);
  ASSERT_EQ(::truncate(writer.segment(end_).c_str(), 0), 0);
  writer.say_synced();
  EXPECT_EQ(timeline_->catch_up(), end_);
  timeline_->stop();
}

TEST_F(WalTailTest, AFileOfTheComputesOwnInPlaceOfASegmentIsReplaced) {
  Writer& writer = begin(1);
  const Lsn next = segment_of(start_) + 3 * kWalSegmentSize;
  ASSERT_EQ(::symlink("/etc/passwd", writer.segment(next).c_str()), 0);
  writer.wait_for_room(next + 1);
  EXPECT_FALSE(fs::is_symlink(writer.segment(next)));
  EXPECT_EQ(fs::hard_link_count(writer.segment(next)), 2u);
}

TEST_F(WalTailTest, AFullDiskMakesTheWriterWaitAndIsSaid) {
  std::atomic<bool> full = false;
  std::atomic<int> refused = 0;
  timeline_.reset();
  timeline_ = std::make_unique<Timeline>(
      WalStore::Options{.folder = home_ / "t", .hook = [&](std::string_view step) {
                          if (step != "allocate" || !full) return;
                          ++refused;
                          throw Error(Errc::io, "no space");
                        }});
  Writer& writer = begin(1);
  full = true;
  while (refused == 0) {  // Room is asked for before it is used up.
    commit(writer, 50);
    store().wait_flushed(end_, soon());
  }
  EXPECT_EQ(timeline_->status().problem, "") << "nobody waits yet";
  const Lsn far(writer.page().room + 1);
  writer.want(far);
  for (auto until = soon(); timeline_->status().problem.empty() && !until.passed();)
    std::this_thread::sleep_for(milliseconds(1));
  EXPECT_NE(timeline_->status().problem.find("no space"), std::string::npos);
  EXPECT_LT(writer.page().room, far.value);
  full = false;
  writer.wait_for_room(far);
  timeline_->stop();
}

}  // namespace
}  // namespace halogen::safekeeper
