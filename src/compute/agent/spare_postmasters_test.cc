#include "compute/agent/spare_postmasters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <future>

#include "base/error.h"
#include "base/token.h"
#include "compute/agent/postmaster.h"
#include "compute/agent/test_folder.h"

namespace halogen::compute {
namespace {

using std::chrono::seconds;

fs::path libraries() { return fs::canonical("/proc/self/exe").parent_path().parent_path() / "lib"; }
Deadline soon() { return Deadline::after(seconds(30)); }

RoomPlaces places(const fs::path& folder) {
  fs::create_directory(folder / "rooms");
  fs::create_directory(folder / "run");
  return {folder / "rooms", folder / "run", libraries()};
}

class SparePostmasterTest : public ::testing::Test {
 protected:
  std::unique_ptr<SparePostmaster> make() {
    return std::make_unique<SparePostmaster>(supervisor_, program_, places(temp_.path()));
  }

  TempFolder temp_;
  Supervisor supervisor_;
  // A copy, so that it can be "upgraded".
  fs::path program_ = temp_.path() / "postgres";

  void SetUp() override { fs::copy_file(postgres_bin_dir(15) / "postgres", program_); }
};

TEST_F(SparePostmasterTest, OneThatIsDroppedEndsAndItsFolderGoes) {
  auto spare = make();
  EXPECT_TRUE(spare->usable());
  EXPECT_TRUE(fs::exists(spare->room()->notify_socket()));
  std::shared_ptr<Child> child = spare->take();
  EXPECT_EQ(child->wait_ready(Deadline::after(std::chrono::milliseconds(200))),
            Child::State::starting);
  child->dismiss();
  EXPECT_TRUE(child->wait_end(soon()));
  EXPECT_TRUE(child->ended_well());
  auto dropped = make();
  fs::path folder = dropped->room()->folder();
  dropped.reset();
  EXPECT_FALSE(fs::exists(folder));
}

TEST_F(SparePostmasterTest, OneThatHasEndedOrIsOutOfDateIsNotUsable) {
  auto spare = make();
  fs::last_write_time(program_, fs::last_write_time(program_) + seconds(1));
  EXPECT_FALSE(spare->usable());

  std::shared_ptr<Child> child = make()->take();
  child->signal(SIGKILL);
  ASSERT_TRUE(child->wait_end(soon()));
  EXPECT_FALSE(child->release({"PGDATA=/nowhere"}, temp_.path() / "log", {},
                              [] { ADD_FAILURE() << "told of twice"; }));
}

TEST_F(SparePostmasterTest, WhatItIsToldIsItsEnvironment) {
  auto spare = make();
  fs::path log = temp_.path() / "log";
  std::promise<void> ended;
  Postmaster postmaster(*spare,
                        {"HALOGEN_SHIM_MANIFEST=/no/manifest", "HALOGEN_SHIM_DATA=/no/data",
                         "HALOGEN_LOGIN_SECRET=" + Token::random().str()},
                        {temp_.path() / "data", "/no/data", log, spare->room()->door()},
                        [&] { ended.set_value(); });
  ASSERT_EQ(ended.get_future().wait_for(seconds(30)), std::future_status::ready);
  EXPECT_THROW(postmaster.wait_ready(soon()), Error);
  EXPECT_THAT(read_file(log), ::testing::HasSubstr("cannot open /no/manifest"));
}

TEST(SparePostmasters, OneWaitsAndIsReplacedWhenTaken) {
  TempFolder temp;
  Supervisor supervisor;
  SparePostmasters spares(supervisor, places(temp.path()));
  spares.settle();
  auto entries = [&] {
    return std::distance(fs::directory_iterator(temp.path() / "rooms"), fs::directory_iterator());
  };
  ASSERT_EQ(entries(), 1);
  auto first = spares.take(15);
  EXPECT_EQ(entries(), 1);  // It was the one that waited.
  spares.settle();
  EXPECT_EQ(entries(), 2);
  EXPECT_THROW(spares.take(9), Error);
}

}  // namespace
}  // namespace halogen::compute
