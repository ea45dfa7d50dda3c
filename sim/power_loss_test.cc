#include "sim/power_loss.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "sim/test_disk.h"

namespace halogen::sim {
namespace {

namespace fs = std::filesystem;

constexpr size_t kSector = 512;
constexpr uint64_t kLosses = 30;

std::string content(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_at(const fs::path& path, size_t at, const std::string& bytes, bool sync) {
  int fd = ::open(path.c_str(), O_RDWR | O_CREAT, 0600);
  EXPECT_EQ(::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at)),
            static_cast<ssize_t>(bytes.size()));
  if (sync) ::fsync(fd);
  ::close(fd);
}

void sync_folder(const fs::path& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY);
  ::fsync(fd);
  ::close(fd);
}

class PowerLossTest : public testing::Test {
 protected:
  // All that `look` says after power was lost in the end of `work`, over many losses.
  std::set<std::string> outcomes(const std::function<void()>& work,
                                 const std::function<std::string()>& look, uint64_t steps = 0) {
    std::set<std::string> all;
    const std::string problem = disk_.first_problem_from(1, kLosses, [&](uint64_t) {
      std::string failed = disk_.live_until_power_is_lost(steps, work);
      all.insert(look());
      return failed;
    });
    EXPECT_EQ(problem, "");
    return all;
  }
  fs::path file(const char* name = "file") const { return disk_.root() / name; }
  std::string which(std::initializer_list<const char*> names) const {
    std::string there;
    for (const char* name : names)
      if (fs::exists(file(name))) there += std::string(there.empty() ? "" : " ") + name;
    return there;
  }

  TestDisk disk_;
};

using Set = std::set<std::string>;

TEST_F(PowerLossTest, WhatIsSyncedStays) {
  auto work = [this] {
    write_at(file(), 0, "synced", true);
    sync_folder(disk_.root());
  };
  EXPECT_EQ(outcomes(work, [this] { return content(file()); }), Set{"synced"});
}

TEST_F(PowerLossTest, AWriteIsTornAtSectorsAndNowhereElse) {
  auto work = [this] {
    write_at(file(), 0, std::string(2 * kSector, 'a'), true);
    sync_folder(disk_.root());
    write_at(file(), 0, std::string(2 * kSector, 'b'), false);
  };
  auto look = [this] {
    std::string found = content(file());
    for (size_t at : {size_t{0}, kSector})
      EXPECT_EQ(found.substr(at, kSector), std::string(kSector, found[at]));
    return std::string{found[0], found[kSector]};
  };
  EXPECT_EQ(outcomes(work, look), (Set{"aa", "ab", "ba", "bb"}));
}

TEST_F(PowerLossTest, ALaterWriteMaySurviveAnEarlierOne) {
  auto work = [this] {
    for (const char* name : {"a", "b"}) write_at(file(name), 0, "0", true);
    sync_folder(disk_.root());
    for (const char* name : {"a", "b"}) write_at(file(name), 0, "1", false);
  };
  auto look = [this] { return content(file("a")) + content(file("b")); };
  EXPECT_EQ(outcomes(work, look), (Set{"00", "01", "10", "11"}));
}

TEST_F(PowerLossTest, ALengthMaySurviveItsBytes) {
  auto work = [this] {
    write_at(file(), 0, "", true);
    sync_folder(disk_.root());
    write_at(file(), 0, "x", false);
  };
  EXPECT_EQ(outcomes(work, [this] { return content(file()); }), (Set{"", "x", std::string(1, 0)}));
}

TEST_F(PowerLossTest, AFileThatWasCutMayBeLongAgain) {
  auto work = [this] {
    write_at(file(), 0, std::string(3, 'a'), true);
    sync_folder(disk_.root());
    EXPECT_EQ(::truncate(file().c_str(), 1), 0);
  };
  Set all = outcomes(work, [this] { return content(file()); });
  EXPECT_TRUE(all.contains("a") && all.contains("aaa"));
}

TEST_F(PowerLossTest, ANameIsItsFoldersToSync) {
  auto work = [this] { write_at(file(), 0, "x", true); };
  EXPECT_EQ(outcomes(work, [this] { return which({"file"}); }), (Set{"", "file"}));
}

