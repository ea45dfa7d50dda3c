// A store forgets what set_retain lets go, and nothing else: against a model that keeps everything.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <map>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <thread>

#include "pageserver/layers/page_existence.h"
#include "pageserver/layers/test_support.h"

namespace halogen::pageserver {
namespace {

constexpr uint32_t kRelations = 4;
constexpr uint32_t kBlocks = 12;

// What a chain of versions stands for: changes are appended to what they change.
std::string page_of(const Chain& chain) {
  std::string page;
  for (const Value& value : chain) {
    if (value.kind == ValueKind::tombstone) page = "gone";
    if (is_base(value.kind) && value.kind != ValueKind::tombstone) page.clear();
    page += value.bytes;
  }
  return page;
}

struct Branch {
  std::string name;
  std::shared_ptr<TimelineStore> store;
  Branch* parent = nullptr;
  uint64_t start = 10;
  uint64_t end = 10;
  RetainSet retain;
  std::map<Key, Chain> versions;
  std::map<uint32_t, uint32_t> sizes;  // Of relations, at the end.

  Chain read(const Key& key, uint64_t lsn) const {
    Chain chain;
    if (auto found = versions.find(key); found != versions.end())
      for (const Value& value : found->second) {
        if (value.lsn.value > lsn) break;
        if (is_base(value.kind)) chain.clear();
        chain.push_back(value);
      }
    if (!chain.empty() && is_base(chain.front().kind)) return chain;
    if (!parent) return chain;
    Chain below = parent->read(key, std::min(lsn, start));
    below.insert(below.end(), chain.begin(), chain.end());
    return below;
  }
  bool readable(uint64_t lsn) const {
    if (parent && lsn <= start) return parent->readable(lsn);
    return retain.readable(Lsn(lsn));
  }
};

// Lets writes to this process's files fail for some milliseconds at a time, beyond a random length,
// as a disk does that is full.
class FailingWrites {
 public:
  explicit FailingWrites(uint32_t seed) : random_(seed) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    failed = 0;
    before_handler_ = std::signal(SIGXFSZ, [](int) { failed++; });
    thread_ = std::thread([this] { run(); });
  }
  ~FailingWrites() {
    stopping_ = true;
    thread_.join();
    std::signal(SIGXFSZ, before_handler_);
  }
  FailingWrites(const FailingWrites&) = delete;
  FailingWrites& operator=(const FailingWrites&) = delete;
  // While it is held, nothing fails.
  std::unique_lock<std::mutex> calm() { return std::unique_lock(mutex_); }

  static std::atomic<int> failed;

 private:
  void run() {
    while (!stopping_) {
      {
        std::lock_guard lock(mutex_);
        set_limit(random_() % 6000);
        ::usleep(random_() % 6000);
        set_limit(before_.rlim_cur);
      }
      ::usleep(random_() % 10000);
    }
  }
  void set_limit(rlim_t most) {
    const rlimit limit{.rlim_cur = most, .rlim_max = before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }

  std::mt19937 random_;
  rlimit before_{};
  void (*before_handler_)(int) = nullptr;
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;
  std::thread thread_;
};
std::atomic<int> FailingWrites::failed = 0;

// Reads again and again, beside all else, what was read once: it is the same, or refused.
class Rereader {
 public:
  struct Fact {
    const Branch* branch;
    Key key;
    uint64_t lsn;
    std::string page;
  };

  // `stores` is held while a branch's store is used here.
  Rereader(uint32_t seed, std::shared_mutex& stores) : random_(seed), stores_(stores) {
    thread_ = std::thread([this] {
      while (!stopping_) reread();
    });
  }
  ~Rereader() { stop(); }
  Rereader(const Rereader&) = delete;
  Rereader& operator=(const Rereader&) = delete;

  void add(Fact fact) {
    std::lock_guard lock(mutex_);
    facts_.push_back(std::move(fact));
  }
  void stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
  }
  // After stop().
  const std::string& problem() const { return problem_; }
  int same() const { return same_; }

