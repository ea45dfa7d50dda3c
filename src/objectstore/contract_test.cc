// What every object store promises. One suite: with HALOGEN_TEST_S3=http://host:port/bucket and
// credentials in the environment it runs against that, too (tests/objectstore starts one).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "base/error.h"
#include "base/ids.h"
#include "objectstore/local_store.h"
#include "objectstore/retrying_store.h"
#include "objectstore/s3_store.h"

namespace halogen::objectstore {
namespace {

using ::testing::ElementsAre;

Errc code_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  return Errc::internal;
}

std::string random_text(size_t size) {
  std::string text(size, '\0');
  random_bytes(text.data(), size);
  return text;
}

// What a test has: an empty store.
class Place {
 public:
  virtual ~Place() = default;
  virtual std::shared_ptr<ObjectStore> open() = 0;
};

class LocalPlace : public Place {
 public:
  LocalPlace() : folder_(fs::temp_directory_path() / ("objects-" + random_name(8))) {}
  ~LocalPlace() override { fs::remove_all(folder_); }
  std::shared_ptr<ObjectStore> open() override { return std::make_shared<LocalStore>(folder_); }

 private:
  const fs::path folder_;
};

class S3Place : public Place {
 public:
  std::shared_ptr<ObjectStore> open() override {
    const std::string at = std::getenv("HALOGEN_TEST_S3");
    const size_t slash = at.rfind('/');
    const std::string prefix = "test-" + random_name(8);
    return std::make_shared<RetryingStore>(
        std::make_shared<S3Store>(S3Store::Options{.endpoint = at.substr(0, slash),
                                                   .bucket = at.substr(slash + 1),
                                                   .prefix = prefix,
                                                   .credentials = find_credentials({})}),
        RetryingStore::Options{.attempts = 12, .first_pause = std::chrono::milliseconds(5)});
  }
};

class StoreContract : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (GetParam() == "s3" && std::getenv("HALOGEN_TEST_S3") == nullptr)
      GTEST_SKIP() << "no S3 service: HALOGEN_TEST_S3";
    if (GetParam() == "s3")
      place_ = std::make_unique<S3Place>();
    else
      place_ = std::make_unique<LocalPlace>();
    store_ = place_->open();
  }

  std::unique_ptr<Place> place_;
  std::shared_ptr<ObjectStore> store_;
};

TEST_P(StoreContract, WhatWasPutIsThereWhole) {
  const std::string large = random_text(3 << 20);
  store_->put("a/b/large", Content::of(large));
  store_->put("a/empty", Content::of(""));
  EXPECT_EQ(store_->get("a/b/large"), large);
  EXPECT_EQ(store_->get("a/empty"), "");
}