TEST_F(PowerLossTest, NamesOfAFolderAreLostFromSomeMomentOn) {
  auto work = [this] {
    for (const char* name : {"a", "b", "c"}) write_at(file(name), 0, "x", true);
  };
  EXPECT_EQ(outcomes(work, [this] { return which({"a", "b", "c"}); }),
            (Set{"", "a", "a b", "a b c"}));
}

TEST_F(PowerLossTest, WhatWasReplacedOrRemovedMayComeBack) {
  auto work = [this] {
    write_at(file("target"), 0, "old", true);
    write_at(file("gone"), 0, "x", true);
    write_at(file("new"), 0, "new", true);
    sync_folder(disk_.root());
    EXPECT_EQ(::rename(file("new").c_str(), file("target").c_str()), 0);
    EXPECT_EQ(::unlink(file("gone").c_str()), 0);
  };
  auto look = [this] { return which({"gone", "new"}) + " " + content(file("target")); };
  EXPECT_EQ(outcomes(work, look), (Set{"gone new old", "gone new", " new"}));
}

TEST_F(PowerLossTest, AFolderThatWasMovedAndItsFilesAreIndependent) {
  auto work = [this] {
    fs::create_directory(file("a"));
    sync_folder(disk_.root());
    write_at(file("a") / "in", 0, "x", true);
    fs::rename(file("a"), file("b"));
  };
  EXPECT_EQ(outcomes(work, [this] { return which({"a", "b", "a/in", "b/in"}); }),
            (Set{"a", "b", "a a/in", "b b/in"}));
}

TEST_F(PowerLossTest, ARemovedTreeMayComeBackInPart) {
  auto work = [this] {
    fs::create_directory(file("d"));
    for (const char* name : {"d/1", "d/2"}) write_at(file(name), 0, "x", true);
    sync_folder(file("d"));
    sync_folder(disk_.root());
    fs::remove_all(file("d"));
  };
  Set all = outcomes(work, [this] { return which({"d", "d/1", "d/2"}); });
  EXPECT_TRUE(all.contains("") && all.contains("d") && all.contains("d d/1 d/2"));
}

TEST_F(PowerLossTest, WhatIsGoneForGoodDoesNotComeBackInAnothersPlace) {
  auto work = [this] {
    for (int i = 0; i < 8; ++i) {  // The file system soon uses an inode again.
      fs::create_directory(file("d"));
      fs::create_directory(file("d/in"));
      sync_folder(disk_.root());
      fs::remove_all(file("d"));
      sync_folder(disk_.root());
    }
    fs::create_directory(file("e"));
    fs::create_directory(file("f"));
    sync_folder(disk_.root());
  };
  EXPECT_EQ(outcomes(work, [this] { return which({"d", "e/in", "f/in", "e", "f"}); }), Set{"e f"});
}

TEST_F(PowerLossTest, AForgottenSyncLosesWhatItWasFor) {
  disk_.forget_syncs_of("file");
  auto work = [this] {
    write_at(file(), 0, "x", true);
    sync_folder(disk_.root());
  };
  EXPECT_TRUE(outcomes(work, [this] { return content(file()); }).contains(""));
}

TEST_F(PowerLossTest, AKilledProcessLeavesItsNotesToTheNext) {
  auto work = [this] {
    if (fs::exists(file())) return;
    write_at(file(), 0, "x", true);
    ::kill(::getpid(), SIGKILL);
  };
  EXPECT_EQ(outcomes(work, [this] { return which({"file"}); }, 1000), (Set{"", "file"}));
}

TEST_F(PowerLossTest, ACutPointEndsTheProcessBeforeItsStep) {
  auto work = [this] {
    for (const char* name : {"a", "b"}) {
      ::close(::creat(file(name).c_str(), 0600));
      sync_folder(disk_.root());
    }
  };
  EXPECT_EQ(outcomes(work, [this] { return which({"a", "b"}); }, 4), (Set{"", "a", "a b"}));
}

}  // namespace
}  // namespace halogen::sim
