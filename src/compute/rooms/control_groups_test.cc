// Control groups in a folder that stands for the kernel's tree (which has what controllers the
// machine's other programs leave), and a room in a true one where there is one.
#include "compute/rooms/control_groups.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "compute/agent/test_folder.h"

namespace halogen::compute {
namespace {

constexpr uint64_t kGigabyte = 1 << 30;

class ControlGroupsTest : public ::testing::Test {
 protected:
  ControlGroupsTest() {
    fs::create_directories(own());
    write_file(tree() / "cgroup.controllers", "cpuset cpu io memory pids\n");
    write_file(own() / "cgroup.controllers", "memory pids\n");
    write_file(own() / "cgroup.procs", fmt::format("{}\n", ::getpid()));
  }
  fs::path tree() const { return temp_.path() / "tree"; }
  fs::path own() const { return tree() / "user.slice" / "ours.scope"; }
  ControlGroups::Place place() const {
    return {tree(), own(), "halogen-x", {::geteuid(), ::getegid()}, 8 * kGigabyte};
  }
  std::string problem() const {
    try {
      ControlGroups groups(place());
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  TempFolder temp_;
};

TEST_F(ControlGroupsTest, AGroupThatIsOursAloneIsDividedBetweenUsAndComputes) {
  ControlGroups groups(place());
  EXPECT_EQ(groups.controllers(), "memory, pids");
  EXPECT_EQ(read_file(own() / "platform/cgroup.procs"), std::to_string(::getpid()));
  EXPECT_EQ(read_file(own() / "cgroup.subtree_control"), "+memory +pids");
  EXPECT_EQ(read_file(own() / "computes/cgroup.subtree_control"), "+memory +pids");
  EXPECT_EQ(read_file(own() / "computes/memory.max"), std::to_string(15 * kGigabyte / 2));
  EXPECT_FALSE(fs::exists(own() / "platform/cpu.weight")) << "there is no such controller here";
}

TEST_F(ControlGroupsTest, AComputeHasBoundsBelowThoseOfAll) {
  ControlGroups groups(place());
  auto group = groups.make_group("one");
  EXPECT_EQ(read_file(own() / "computes/one/memory.max"), std::to_string(45 * kGigabyte / 8));
  EXPECT_EQ(read_file(own() / "computes/one/pids.max"), "4096");
  EXPECT_TRUE(group->open().valid());
}

TEST_F(ControlGroupsTest, AComputeHasWhatItsUnitsAreWorth) {
  write_file(own() / "cgroup.controllers", "cpu memory pids\n");
  ControlGroups groups(place());
  auto group = groups.make_group("one");
  auto read = [&](const char* file) { return read_file(own() / "computes/one" / file); };
  group->limit({0.25, 0.25});
  EXPECT_EQ(read("cpu.weight"), "100") << "the kernel's default";
  EXPECT_EQ(read("cpu.max"), "100000 100000") << "a whole processor, if nobody else wants it";
  EXPECT_EQ(read("memory.max"), std::to_string(kGigabyte));
  group->limit({0.5, 1.25});
  EXPECT_EQ(read("cpu.weight"), "200");
  EXPECT_EQ(read("cpu.max"), "125000 100000");
  EXPECT_EQ(read("memory.max"), std::to_string(5 * kGigabyte));
  group->limit({56, 56});
  EXPECT_EQ(read("memory.max"), std::to_string(45 * kGigabyte / 8)) << "no more than there is";
  EXPECT_EQ(read("cpu.weight"), "10000") << "the kernel takes no more";
  groups.make_group("two")->limit({1000, -1});
  EXPECT_EQ(read_file(own() / "computes/two/cpu.weight"), "100") << "what makes no sense";
}

TEST_F(ControlGroupsTest, ASizeSetsNothingWithoutAController) {
  ControlGroups groups(place());
  groups.make_group("one")->limit({1, 1});
  EXPECT_FALSE(fs::exists(own() / "computes/one/cpu.max"));
  EXPECT_EQ(read_file(own() / "computes/one/memory.max"), std::to_string(4 * kGigabyte));
}

TEST_F(ControlGroupsTest, ASmallMachineKeepsAQuarterForThePlatform) {
  ControlGroups::Place small = place();
  small.memory = kGigabyte;
  ControlGroups groups(small);
  EXPECT_EQ(read_file(own() / "computes/memory.max"), std::to_string(kGigabyte / 4 * 3));
}

TEST_F(ControlGroupsTest, WhatWorksForARoomIsCountedToIt) {
  ControlGroups groups(place());
  groups.make_group("one")->take(4711);
  EXPECT_EQ(read_file(own() / "computes/one/cgroup.procs"), "4711");
}

TEST_F(ControlGroupsTest, AmongOthersOnlyRootMakesAGroupOfItsOwn) {
  write_file(own() / "cgroup.procs", fmt::format("1\n{}\n", ::getpid()));
  if (::geteuid() != 0) {
    EXPECT_NE(problem().find("systemd-run --user --scope"), std::string::npos) << problem();
    return;
  }
  ControlGroups groups(place());
  EXPECT_EQ(groups.controllers(), "cpu, memory, pids");
  EXPECT_EQ(read_file(tree() / "cgroup.subtree_control"), "+cpu +memory +pids");
  EXPECT_EQ(read_file(tree() / "halogen-x/platform/cpu.weight"), "300");
}

TEST_F(ControlGroupsTest, WhyThereAreNoneIsSaid) {
  write_file(own() / "cgroup.controllers", "");
  EXPECT_EQ(problem(), "cgroup v2 has no controllers here");
  write_file(own() / "cgroup.controllers", "memory");
  fs::create_directory(own() / "computes");
  fs::create_directory(own() / "computes/cgroup.subtree_control");  // Cannot be written.
  EXPECT_NE(problem().find("cgroup.subtree_control"), std::string::npos) << problem();
  ControlGroups::Place nowhere = place();
  nowhere.tree.clear();
  EXPECT_THROW(ControlGroups groups(nowhere), Error);
}

TEST_F(ControlGroupsTest, WhatAKilledPlatformLeftIsRemoved) {
  fs::create_directories(own() / "computes/old");
  ControlGroups groups(place());
  EXPECT_FALSE(fs::exists(own() / "computes/old"));
}

}  // namespace
}  // namespace halogen::compute
