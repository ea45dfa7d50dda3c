#include "pageserver/layers/retain.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "pageserver/layers/test_support.h"

namespace halogen::pageserver {
namespace {

// What a read at `lsn` needs, found by looking at each version there ever was.
Chain read(const Chain& versions, Lsn lsn) {
  Chain chain;
  for (const Value& version : versions) {
    if (version.lsn > lsn) break;
    if (is_base(version.kind)) chain.clear();
    chain.push_back(version);
  }
  return chain;
}

Chain random_versions(std::mt19937& random) {
  Chain versions;
  uint64_t lsn = 1 + random() % 5;
  for (size_t count = random() % 30; versions.size() < count; lsn += random() % 3)
    versions.push_back(
        {Lsn(lsn), static_cast<ValueKind>(random() % 6), std::to_string(versions.size())});
  return versions;
}

RetainSet random_retain(std::mt19937& random) {
  RetainSet retain{Lsn(random() % 40), {}};
  for (size_t count = random() % 4; retain.points.size() < count;)
    retain.points.push_back(Lsn(random() % 50));
  std::sort(retain.points.begin(), retain.points.end());
  return retain;
}

TEST(Keep, EveryReadThatIsRetainedIsUnchangedAndNothingElseStays) {
  size_t forgotten = 0;
  for (uint32_t seed = 1; seed <= 5000; seed++) {
    std::mt19937 random(seed);
    const Chain versions = random_versions(random);
    const RetainSet retain = random_retain(random);
    const Chain kept = keep(page_key(1, 1), versions, retain);
    std::set<std::string> needed;  // By the versions' bytes, which no two share.
    for (uint64_t lsn = 0; lsn <= 100; lsn++) {
      const Chain wanted = read(versions, Lsn(lsn));
      if (!retain.readable(Lsn(lsn))) continue;
      ASSERT_EQ(describe(read(kept, Lsn(lsn))), describe(wanted))
          << "seed " << seed << " at " << lsn;
      for (const Value& value : wanted) needed.insert(value.bytes);
    }
    // What is hidden by another version at the same LSN above the horizon is not looked for.
    for (const Value& value : kept)
      if (value.lsn <= retain.horizon) ASSERT_TRUE(needed.contains(value.bytes)) << "seed " << seed;
    forgotten += versions.size() - kept.size();
  }
  EXPECT_GT(forgotten, 10000u);
}

TEST(Keep, MergesInAnyPartsAndAnyOrderOfHorizonsComeToTheSameReads) {
  for (uint32_t seed = 1; seed <= 2000; seed++) {
    std::mt19937 random(seed);
    const Chain versions = random_versions(random);
    RetainSet retain = random_retain(random);
    // A newer part by itself, as runs are merged before they meet the base.
    const size_t cut = versions.empty() ? 0 : random() % versions.size();
    Chain newer = keep(page_key(1, 1), Chain(versions.begin() + cut, versions.end()), retain);
    Chain all(versions.begin(), versions.begin() + cut);
    all.insert(all.end(), newer.begin(), newer.end());
    retain.horizon = Lsn(retain.horizon.value + random() % 5);
    all = keep(page_key(1, 1), all, retain);
    for (uint64_t lsn = 0; lsn <= 100; lsn++) {
      if (!retain.readable(Lsn(lsn))) continue;
      ASSERT_EQ(describe(read(all, Lsn(lsn))), describe(read(versions, Lsn(lsn))))
          << "seed " << seed;
    }
  }
}

TEST(Keep, AnImageTakesTheChainsPlaceAtItsNewestLsn) {
  const Chain versions{{Lsn(10), ValueKind::image, "a"},
                       {Lsn(20), ValueKind::record, "b"},
                       {Lsn(30), ValueKind::record, "c"},
                       {Lsn(40), ValueKind::record, "d"}};
  Keeper::Rules rules;
  rules.shorten = [](const Key&, Lsn, const Chain& chain) -> std::optional<std::string> {
    if (chain.size() < 2) return std::nullopt;
    std::string page;
    for (const Value& value : chain) page += value.bytes;
    return page;
  };
  EXPECT_EQ(describe(keep(page_key(1, 1), versions, {Lsn(35), {Lsn(25)}}, rules)),
            "20:0:ab 30:0:abc 40:4:d");
}

TEST(Keep, WhatIsNotThereAtTheHorizonGoesUnlessAChangeNeedsIt) {
  const Chain versions{{Lsn(10), ValueKind::image, "a"}, {Lsn(20), ValueKind::record, "b"}};
  Keeper::Rules rules;
  rules.exists = [](const Key&, Lsn lsn) { return lsn < Lsn(15); };
  EXPECT_EQ(describe(keep(page_key(1, 1), versions, {Lsn(30), {}}, rules)), "");
  EXPECT_EQ(describe(keep(page_key(1, 1), versions, {Lsn(30), {Lsn(12)}}, rules)), "10:0:a");
  Chain more = versions;
  more.push_back({Lsn(40), ValueKind::record, "c"});
  EXPECT_EQ(describe(keep(page_key(1, 1), more, {Lsn(30), {}}, rules)), "10:0:a 20:4:b 40:4:c");
}

TEST(Keep, ATombstoneGoesOnlyWhereNothingOlderStays) {
  const Chain versions{{Lsn(10), ValueKind::image, "a"}, {Lsn(20), ValueKind::tombstone, ""}};
  Keeper::Rules rules;
  rules.forget_tombstone = [](const Key&, Lsn) { return true; };
  EXPECT_EQ(describe(keep(size_key(1), versions, {Lsn(30), {}}, rules)), "");
  EXPECT_EQ(describe(keep(size_key(1), versions, {Lsn(30), {Lsn(12)}}, rules)), "10:0:a 20:2:");
  EXPECT_EQ(describe(keep(size_key(1), versions, {Lsn(30), {}})), "20:2:");
}

}  // namespace
}  // namespace halogen::pageserver
