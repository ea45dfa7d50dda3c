#include "compute/shim/manifest_builder.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/file.h"
#include "compute/shim/manifest.h"
#include "compute/shim/segment_path.h"
#include "compute/shim/shared_map.h"

namespace halogen::shim {
namespace {

class ManifestBuilder : public testing::Test {
 protected:
  ManifestBuilder() {
    char name[] = "/tmp/shim-test-XXXXXX";
    folder_ = ::mkdtemp(name);
    file_ = folder_ / "manifest";
    options_.socket_path = "/run/pages.sock";
    options_.token.bytes[0] = 42;
    skeleton_.lsn = Lsn(0x5000028);
    add(1663, 5, 16384, Fork::main, 300);
    add(1663, 5, 16384, Fork::vm, 1);
    add(1663, 5, 20000, Fork::init, 2);
    add(1663, 5, 30000, Fork::main, 0);
    add(1663, 1, 16384, Fork::main, kRelSegmentPages + 7);
    add(1664, 0, 1260, Fork::main, 3);
    skeleton_.slrus.push_back({Slru::xact, 3, 32});
    skeleton_.slrus.push_back({Slru::multixact_offsets, 0, 1});
  }
  ~ManifestBuilder() override { fs::remove_all(folder_); }

  void add(uint32_t spc, uint32_t db, uint32_t rel, Fork fork, uint32_t pages) {
    skeleton_.relations.push_back({RelTag::relation(spc, db, rel, fork), pages});
  }

  // As the shim maps it.
  const SharedMap& map() {
    char why[256] = "";
    EXPECT_TRUE(map_.open(file_.c_str(), "/data", why, sizeof why)) << why;
    return map_;
  }

