#include "control/text_diff.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>

namespace halogen::control {
namespace {

TEST(TextDiff, OfTheSameTextIsEmpty) { EXPECT_EQ(unified_diff("a\nb\n", "a\nb\n", "x", "y"), ""); }

TEST(TextDiff, TellsLinesWithTheirSurroundings) {
  EXPECT_EQ(unified_diff("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n", "x", "y"),
            "--- x\n+++ y\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n");
  EXPECT_EQ(unified_diff("", "a\n", "x", "y"), "--- x\n+++ y\n@@ -0,0 +1,1 @@\n+a\n");
  EXPECT_EQ(unified_diff("a\n", "", "x", "y"), "--- x\n+++ y\n@@ -1,1 +0,0 @@\n-a\n");
}

// What patch(1) makes of the one text with it is the other.
TEST(TextDiff, IsWhatPatchTakes) {
  if (std::system("patch --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "patch is not installed";
  std::string folder = std::filesystem::temp_directory_path() / "halogen-diff-XXXXXX";
  const std::filesystem::path in = ::mkdtemp(folder.data());
  auto write = [&](const char* name, const std::string& text) { std::ofstream(in / name) << text; };
  std::mt19937 random(7);
  for (int round = 0; round < 60; ++round) {
    std::string before;
    std::string after;
    for (int i = 0; i < 40; ++i) {
      const std::string line = std::to_string(random() % 6) + "\n";
      if (random() % 5 != 0) before += line;
      if (random() % 5 != 0) after += line;
    }
    write("text", before);
    write("diff", unified_diff(before, after, "text", "text"));
    const std::string command = "cd " + in.string() + " && patch -s text diff >/dev/null";
    if (before != after) ASSERT_EQ(std::system(command.c_str()), 0) << before << "\n" << after;
    std::ifstream file(in / "text");
    const std::string made((std::istreambuf_iterator<char>(file)), {});
    ASSERT_EQ(made, after);
  }
  std::filesystem::remove_all(in);
}

TEST(TextDiff, OfVeryDifferentTextsIsAReplacement) {
  std::string before;
  std::string after;
  for (int i = 0; i < 5000; ++i) {
    before += "a" + std::to_string(i) + "\n";
    after += "b" + std::to_string(i) + "\n";
  }
  EXPECT_EQ(unified_diff(before, after, "x", "y").find("@@ -1,5000 +1,5000 @@"), 12u);
}

}  // namespace
}  // namespace halogen::control