 private:
  void reread() {
    std::optional<Fact> fact;
    {
      std::lock_guard lock(mutex_);
      if (!facts_.empty()) fact = facts_[random_() % facts_.size()];
    }
    if (!fact) return void(::usleep(1000));
    std::shared_lock lock(stores_);
    try {
      if (page_of(fact->branch->store->collect(fact->key, Lsn(fact->lsn))) == fact->page)
        same_++;
      else if (problem_.empty())
        problem_ = fmt::format("{} at {} is another page", fact->branch->name, fact->lsn);
    } catch (const Error& error) {
      if (error.code() != Errc::gone && problem_.empty()) problem_ = error.what();
    }
  }

  std::mt19937 random_;
  std::shared_mutex& stores_;
  std::mutex mutex_;
  std::vector<Fact> facts_;
  std::string problem_;
  std::atomic<int> same_ = 0;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

class HistoryTest : public ::testing::TestWithParam<int> {
 protected:
  HistoryTest() {
    options_.layer_cache = std::make_shared<LayerCache>(4 << 20);
    options_.freeze_bytes = 30000;
    options_.file_bytes = 6000;
    options_.merging.merge_files = 3;
    options_.image_after_deltas = 6;
    options_.reconstruct = [](TenantId, const PageKey&, const Chain& chain) {
      return page_of(chain);
    };
  }

  uint32_t below(uint32_t n) { return random_() % n; }

  Branch& add_branch(Branch* parent) {
    auto branch = std::make_unique<Branch>();
    branch->name = fmt::format("b{}", branches_.size());
    branch->parent = parent;
    Manifest manifest;
    manifest.timeline = TimelineId::random();
    if (parent) {
      const uint64_t oldest = std::max<uint64_t>(parent->retain.horizon.value, parent->start);
      branch->start = branch->end = oldest + random_() % (parent->end - oldest + 1);
      manifest.ancestor = TimelineId::random();
      manifest.ancestor_lsn = Lsn(branch->start);
      for (uint32_t rel = 0; rel < kRelations; rel++)
        branch->sizes[rel] = size_at(*parent, rel, branch->start);
    }
    manifest.start_lsn = manifest.disk_consistent_lsn = Lsn(branch->start);
    TimelineStore::create(folder_ / branch->name, manifest);
    branch->store = open(*branch);
    branches_.push_back(std::move(branch));
    return *branches_.back();
  }
  std::shared_ptr<TimelineStore> open(const Branch& branch) {
    return std::make_shared<TimelineStore>(std::make_shared<const TimelineStore::Options>(options_),
                                           folder_ / branch.name,
                                           branch.parent ? branch.parent->store : nullptr);
  }
  static uint32_t size_at(const Branch& branch, uint32_t rel, uint64_t lsn) {
    const Chain chain = branch.read(size_key(rel), lsn);
    return chain.empty() || chain.back().bytes.empty() ? 0
                                                       : Reader(chain.back().bytes).get<uint32_t>();
  }

  void write(Branch& branch) {
    const uint64_t lsn = ++branch.end;
    std::deque<std::string> owned;
    std::vector<Put> puts;
    auto put = [&](const Key& key, ValueKind kind, std::string bytes) {
      puts.push_back({key, kind, as_bytes(owned.emplace_back(bytes))});
      branch.versions[key].push_back({Lsn(lsn), kind, std::move(bytes)});
    };
    auto put_size = [&](uint32_t rel, uint32_t size) {
      put(size_key(rel), ValueKind::image, {reinterpret_cast<char*>(&size), sizeof size});
      branch.sizes[rel] = size;
    };
    const uint32_t rel = below(kRelations);
    uint32_t& size = branch.sizes[rel];
    const uint32_t what = below(100);
    if (what < 2 && size > 0) {
      put(size_key(rel), ValueKind::tombstone, "");
      size = 0;
    } else if (what < 4 && size > 1) {
      put_size(rel, size / 2);
    } else if (what < 25 && size < kBlocks) {
      put(page_key(rel, size), what < 10 ? ValueKind::zero : ValueKind::record_init,
          what < 10 ? "" : fmt::format("i{};", lsn));
      put_size(rel, size + 1);
    } else if (size > 0) {
      const bool image = what > 97;
      const std::string text =
          fmt::format("{}{}{};", image ? "image" : "r", lsn, std::string(below(60), 'x'));
      put(page_key(rel, below(size)), image ? ValueKind::image : ValueKind::record, text);
    }
    branch.store->put(Lsn(lsn), puts);
    branch.store->advance(Lsn(lsn));
  }

