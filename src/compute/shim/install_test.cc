#include "compute/shim/install.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "base/file.h"
#include "compute/shim/manifest_builder.h"

namespace halogen::shim {
namespace {

TEST(Install, WhatWasAskedForBeforeItsBlocksWereGivenUpIsHistory) {
  char name[] = "/tmp/shim-test-XXXXXX";
  const fs::path folder = ::mkdtemp(name);
  const fs::path before = fs::current_path();
  fs::create_directories(folder / "base/5");
  fs::current_path(folder);  // As Postgres does.
  Skeleton skeleton;
  skeleton.lsn = Lsn(0x5000028);
  skeleton.relations.push_back({RelTag::relation(1663, 5, 16384, Fork::main), 4});
  build_manifest(folder / "manifest", skeleton, {});
  char why[256] = "";
  ASSERT_TRUE(g_map.open((folder / "manifest").c_str(), folder.c_str(), why, sizeof why)) << why;
  const uint32_t index = g_map.find("base/5/16384");
  write_file("base/5/16384", std::string(4 * kPageSize, 0));
  g_map.entry(index).state.store(kMade);

  const std::string page(kPageSize, 'p');
  auto install = [&](uint64_t lsn, uint32_t block) {
    DirectRead direct;
    const ChunkMask blocks = ChunkMask::range(block, 1);
    EXPECT_EQ(install_pages({.lsn = lsn, .entry = index, .blocks = blocks, .fd = -1}, blocks,
                            page.data(), direct),
              0);
    return g_map.present(index, block);
  };
  EXPECT_TRUE(install(100, 0));
  ChunkLock(g_map, index, 0).note_given_up(200);
  EXPECT_FALSE(install(199, 1));
  EXPECT_EQ(read_file("base/5/16384")[kPageSize], 0);
  EXPECT_TRUE(install(200, 1));
  EXPECT_EQ(read_file("base/5/16384")[kPageSize], 'p');
  fs::current_path(before);
  fs::remove_all(folder);
}

}  // namespace
}  // namespace halogen::shim
