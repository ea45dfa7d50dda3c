// What a room keeps from its programs, with programs that try: as whoever runs this, and as root
// with users for the rooms.
#include "compute/rooms/warden.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "base/error.h"
#include "compute/agent/test_folder.h"

namespace halogen::compute {
namespace {

using ::testing::HasSubstr;

class WardenTest : public ::testing::Test {
 protected:
  WardenTest() {
    for (const char* folder : {"libraries", "pages"}) fs::create_directories(temp_.path() / folder);
    warden_ = std::make_unique<Warden>(plan());
  }
  ~WardenTest() override { warden_->end(); }
  RoomsPlan plan() {
    return {.rooms = temp_.path() / "rooms",
            .libraries = temp_.path() / "libraries",
            .pages = temp_.path() / "pages",
            .owner = {::geteuid(), ::getegid()}};
  }
  std::unique_ptr<RoomProcess> start(const std::string& id, const std::string& script) {
    fs::create_directories(temp_.path() / "rooms" / id / "data");
    fs::create_directories(temp_.path() / "rooms" / id / "config");
    return warden_->start(id, {"/bin/sh", "-c", script}, {"PATH=/usr/bin:/bin"},
                          open_file("/dev/null", O_RDONLY),
                          open_file(temp_.path() / id, O_WRONLY | O_CREAT | O_TRUNC));
  }
  static void wait(const RoomProcess& room) {
    pollfd poll{room.room().get(), POLLIN, 0};
    ASSERT_EQ(::poll(&poll, 1, 20'000), 1);
  }
  // What a shell says to this.
  std::string run(const std::string& script) {
    auto room = start("one", script + " 2>&1");
    wait(*room);
    return read_file(temp_.path() / "one");
  }

  TempFolder temp_;
  std::unique_ptr<Warden> warden_;
};

TEST_F(WardenTest, AProgramRunsAndItsEndIsTold) {
  auto room = start("one", "echo hello; exit 7");
  wait(*room);
  RoomProcess::End end = room->end();
  EXPECT_EQ(end.how, CLD_EXITED);
  EXPECT_EQ(end.status, 7);
  EXPECT_EQ(read_file(temp_.path() / "one"), "hello\n");
}

TEST_F(WardenTest, AProgramThatIsNotThereIsAnError) {
  EXPECT_THROW(warden_->start("two", {"/no/program"}, {}, open_file("/dev/null", O_RDONLY),
                              open_file("/dev/null", O_WRONLY)),
               Error);
}

TEST_F(WardenTest, WhatIsRenamedIntoARoomIsSeenInside) {
  auto room = start("one", "until cat /compute/late/file; do sleep 0.01; done 2> /dev/null");
  fs::create_directory(temp_.path() / "late");
  write_file(temp_.path() / "late/file", "here");
  fs::rename(temp_.path() / "late", temp_.path() / "rooms/one/data/late");
  wait(*room);
  EXPECT_EQ(read_file(temp_.path() / "one"), "here");
}

TEST_F(WardenTest, AProgramSeesAndChangesNothingButItsOwn) {
  const std::string others =
      run("set -- /proc/[0-9]*; echo $#; ls -d /home /root /run /sys /var/lib /work /boot;"
          "touch /usr/x /etc/x /halogen/x /pages/x /config/x /x; ls /slots");
  EXPECT_THAT(others, ::testing::StartsWith("1\n")) << "the shell";
  EXPECT_THAT(others, HasSubstr("cannot access '/run'"));
  for (const char* path : {"/usr/x", "/etc/x", "/halogen/x", "/pages/x", "/config/x", "/x"})
    EXPECT_THAT(others, HasSubstr(fmt::format("'{}': Read-only file system", path)));
  EXPECT_EQ(run("cp /bin/true /compute/t && chmod +x /compute/t && /compute/t; rm /compute/t"),
            "/bin/sh: 1: /compute/t: Permission denied\n");
}

TEST_F(WardenTest, AProgramHasNoCapabilityAndGainsNone) {
  const std::string status =
      run("grep -E '^(Cap(Eff|Prm|Bnd)|NoNewPrivs|Seccomp):' /proc/self/status");
  EXPECT_EQ(status,
            "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n"
            "NoNewPrivs:\t1\nSeccomp:\t2\n");
}

TEST_F(WardenTest, WithTheProgramTheWholeRoomEnds) {
  // A child in a session of its own, which holds the log open as long as it lives.
  auto room = start("one", "setsid sleep 1000 & echo started");
  wait(*room);
  std::string sleepers;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    std::error_code none;
    fs::path exe = fs::read_symlink(entry.path() / "root", none);
    sleepers += fs::exists(entry.path() / "root" / warden_->marker().filename(), none) ? "x" : "";
  }
  EXPECT_EQ(sleepers, "");
}

TEST_F(WardenTest, AKilledRoomIsEmptyAndAKilledWardenIsReplaced) {
  auto room = start("one", "sleep 1000 & sleep 1000");
  room->kill();
  wait(*room);
  EXPECT_EQ(room->end().status, SIGKILL);
}

}  // namespace
}  // namespace halogen::compute