  void forget(Branch& branch) {
    const uint64_t horizon = branch.retain.horizon.value;
    const uint64_t end = branch.store->disk_consistent_lsn().value;
    branch.retain.horizon = Lsn(horizon + random_() % (end - std::min(end, horizon) + 1));
    std::vector<Lsn> before = std::exchange(branch.retain.points, {});
    for (const auto& child : branches_)
      if (child->parent == &branch) branch.retain.points.push_back(Lsn(child->start));
    for (Lsn point : before)  // Somebody still reads there, or not.
      if (below(2) == 0) branch.retain.points.push_back(point);
    if (below(3) == 0) branch.retain.points.push_back(Lsn(branch.end));
    std::sort(branch.retain.points.begin(), branch.retain.points.end());
    branch.store->set_retain(branch.retain);
  }

  void restart() {
    for (auto& branch : branches_) branch->store->flush(soon());
    std::unique_lock lock(stores_);
    for (auto branch = branches_.rbegin(); branch != branches_.rend(); ++branch)
      (*branch)->store.reset();
    for (auto& branch : branches_) {
      branch->store = open(*branch);
      branch->store->set_retain(branch->retain);  // What was only said is said again.
    }
  }

  void check(const Branch& branch) {
    for (int i = 0; i < 6; i++) {
      const uint64_t lsn = 5 + random_() % (branch.end - 4);
      const uint32_t rel = below(kRelations);
      const uint32_t block = below(kBlocks);
      const bool ok = branch.readable(lsn);
      ASSERT_EQ(branch.store->readable(Lsn(lsn)), ok) << branch.name << " at " << lsn;
      if (!ok) {
        const uint64_t own = std::max(branch.start + 1, lsn);
        if (!branch.retain.readable(Lsn(own)))
          EXPECT_EQ(thrown_by([&] { branch.store->collect(page_key(rel, block), Lsn(own)); }),
                    Errc::gone);
        continue;
      }
      const Chain size = branch.store->collect(size_key(rel), Lsn(lsn));
      const uint32_t pages =
          size.empty() || size.back().bytes.empty() ? 0 : Reader(size.back().bytes).get<uint32_t>();
      ASSERT_EQ(pages, size_at(branch, rel, lsn))
          << branch.name << " size of " << rel << " at " << lsn;
      if (block >= pages) continue;
      const std::string page = page_of(branch.read(page_key(rel, block), lsn));
      ASSERT_EQ(page_of(branch.store->collect(page_key(rel, block), Lsn(lsn))), page)
          << branch.name << " page " << rel << "/" << block << " at " << lsn;
      if (rereader_) rereader_->add({&branch, page_key(rel, block), lsn, page});
    }
  }

  // One thing of those that happen to stores.
  void act() {
    Branch& branch = *branches_[below(static_cast<uint32_t>(branches_.size()))];
    const uint32_t what = below(200);
    const auto calm = failing_ && what <= 12 ? failing_->calm() : std::unique_lock<std::mutex>();
    if (what == 0)
      restart();
    else if (what < 4)
      forget(branch);
    else if (what < 12)
      branch.store->flush(soon());
    else if (what == 12 && branches_.size() < 5)
      add_branch(&branch);
    else
      write(branch);
    if (what < 40) check(branch);
  }

