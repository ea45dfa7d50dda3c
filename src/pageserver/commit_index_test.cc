#include "pageserver/commit_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "pageserver/ingest/change.h"
#include "pageserver/layers/test_support.h"
#include "pageserver/layers/timeline_store.h"

namespace halogen::pageserver {
namespace {

constexpr int64_t kSecond = 1'000'000;

struct Commit {
  uint64_t lsn;
  int64_t time;
};

// A timeline with the commits that it must have, its ancestors' included.
struct Model {
  std::string name;
  std::shared_ptr<TimelineStore> store;
  std::shared_ptr<Model> ancestor;
  std::vector<Commit> commits;
  uint64_t end = 0;

  const Commit* at(uint64_t lsn) const {
    auto after = std::find_if(commits.begin(), commits.end(),
                              [&](const Commit& commit) { return commit.lsn > lsn; });
    return after == commits.begin() ? nullptr : &*std::prev(after);
  }
  // As recovery to a time: it stops before the first commit that is later.
  const Commit* by(int64_t time) const {
    auto later = std::find_if(commits.begin(), commits.end(),
                              [&](const Commit& commit) { return commit.time > time; });
    return later == commits.begin() ? nullptr : &*std::prev(later);
  }
};

class CommitIndexTest : public ::testing::Test {
 protected:
  CommitIndexTest() {
    options_.layer_cache = std::make_shared<LayerCache>(1 << 20);
    options_.merging.merge_files = 3;
  }

  std::shared_ptr<Model> create(std::shared_ptr<Model> ancestor, uint64_t lsn) {
    auto made = std::make_shared<Model>();
    made->name = fmt::format("t{}", ++timelines_);
    made->end = lsn;
    Manifest manifest;
    manifest.timeline = TimelineId::random();
    manifest.start_lsn = manifest.disk_consistent_lsn = Lsn(lsn);
    if (ancestor) {
      manifest.ancestor = TimelineId::random();
      manifest.ancestor_lsn = Lsn(lsn);
      for (const Commit& commit : ancestor->commits)
        if (commit.lsn <= lsn) made->commits.push_back(commit);
    }
    made->ancestor = std::move(ancestor);
    TimelineStore::create(folder_ / made->name, manifest);
    open(*made);
    return made;
  }
  void open(Model& model) {
    model.store.reset();
    model.store = std::make_shared<TimelineStore>(
        std::make_shared<const TimelineStore::Options>(options_), folder_ / model.name,
        model.ancestor ? model.ancestor->store : nullptr);
  }
  // A commit by way of ingest's own Change, and one change of something else.
  void commit(Model& model, uint64_t lsn, int64_t time) {
    Head head = Head::load(*model.store, model.store->last_record_lsn());
    Change change(head, kMajor15);
    change.begin(Lsn(lsn));
    change.committed_at(time);
    model.store->put(Lsn(lsn), change.finish());
    model.store->advance(Lsn(lsn));
    model.commits.push_back({lsn, *head.last_commit_time});
    model.end = lsn;
  }
  static void expect_equal(const std::optional<CommitEntry>& found, const Commit* expected,
                           const std::string& what) {
    ASSERT_EQ(found.has_value(), expected != nullptr) << what;
    if (!expected) return;
    EXPECT_EQ(found->lsn, Lsn(expected->lsn)) << what;
    EXPECT_EQ(found->time, expected->time) << what;
  }
  static void check(const Model& model, std::mt19937_64& chance, int64_t now) {
    for (int i = 0; i < 40; ++i) {
      const uint64_t lsn = 90 + chance() % (model.end - 80);
      expect_equal(last_commit(*model.store, Lsn(lsn)), model.at(lsn),
                   fmt::format("{} at {}", model.name, lsn));
      const int64_t time = static_cast<int64_t>(chance() % static_cast<uint64_t>(now + kSecond));
      expect_equal(last_commit_by(*model.store, time, Lsn(model.end)), model.by(time),
                   fmt::format("{} at time {}", model.name, time));
    }
  }

  TempFolder folder_;
  TimelineStore::Options options_;
  int timelines_ = 0;
};

TEST_F(CommitIndexTest, FindsWhatAListOfCommitsSaysAfterFlushesMergesBranchesAndRestarts) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937_64 chance(seed);
  std::vector<std::shared_ptr<Model>> all = {create(nullptr, 100)};
  int64_t now = kSecond;
  for (int step = 0; step < 600; ++step) {
    Model& model = *all[chance() % all.size()];
    switch (chance() % 20) {
      case 0:
        model.store->flush(soon());
        break;
      case 1:
        if (all.size() < 6) {
          std::shared_ptr<Model> parent = all[chance() % all.size()];
          uint64_t lsn = 100 + chance() % (parent->end - 99);
          // As Pageserver does it: below the branch point history is the ancestor's.
          while (parent->ancestor && Lsn(lsn) < parent->store->ancestor_lsn())
            parent = parent->ancestor;
          all.push_back(create(parent, lsn));
        }
        break;
      case 2:  // Branches after their ancestors, which are older.
        for (auto& each : all) each->store->flush(soon());
        for (auto& each : all) each->store.reset();
        for (auto& each : all) open(*each);
        break;
      default:
        now += static_cast<int64_t>(chance() % (3 * kSecond));
        // Some are in the wrong order, by less than the time between most.
        commit(model, model.end + 8 + chance() % 500,
               now - static_cast<int64_t>(chance() % (2 * kSecond)));
    }
    if (step % 50 == 0)
      for (auto& each : all) check(*each, chance, now);
  }
  for (auto& each : all) check(*each, chance, now);
}

TEST_F(CommitIndexTest, AClockThatWasSetBackIsTakenAsItIs) {
  auto model = create(nullptr, 100);
  commit(*model, 2 << 20, 3600 * kSecond);
  commit(*model, 3 << 20, 10 * kSecond);
  commit(*model, 4 << 20, 20 * kSecond);
  const Lsn end(4 << 20);
  EXPECT_EQ(last_commit(*model->store, end)->time, 20 * kSecond);
  EXPECT_EQ(last_commit_by(*model->store, 15 * kSecond, end)->lsn, Lsn(3 << 20));
}

}  // namespace
}  // namespace halogen::pageserver
