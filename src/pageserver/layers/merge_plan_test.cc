#include "pageserver/layers/merge_plan.h"

#include <gtest/gtest.h>

#include "pageserver/layers/test_support.h"

namespace halogen::pageserver {
namespace {

constexpr uint64_t kMiB = 1 << 20;

struct Spec {
  uint64_t id;
  uint8_t level;
  uint64_t mib;
  uint64_t min_lsn, max_lsn;  // In MiB of WAL.
  uint32_t first = 1, last = 9;
  uint64_t superseded_mib = 0;
};

// The newest first.
Runs runs_with(const std::vector<Spec>& specs) {
  Runs runs;
  for (const Spec& spec : specs) {
    LayerDesc desc;
    desc.id = desc.run = spec.id;
    desc.level = spec.level;
    desc.first = page_key(spec.first, 0);
    desc.last = page_key(spec.last, 0);
    desc.min_lsn = Lsn(spec.min_lsn * kMiB);
    desc.max_lsn = Lsn(spec.max_lsn * kMiB);
    desc.bytes = spec.mib * kMiB;
    desc.superseded = spec.superseded_mib * kMiB;
    runs.push_back(std::make_shared<Run>(Run{spec.id, spec.level, {{desc, nullptr}}}));
  }
  return runs;
}

std::string plan(const std::vector<Spec>& specs, uint64_t horizon_mib, uint64_t forgotten_mib = 0,
                 std::vector<Lsn> merged_points = {}) {
  const RetainSet retain{Lsn(horizon_mib * kMiB), {}};
  const auto chosen = choose_merge(runs_with(specs), retain, {Lsn(0), std::move(merged_points)},
                                   forgotten_mib * kMiB, {.merge_files = 3});
  if (!chosen) return "";
  std::string text = chosen->rewrite ? "rewrite" : "";
  for (uint64_t input : chosen->inputs) text += fmt::format("{} ", input);
  return text + fmt::format("-> {} at {}", chosen->output, chosen->level);
}

TEST(MergePlan, EnoughRunsOfALevelBecomeOneOfTheNext) {
  EXPECT_EQ(plan({{9, 0, 64, 80, 90}, {8, 0, 64, 70, 80}}, 0), "");
  EXPECT_EQ(
      plan({{9, 0, 64, 80, 90}, {8, 0, 64, 70, 80}, {7, 0, 64, 60, 70}, {1, 1, 500, 0, 60}}, 0),
      "9 8 7 -> 0 at 1");
  EXPECT_EQ(plan({{9, 1, 6000, 80, 90}, {8, 1, 6000, 70, 80}, {7, 1, 6000, 60, 70}}, 0), "")
      << "they are too large together";
}

TEST(MergePlan, AMergeThatWasCutShortGoesOnWhereItEnded) {
  const std::vector<Spec> half = {{9, 0, 64, 80, 90, 5, 9},
                                  {8, 0, 64, 70, 80, 5, 9},
                                  {7, 0, 64, 60, 70, 5, 9},
                                  {4, 1, 100, 60, 90, 1, 4}};
  EXPECT_EQ(plan(half, 0), "9 8 7 -> 4 at 1");
}

TEST(MergePlan, WhatTheHorizonHasPassedGoesIntoTheBaseOnceItIsAQuarterOfIt) {
  const std::vector<Spec> runs = {
      {9, 0, 64, 80, 90}, {8, 1, 100, 50, 80}, {1, kBaseLevel, 1000, 0, 50}};
  EXPECT_EQ(plan(runs, 50), "") << "the horizon is before both";
  EXPECT_EQ(plan(runs, 80), "") << "100 of 1000";
  EXPECT_EQ(plan(runs, 80, 200), "8 -> 1 at 255") << "a large relation was dropped";
  EXPECT_EQ(plan({{9, 0, 64, 80, 90}, {8, 1, 300, 50, 80}, {1, kBaseLevel, 1000, 0, 50}}, 80),
            "8 -> 1 at 255");
  EXPECT_EQ(plan({{9, 0, 64, 80, 90}, {8, 0, 64, 50, 80}}, 90), "9 8 -> 0 at 255")
      << "there is no base yet";
  EXPECT_EQ(plan({{9, 0, 64, 80, 90}}, 89), "9 -> 0 at 255") << "a little more WAL than commits";
}

TEST(MergePlan, TheBaseIsWrittenAnewWhenAPointGoesThatKeptMuch) {
  const std::vector<Spec> runs = {{1, kBaseLevel, 1000, 0, 50, 1, 9, 300}};
  EXPECT_EQ(plan(runs, 50), "");
  EXPECT_EQ(plan(runs, 50, 0, {Lsn(20 * kMiB)}), "rewrite-> 1 at 255");
  EXPECT_EQ(plan({{1, kBaseLevel, 1000, 0, 50, 1, 9, 100}}, 50, 0, {Lsn(20 * kMiB)}), "")
      << "it kept little";
}

}  // namespace
}  // namespace halogen::pageserver