  static bool settled(const TimelineStore& store) { return !store.merging(); }

  TempFolder folder_;
  TimelineStore::Options options_;
  std::mt19937 random_{static_cast<uint32_t>(GetParam())};
  std::vector<std::unique_ptr<Branch>> branches_;
  std::shared_mutex stores_;  // Held alone while stores are closed and opened.
  std::unique_ptr<Rereader> rereader_;
  std::unique_ptr<FailingWrites> failing_;
};

TEST_P(HistoryTest, WhatCanBeReadIsAsItWasAndTheRestIsRefused) {
  add_branch(nullptr);
  for (int step = 0; step < 2500 && !HasFatalFailure(); step++) act();
}

INSTANTIATE_TEST_SUITE_P(Seeds, HistoryTest, ::testing::Range(1, 9));

class FailingHistoryTest : public HistoryTest {};

TEST_P(FailingHistoryTest, WhileWritesFailAndOthersReadWhatIsRetainedStaysAsItWas) {
  options_.freeze_bytes = 10000;
  options_.first_retry = options_.last_retry = std::chrono::milliseconds(1);
  options_.max_frozen = 20;
  const auto seed = static_cast<uint32_t>(GetParam());
  add_branch(nullptr);
  rereader_ = std::make_unique<Rereader>(seed, stores_);
  failing_ = std::make_unique<FailingWrites>(seed);
  auto has_seen_enough = [&] { return FailingWrites::failed > 2 && rereader_->same() > 200; };
  for (int step = 0; step < 2000 || (!has_seen_enough() && step < 100'000); step++) {
    act();
    if (HasFatalFailure()) break;
  }
  failing_.reset();
  rereader_->stop();
  EXPECT_EQ(rereader_->problem(), "") << "seed " << seed;
  EXPECT_GT(rereader_->same(), 200);
  EXPECT_GT(FailingWrites::failed, 2);
  restart();
  for (const auto& branch : branches_) check(*branch);
}

// HALOGEN_HISTORY_SEEDS: how many.
int seeds_to_run() {
  const char* wanted = std::getenv("HALOGEN_HISTORY_SEEDS");
  return wanted != nullptr ? std::atoi(wanted) : 3;
}
INSTANTIATE_TEST_SUITE_P(Seeds, FailingHistoryTest, ::testing::Range(1, 1 + seeds_to_run()));

class BoundedHistoryTest : public HistoryTest {};

// However much was written: when all is past the horizon, what is left is what there is.
TEST_P(BoundedHistoryTest, SpaceIsBoundedByWhatIsThere) {
  Branch& branch = add_branch(nullptr);
  for (int i = 0; i < 4000; i++) {
    write(branch);
    if (i % 50 == 49) branch.store->flush(soon());
    if (i % 400 == 399) {
      branch.retain = {Lsn(branch.end), {}};
      branch.store->set_retain(branch.retain);
    }
  }
  for (uint32_t rel = 0; rel < kRelations;
       rel++) {  // All are dropped: their pages and names go, too.
    Put drop{size_key(rel), ValueKind::tombstone, {}};
    branch.store->put(Lsn(++branch.end), {&drop, 1});
    branch.store->advance(Lsn(branch.end));
  }
  branch.store->flush(soon());
  branch.store->set_retain({Lsn(branch.end), {}});
  for (int i = 0; i < 1000 && !settled(*branch.store); i++) ::usleep(10000);
  EXPECT_TRUE(branch.store->manifest().layers.empty()) << branch.store->sizes().own;
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "b0/layers"), {}), 0);
}
INSTANTIATE_TEST_SUITE_P(Seeds, BoundedHistoryTest, ::testing::Values(1));

}  // namespace
}  // namespace halogen::pageserver
