#include "compute/agent/process.h"

#include <gtest/gtest.h>

#include <signal.h>

#include "compute/agent/folder_pool.h"
#include "compute/agent/supervisor.h"
#include "compute/agent/test_folder.h"

namespace halogen::compute {
namespace {

using std::chrono::seconds;

class ProcessTest : public ::testing::Test {
 protected:
  // /bin/sleep under another name, with a working directory.
  std::shared_ptr<Child> sleep_as(const std::string& name, const fs::path& folder) {
    fs::create_directories(folder);
    fs::path program = temp_.path() / name;
    if (!fs::exists(program)) fs::copy_file("/bin/sleep", program);
    Launch launch;
    launch.program = program;
    launch.arguments = {"60"};
    launch.folder = folder;
    launch.log = temp_.path() / "log";
    return supervisor_.spawn(launch);
  }
  static bool lives(const Child& child) { return child.state() != Child::State::ended; }

  TempFolder temp_;
  Supervisor supervisor_;
};

TEST_F(ProcessTest, OnlyPostgresInTheFolderIsKilled) {
  fs::path ours = temp_.path() / "computes";
  auto postmaster = sleep_as("postgres", ours / "ep/data");
  auto elsewhere = sleep_as("postgres", temp_.path() / "computes-of-another/data");
  auto shell = sleep_as("bash", ours / "ep/data");
  EXPECT_EQ(kill_postgres_in(ours, Deadline::after(seconds(10))), 1);
  EXPECT_TRUE(postmaster->wait_end(Deadline::after(seconds(10))));
  EXPECT_EQ(postmaster->how_it_ended(), "signal 9 (Killed)");
  EXPECT_TRUE(lives(*elsewhere));
  EXPECT_TRUE(lives(*shell));
  EXPECT_EQ(kill_postgres_in(ours, Deadline::after(seconds(10))), 0);
  EXPECT_EQ(kill_postgres_in(temp_.path() / "none", Deadline::after(seconds(10))), 0);
  for (auto& child : {elsewhere, shell}) {
    child->signal(SIGKILL);
    EXPECT_TRUE(child->wait_end(Deadline::after(seconds(10))));
  }
}

TEST_F(ProcessTest, AChildIsNotReadyBeforeItSaysSo) {
  auto child = sleep_as("postgres", temp_.path());
  EXPECT_EQ(child->wait_ready(Deadline::after(std::chrono::milliseconds(50))),
            Child::State::starting);
  child->signal(SIGTERM);
  EXPECT_EQ(child->wait_ready(Deadline::after(seconds(10))), Child::State::ended);
  EXPECT_FALSE(child->ended_well());
}

TEST_F(ProcessTest, AProgramThatIsNotThereIsAnError) {
  Launch launch;
  launch.program = temp_.path() / "no-such-program";
  launch.folder = temp_.path();
  launch.log = temp_.path() / "log";
  EXPECT_THROW(supervisor_.spawn(launch), Error);
}

TEST(FolderPool, AFolderIsTakenOnceAndDiscardedOnesGo) {
  TempFolder temp;
  FolderPool pool(temp.path(), 2);
  for (int i = 0; i < 5; ++i) pool.take(15, temp.path() / ("data" + std::to_string(i)));
  EXPECT_TRUE(fs::exists(temp.path() / "data4/pg_wal/archive_status"));
  EXPECT_EQ(read_file(temp.path() / "data4/PG_VERSION"), "15\n");
  pool.discard(temp.path() / "data4");
  pool.discard(temp.path() / "never-was");
  EXPECT_FALSE(fs::exists(temp.path() / "data4"));
  pool.settle();
  EXPECT_TRUE(fs::is_empty(temp.path() / ".trash"));
}

}  // namespace
}  // namespace halogen::compute