TEST_P(StoreContract, AFileIsPutAsItIs) {
  const fs::path path = fs::temp_directory_path() / random_name(8);
  const std::string text = random_text(700'000);
  write_file(path, text);
  store_->put("file", Content::of_file(path));
  fs::remove(path);
  EXPECT_EQ(store_->get("file"), text);
}

TEST_P(StoreContract, APutReplacesWhatIsThere) {
  store_->put("key", Content::of("old and longer"));
  store_->put("key", Content::of("new"));
  EXPECT_EQ(store_->get("key"), "new");
}

TEST_P(StoreContract, ARangeIsAsMuchOfItAsThereIs) {
  store_->put("key", Content::of("0123456789"));
  EXPECT_EQ(store_->get("key", {2, 3}), "234");
  EXPECT_EQ(store_->get("key", {8, 100}), "89");
  EXPECT_EQ(store_->get("key", {10, 5}), "");
  EXPECT_EQ(store_->get("key", {1, 0}), "");
}

TEST_P(StoreContract, WhatIsNotThereIsNotFound) {
  EXPECT_EQ(code_of([&] { store_->get("nothing"); }), Errc::not_found);
  store_->put("folder/key", Content::of("x"));
  EXPECT_EQ(code_of([&] { store_->get("folder/key/below"); }), Errc::not_found);
}

TEST_P(StoreContract, WhatWasRemovedIsGoneAndCanBeRemovedAgain) {
  store_->put("key", Content::of("x"));
  store_->remove("key");
  store_->remove("key");
  store_->remove("never/there");
  EXPECT_EQ(code_of([&] { store_->get("key"); }), Errc::not_found);
  EXPECT_TRUE(store_->list("").empty());
}

TEST_P(StoreContract, AListHasAllOfAPrefixInOrder) {
  for (const char* key : {"b/2", "a/1", "b/10", "b-x", "c"})
    store_->put(key, Content::of(std::string(key)));
  EXPECT_THAT(store_->list("b/"), ElementsAre(ObjectInfo{"b/10", 4}, ObjectInfo{"b/2", 3}));
  EXPECT_THAT(store_->list("b/1"), ElementsAre(ObjectInfo{"b/10", 4}));
  EXPECT_EQ(store_->list("").size(), 5u);
  EXPECT_TRUE(store_->list("nothing/").empty());
}

TEST_P(StoreContract, AListGoesOnBeyondOnePage) {
  constexpr int kMany = 1003;  // S3 tells a thousand at a time.
  for (int i = 0; i < kMany; i++) store_->put(fmt::format("many/{:04}", i), Content::of("x"));
  const auto listed = store_->list("many/");
  ASSERT_EQ(listed.size(), static_cast<size_t>(kMany));
  for (int i = 0; i < kMany; i++) EXPECT_EQ(listed[i].key, fmt::format("many/{:04}", i));
}

TEST_P(StoreContract, PutIfAbsentKeepsWhatIsThere) {
  EXPECT_TRUE(store_->put_if_absent("key", Content::of("first")));
  EXPECT_FALSE(store_->put_if_absent("key", Content::of("second")));
  EXPECT_EQ(store_->get("key"), "first");
}

TEST_P(StoreContract, KeysThatLeaveTheStoreAreRefused) {
  for (const char* key : {"", "/a", "a/", "a//b", "../a", "a/../b", ".hidden", "a b", "a\n"}) {
    EXPECT_EQ(code_of([&] { store_->put(key, Content::of("x")); }), Errc::invalid_argument) << key;
    EXPECT_EQ(code_of([&] { store_->get(key); }), Errc::invalid_argument) << key;
    EXPECT_EQ(code_of([&] { store_->remove(key); }), Errc::invalid_argument) << key;
  }
}

TEST_P(StoreContract, ManyThreadsPutAndGetAtOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 6; t++)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; i++) {
        const std::string key = fmt::format("t{}/{}", t, i);
        const std::string text = random_text(20'000);
        store_->put(key, Content::of(text));
        if (store_->get(key) != text) wrong++;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

INSTANTIATE_TEST_SUITE_P(Stores, StoreContract, ::testing::Values("local", "s3"),
                         [](const auto& info) { return info.param; });

TEST(LocalStore, IsAwayWhereWhatItIsMountedOnIsNotThere) {
  LocalStore store("/nowhere/at/all");
  EXPECT_EQ(code_of([&] { store.put("key", Content::of("x")); }), Errc::unavailable);
  EXPECT_EQ(code_of([&] { store.list(""); }), Errc::unavailable);
}

TEST(LocalStore, WhoOnlyLooksMakesNothing) {
  const fs::path folder = fs::temp_directory_path() / ("objects-" + random_name(8));
  LocalStore store(folder);
  EXPECT_TRUE(store.list("").empty());
  EXPECT_EQ(code_of([&] { store.get("key", {}); }), Errc::not_found);
  EXPECT_FALSE(fs::exists(folder));
}

TEST(LocalStore, OfSeveralWhoPutIfAbsentOneWins) {
  LocalPlace place;
  auto store = place.open();
  std::vector<std::thread> threads;
  std::atomic<int> made = 0;
  for (int t = 0; t < 8; t++)
    threads.emplace_back([&, t] {
      if (store->put_if_absent("key", Content::of(std::to_string(t)))) made++;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(made, 1);
}

TEST(LocalStore, WhatAKilledPutHasLeftIsNotListed) {
  const fs::path folder = fs::temp_directory_path() / ("objects-" + random_name(8));
  LocalStore store(folder);
  store.put("a/key", Content::of("x"));
  write_file(folder / "a" / ".abcdef", "half");
  EXPECT_EQ(store.list("").size(), 1u);
  fs::remove_all(folder);
}

// Answers as its script says, then as a store that works.
class ScriptedStore : public ObjectStore {
 public:
  std::vector<std::optional<Errc>> failures;  // nullopt: it works.
  std::string there;
  bool acknowledges = true;

  void put(const std::string&, const Content& content) override { store(content); }
  bool put_if_absent(const std::string&, const Content& content) override {
    if (!there.empty()) return next(), false;
    store(content);
    return true;
  }
  std::string get(const std::string&, Range) override { return next(), there; }
  std::vector<ObjectInfo> list(const std::string&) override {
    return next(), std::vector<ObjectInfo>();
  }
  void remove(const std::string&) override { next(); }
  std::string name() const override { return "scripted"; }

 private:
  void store(const Content& content) {
    if (!acknowledges) there = std::string(content.size(), 'x');
    next();
    there = std::string(content.size(), 'x');
  }
  void next() {
    if (failures.empty()) return;
    const auto failure = failures.front();
    failures.erase(failures.begin());
    if (failure) throw Error(*failure, "scripted");
  }
};

const RetryingStore::Options kQuick{.attempts = 3, .first_pause = std::chrono::milliseconds(1)};

TEST(RetryingStore, TriesAgainWhatMayWorkLaterAndNothingElse) {
  auto scripted = std::make_shared<ScriptedStore>();
  RetryingStore store(scripted, kQuick);
  scripted->failures = {Errc::unavailable, Errc::unavailable};
  store.put("key", Content::of("x"));
  EXPECT_EQ(scripted->there, "x");
  scripted->failures = {Errc::permission_denied};
  EXPECT_EQ(code_of([&] { store.get("key", {}); }), Errc::permission_denied);
  EXPECT_TRUE(scripted->failures.empty());
  scripted->failures = {Errc::unavailable, Errc::unavailable, Errc::unavailable};
  EXPECT_EQ(code_of([&] { store.remove("key"); }), Errc::unavailable);
}

TEST(RetryingStore, ALostAcknowledgementOfPutIfAbsentIsNoLoss) {
  auto scripted = std::make_shared<ScriptedStore>();
  RetryingStore store(scripted, kQuick);
  scripted->acknowledges = false;
  scripted->failures = {Errc::unavailable};
  EXPECT_TRUE(store.put_if_absent("key", Content::of("x")));
  EXPECT_FALSE(store.put_if_absent("key", Content::of("x")));
}

}  // namespace
}  // namespace halogen::objectstore
