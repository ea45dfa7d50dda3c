// Power is lost at any step of a safekeeper's timeline: what was acknowledged is there, and nothing
// that was not written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>

#include "base/error.h"
#include "safekeeper/test_wal.h"
#include "safekeeper/wal_store.h"
#include "sim/test_disk.h"

namespace halogen::safekeeper {
namespace {

constexpr size_t kMostTerms = 64;
constexpr uint64_t kSteps = 150;
constexpr uint64_t kLives = 5;

// What the process that dies has done, in memory that outlives it.
struct Told {
  size_t terms = 0;        // Asked for, each with another log behind where it begins.
  Lsn begins[kMostTerms];  // Where they begin.
  size_t begun = 0;        // How many of them are begun for sure.
  uint64_t term = 0;       // The number of the newest.
  uint64_t begun_term = 0;
  Lsn acknowledged;  // In the newest log.
  Lsn trimmed;
};

std::string_view as_text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class SafekeeperPowerLossTest : public testing::Test {
 protected:
  fs::path folder() const { return disk_.root() / "timeline"; }

  // The whole story on a fresh disk; returns what went wrong. Power fails again and again, also
  // while a start mends what the last time has left.
  std::string run(uint64_t seed) {
    seed_ = seed;
    // The log goes on into another segment soon, or in the middle of all this.
    start_ = Lsn(3 * kWalSegmentSize - 8 - seed % 80 * 8000);
    *told_ = {.acknowledged = start_, .trimmed = start_};
    logs_ = {WalBuilder(start_)};
    return disk_.live_through(
        kLives, kSteps, [this](uint64_t life) { live(life); }, [this] { return verify(); });
  }

  void live(uint64_t life) {
    std::mt19937_64 random(seed_ + life);
    fsync_folder(disk_.root());  // As a Safekeeper begins.
    if (!fs::exists(folder())) {
      WalStore::create(folder(), {.id = TimelineId::random(),
                                  .system_identifier = 42,
                                  .start = start_,
                                  .term = 0,
                                  .flushed = start_,
                                  .oldest = start_});
    }
    WalStore store({.folder = folder()});
    settle(store);
    // A start tells others what it has found.
    told_->acknowledged = whole(store.flushed());
    told_->begun = told_->terms;
    told_->begun_term = store.term();
    for (int term = 0; term < 3 && told_->terms < kMostTerms; ++term) {
      begin_term(store);
      write(store, random);
    }
  }

  void begin_term(WalStore& store) {
    told_->acknowledged = whole(store.flushed());
    told_->begins[told_->terms++] = told_->acknowledged;
    catch_up();
    store.begin_term(++told_->term);
    told_->begun = told_->terms;
    told_->begun_term = told_->term;
  }

  void write(WalStore& store, std::mt19937_64& random) {
    const WalBuilder& log = logs_.back();
    while (store.end() < log.end()) {
      const Lsn to = std::min(log.end(), store.end() + 1 + random() % 60'000);
      store.append(log.between(store.end(), to));
      const uint64_t then = random() % 10;
      if (then > 3) continue;
      told_->acknowledged = whole(store.flush());
      if (then == 0) store.save_flushed();
      if (then == 1) store.prepare_ahead();
      if (then == 2) {
        told_->trimmed = to;
        store.trim(to);
      }
    }
  }

  // A commit is a whole record; the part of one that is behind it may go.
  Lsn whole(Lsn flushed) const {
    std::optional<RecordPlace> last = logs_.back().last_complete(flushed);
    return last ? last->end : start_;
  }

  // Makes the logs that the other process has made: another one for each term.
  void catch_up() {
    while (logs_.size() <= told_->terms) {
      WalBuilder log = logs_.back();
      log.cut(told_->begins[logs_.size() - 1]);
      std::mt19937_64 random(seed_ + logs_.size());
      for (const size_t end = log.wal().size() + 200'000; log.wal().size() < end;)
        log.add(random() % (random() % 8 == 0 ? 40'000 : 600));
      logs_.push_back(std::move(log));
    }
  }

  std::string verify() {
    if (!fs::exists(folder())) return told_->begun == 0 ? "" : "the timeline is lost";
    WalStore store({.folder = folder()});
    if (!store.damage().empty()) return store.damage();
    if (store.flushed() < told_->acknowledged)
      return fmt::format("the log ends at {}; {} was acknowledged", store.flushed().str(),
                         told_->acknowledged.str());
    if (store.term() > told_->term || store.term() < told_->begun_term)
      return fmt::format("term {}, not {}", store.term(), told_->term);
    if (store.oldest() > std::max(told_->trimmed, start_)) return "too much is trimmed";
    settle(store);
    if (!is(store, logs_.back())) return "the log is another one";
    if (SegmentFiles(folder()).has_data(store.flushed())) return "old bytes are behind the end";
    told_->acknowledged = whole(store.flushed());
    return "";
  }
  // A term that nobody was told of may have come to nothing.
  void settle(const WalStore& store) {
    catch_up();
    if (told_->begun == told_->terms || is(store, logs_.back())) return;
    logs_.pop_back();
    --told_->terms;
  }
  bool is(const WalStore& store, const WalBuilder& log) const {
    const Lsn from = std::max(store.oldest(), start_);
    return store.flushed() <= log.end() &&
           store.read(from, store.flushed()) == as_text(log.between(from, store.flushed()));
  }

  sim::TestDisk disk_;
  uint64_t seed_ = 0;
  Lsn start_;
  std::deque<WalBuilder> logs_;  // The log as it was before the first term, in it, in the next...
  sim::Testament<Told> told_;
};

TEST_F(SafekeeperPowerLossTest, NothingAcknowledgedIsLostAtAnyStep) {
  EXPECT_EQ(disk_.first_problem(10, [this](uint64_t seed) { return run(seed); }), "");
}

// What the test above is worth.
TEST_F(SafekeeperPowerLossTest, AForgottenSyncIsFound) {
  for (const char* path : {"timeline/0*", "timeline/state", "timeline"}) {
    disk_.forget_syncs_of(path);
    EXPECT_NE(disk_.first_problem_from(1, 200, [this](uint64_t seed) { return run(seed); }), "")
        << path;
  }
}

}  // namespace
}  // namespace halogen::safekeeper