  fs::path folder_;
  fs::path file_;
  ManifestOptions options_;
  Skeleton skeleton_;
  SharedMap map_;
};

TEST_F(ManifestBuilder, EverySegmentIsFoundByItsPathWithItsSize) {
  build_manifest(file_, skeleton_, options_);
  const SharedMap& m = map();
  auto pages = [&](const char* path) {
    uint32_t index = m.find(path);
    return index == kNoEntry ? -1 : static_cast<int>(m.entry(index).pages);
  };
  EXPECT_EQ(pages("base/5/16384"), 300);
  EXPECT_EQ(pages("base/5/16384_vm"), 1);
  EXPECT_EQ(pages("base/5/30000"), 0);
  EXPECT_EQ(pages("base/1/16384"), static_cast<int>(kRelSegmentPages));
  EXPECT_EQ(pages("base/1/16384.1"), 7);
  EXPECT_EQ(pages("/data/global/1260"), 3);
  EXPECT_EQ(pages("pg_xact/0003"), 32);
  EXPECT_EQ(pages("pg_multixact/offsets/0000"), 1);
  for (const char* path : {"base/1/16384.2", "base/5/16384_fsm", "base/5/1", "/other/global/1260",
                           "/dataglobal/1260", "pg_xact/0000"})
    EXPECT_EQ(pages(path), -1) << path;
}

TEST_F(ManifestBuilder, HeaderCarriesWhatTheShimNeeds) {
  options_.fetch_deadline = std::chrono::seconds(7);
  options_.keep_relcache_files = true;
  build_manifest(file_, skeleton_, options_);
  const ManifestHeader& h = map().header();
  EXPECT_EQ(h.read_lsn.load(), 0x5000028u);
  EXPECT_STREQ(h.socket_path, "/run/pages.sock");
  EXPECT_EQ(h.token.bytes[0], 42);
  EXPECT_EQ(h.fetch_deadline_ms, 7000u);
  EXPECT_EQ(h.flags, kKeepRelcacheFiles);
  EXPECT_STREQ(h.version_directory, "PG_15_202209061");
}

TEST_F(ManifestBuilder, AnUnloggedMainForkIsFetchedAsItsInitFork) {
  build_manifest(file_, skeleton_, options_);
  const SharedMap& m = map();
  uint32_t main_fork = m.find("base/5/20000");
  ASSERT_NE(main_fork, kNoEntry);
  EXPECT_EQ(m.entry(main_fork).pages, 2u);
  PageKey wanted{RelTag::relation(1663, 5, 20000, Fork::init), 1};
  EXPECT_EQ(key_of(m.entry(main_fork), 1), wanted);
  EXPECT_EQ(key_of(m.entry(m.find("base/5/20000_init")), 1), wanted);
}

TEST_F(ManifestBuilder, KeysCountBlocksOverTheWholeFork) {
  build_manifest(file_, skeleton_, options_);
  const SharedMap& m = map();
  EXPECT_EQ(key_of(m.entry(m.find("base/1/16384.1")), 3).block, kRelSegmentPages + 3);
  EXPECT_EQ(key_of(m.entry(m.find("pg_xact/0003")), 5),
            (PageKey{RelTag::slru(Slru::xact), 3 * kSlruSegmentPages + 5}));
}

TEST_F(ManifestBuilder, ADirectoryIsARangeOfEntries) {
  build_manifest(file_, skeleton_, options_);
  const SharedMap& m = map();
  Directory* d = m.find_directory("base/5");
  ASSERT_NE(d, nullptr);
  EXPECT_EQ(d->entries, 5u);
  for (uint32_t i = 0; i < d->entries; ++i) EXPECT_EQ(m.entry(d->first_entry + i).id.db, 5u);
  EXPECT_EQ(m.find_directory("base/9"), nullptr);
  ASSERT_NE(m.find_directory("pg_xact"), nullptr);
  EXPECT_EQ(m.find_directory("pg_xact")->entries, 1u);
}

TEST_F(ManifestBuilder, HotPagesArePresentAndInTheirFiles) {
  fs::create_directories(folder_ / "data/base/5");
  HotPage hot;
  hot.key = {RelTag::relation(1663, 5, 16384, Fork::main), 129};
  hot.page = std::make_shared<std::string>(kPageSize, 'h');
  skeleton_.hot_pages.push_back(hot);
  hot.key.block = 300;  // Past the end: the relation shrank since somebody asked for it.
  skeleton_.hot_pages.push_back(hot);
  auto local = install_hot_pages(folder_ / "data", skeleton_);
  ASSERT_EQ(local.size(), 1u);
  build_manifest(file_, skeleton_, options_, local);

  const SharedMap& m = map();
  uint32_t index = m.find("base/5/16384");
  EXPECT_EQ(m.entry(index).state.load(), kMade);
  EXPECT_TRUE(m.present(index, 129));
  EXPECT_FALSE(m.present(index, 128));
  EXPECT_FALSE(m.written(index, 129));
  fs::path file = folder_ / "data/base/5/16384";
  EXPECT_EQ(fs::file_size(file), 300u * kPageSize);
  std::string content = read_file(file);
  EXPECT_EQ(content.substr(129 * kPageSize, kPageSize), std::string(kPageSize, 'h'));
}

TEST_F(ManifestBuilder, RebaseKeepsPresentBlocksAndForgetsWrittenOnes) {
  build_manifest(file_, skeleton_, options_);
  {
    const SharedMap& m = map();
    uint32_t index = m.find("base/5/16384");
    m.set_present(index, 1, ChunkMask::range(2, 3));
    m.set_written(index, 1, ChunkMask::range(0, 8));
    m.entry(index).state.store(kMade);
    m.counters().requests = 9;
  }
  options_.token.bytes[0] = 43;
  options_.socket_path = "/run/other.sock";
  rebase_manifest(file_, Lsn(0x6000000), options_);
  uint32_t index = map_.find("base/5/16384");
  EXPECT_EQ(map_.header().read_lsn.load(), 0x6000000u);
  EXPECT_EQ(map_.header().token.bytes[0], 43);
  EXPECT_STREQ(map_.header().socket_path, "/run/other.sock");
  EXPECT_FALSE(map_.present(index, 129));
  EXPECT_TRUE(map_.present(index, 130));
  EXPECT_FALSE(map_.written(index, 130));
  EXPECT_EQ(map_.entry(index).state.load(), kMade);
  EXPECT_EQ(read_manifest_status(file_).requests, 0u);
}

// A segment that is made while the server runs, of which blocks 5 to 8 have been given up.
TEST_F(ManifestBuilder, WhatHasGrownSinceCanBeGivenUpToo) {
  build_manifest(file_, skeleton_, options_);
  const SharedMap& m = map();
  SegmentId id;
  ASSERT_TRUE(m.parse("base/5/50000.3", &id));
  uint32_t index = m.add(id);
  EXPECT_EQ(m.add(id), index);
  EXPECT_EQ(m.find("/data/base/5/50000.3"), index);
  EXPECT_EQ(m.entry(index).state.load(), kMade);
  EXPECT_EQ(key_of(m.entry(index), 7).block, 3 * kRelSegmentPages + 7);
  m.note_end(index, 1000);
  EXPECT_EQ(m.header().written.load(), 1000);
  EXPECT_EQ(m.limit(index), 0u) << "all is here";
  EXPECT_TRUE(m.written(index, 5));

  ASSERT_TRUE(m.make_bitmap(index));
  m.clear_present(index, 0, ChunkMask::range(5, 4));
  EXPECT_EQ(m.limit(index), kRelSegmentPages);
  EXPECT_EQ(m.absent(index, 0, ChunkMask::range(0, 128)).count(), 4u);
  EXPECT_TRUE(m.present(index, kRelSegmentPages - 1));

  m.set_present(index, 0, ChunkMask::range(6, 2));
  m.set_fetched(index, 0, ChunkMask::range(6, 2));
  EXPECT_FALSE(m.written(index, 6)) << "it is as storage has it";
  m.set_written(index, 0, ChunkMask::range(7, 1));
  EXPECT_TRUE(m.written(index, 7));
  EXPECT_FALSE(m.present(index, 5));
  EXPECT_TRUE(m.present(index, 7));
}

TEST_F(ManifestBuilder, ASegmentMayGrowPastItsBlocksAtBoot) {
  build_manifest(file_, skeleton_, options_);
  const SharedMap& m = map();
  uint32_t index = m.find("base/5/16384");  // 300 pages: 44 in the last chunk.
  m.entry(index).state.store(kMade);
  ASSERT_TRUE(m.make_bitmap(index));
  m.set_present(index, 2, ChunkMask::range(0, 128));
  EXPECT_TRUE(m.absent(index, 2, ChunkMask::range(0, 128)).empty());
  m.clear_present(index, 2, ChunkMask::range(40, 10));
  EXPECT_EQ(m.absent(index, 2, ChunkMask::range(0, 128)).count(), 10u);
  EXPECT_EQ(m.unwritten(index, 2, ChunkMask::range(0, 128)).count(), 44u) << "those at boot";
  m.note_end(index, 350);
  rebase_manifest(file_, Lsn(0x6000000), options_);
  EXPECT_EQ(m.absent(index, 2, ChunkMask::range(0, 128)).count(), 10u);
  EXPECT_EQ(m.header().written.load(), 50 - 6) << "which storage may have otherwise";
}

TEST_F(ManifestBuilder, ThereIsRoomForSoManyNewSegmentsAndNoMore) {
  build_manifest(file_, skeleton_, options_);
  const SharedMap& m = map();
  SegmentId id;
  ASSERT_TRUE(m.parse("base/5/50000", &id));
  for (uint32_t i = 0; i < kMostAdded; ++i) {
    id.rel = 50000 + i;
    ASSERT_NE(m.add(id), kNoEntry) << i;
  }
  id.rel = 50000 + kMostAdded;
  EXPECT_EQ(m.add(id), kNoEntry);
  EXPECT_EQ(m.find(id), kNoEntry);
  id.rel = 50000 + kMostAdded - 1;
  EXPECT_NE(m.find(id), kNoEntry);
  // The next start makes a new data directory.
  EXPECT_THROW(rebase_manifest(file_, Lsn(0x6000000), options_), Error);
}

TEST_F(ManifestBuilder, TheAgentSeesWhenALaterReadLsnIsWanted) {
  options_.cache_bytes = 100 * kPageSize;
  build_manifest(file_, skeleton_, options_);
  UniqueFd fd = open_file(file_, O_RDWR);
  EXPECT_FALSE(wants_later_read_lsn(fd.get()));
  ManifestHeader& header = map().header();
  header.written = 60;
  EXPECT_FALSE(wants_later_read_lsn(fd.get())) << "some can be given up yet";
  header.swept_at = header.read_lsn.load();
  EXPECT_TRUE(wants_later_read_lsn(fd.get()));
  set_read_lsn(fd.get(), Lsn(0x7000000));
  EXPECT_EQ(header.read_lsn.load(), 0x7000000u);
  EXPECT_FALSE(wants_later_read_lsn(fd.get()));
}

// It is mapped: on a full disk, a write to a hole in it would kill the process with SIGBUS.
TEST_F(ManifestBuilder, NoPartOfTheFileIsAHole) {
  build_manifest(file_, skeleton_, options_);
  auto allocated = [&] {
    struct stat info;
    EXPECT_EQ(::stat(file_.c_str(), &info), 0);
    return info.st_blocks * 512 >= info.st_size;
  };
  EXPECT_TRUE(allocated());
  rebase_manifest(file_, Lsn(5000), {});
  EXPECT_TRUE(allocated());
}

TEST_F(ManifestBuilder, DamagedFilesAreRefused) {
  build_manifest(file_, skeleton_, options_);
  fs::resize_file(file_, fs::file_size(file_) - 4096);
  EXPECT_THROW(rebase_manifest(file_, Lsn(1), options_), Error);
  EXPECT_EQ(read_file("/proc/self/maps").find(file_.string()), std::string::npos);
  char why[256] = "";
  SharedMap m;
  EXPECT_FALSE(m.open(file_.c_str(), "/data", why, sizeof why));
  EXPECT_STREQ(why, "the manifest is damaged");
  write_file(file_, "not a manifest");
  EXPECT_FALSE(m.open(file_.c_str(), "/data", why, sizeof why));
  EXPECT_THROW(read_manifest_status(file_), Error);
}

TEST_F(ManifestBuilder, ASecondPostmasterIsRefused) {
  build_manifest(file_, skeleton_, options_);
  map();
  char why[256] = "";
  SharedMap second;
  EXPECT_FALSE(second.open(file_.c_str(), "/data", why, sizeof why));
  EXPECT_NE(std::string(why).find("used by another postmaster"), std::string::npos);
}

TEST(ChunkMask, RangesMayCrossItsWords) {
  for (auto [first, count] :
       {std::pair{0u, 128u}, {0u, 0u}, {63u, 2u}, {64u, 64u}, {127u, 1u}, {5u, 3u}, {60u, 68u}}) {
    ChunkMask mask = ChunkMask::range(first, count);
    EXPECT_EQ(mask.count(), count);
    for (uint32_t i = 0; i < kChunkBlocks; ++i)
      EXPECT_EQ(mask.test(i), i >= first && i < first + count) << first << "+" << count;
  }
}

TEST_F(ManifestBuilder, TwentyThousandRelationsTakeMilliseconds) {
  for (uint32_t i = 0; i < 20000; ++i) {
    add(1663, 5, 100000 + i, Fork::main, i % 50);
    add(1663, 5, 100000 + i, Fork::vm, 1);
  }
  auto started = std::chrono::steady_clock::now();
  build_manifest(file_, skeleton_, options_);
  std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  EXPECT_LT(took.count(), 1.0);  // About 20 ms; the machine may be busy.
  EXPECT_NE(map().find("base/5/119999_vm"), kNoEntry);
}

}  // namespace
}  // namespace halogen::shim
