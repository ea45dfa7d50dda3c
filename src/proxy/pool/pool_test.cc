// What pools decide: what they keep ready, who is next, and what they forget.
#include "proxy/pool/pool.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

namespace halogen::proxy {
namespace {

const PoolKey kKey{"ep-a", "d", "r"};

class PoolsTest : public ::testing::Test {
 protected:
  void keep_ready(int count) {
    PoolSettings settings;
    settings.min_pool_size = count;
    pools_.set_settings("ep-a", settings);
  }

  // As if it had been opened by a session there.
  ServerPtr server_at(const std::shared_ptr<Worker>& worker) {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    peers_.emplace_back(fds[1]);
    auto server = std::make_shared<Server>(*worker, UniqueFd(fds[0]));
    server->start = address_.start;
    return server;
  }

  void lay_idle(const PoolPtr& pool, uint64_t epoch, uint32_t database);

  // A pool that has one server at most, in use.
  Slot only_slot() {
    pool_ = pools_.find_or_add(kKey);
    PoolSettings settings;
    settings.pool_size = 1;
    pools_.set_settings("ep-a", settings);
    pools_.compute_is("ep-a", address_);
    return std::move(pools_.acquire(pool_, {1, startup_, 1, here_.get()}, nullptr)->slot);
  }

  // Its name goes to `served_`, and the grant to `grant_`.
  void wait_in_line(const std::string& name, const std::shared_ptr<Worker>& at) {
    auto waiter = std::make_shared<Waiter>();
    waiter->worker = at.get();
    waiter->granted = [this, name](Grant grant) {
      served_.push_back(name);
      grant_ = std::move(grant);
    };
    EXPECT_FALSE(pools_.acquire(pool_, {1, startup_, 2, at.get()}, waiter));
  }

  const std::string startup_;
  const std::shared_ptr<Worker> here_ = std::make_shared<Worker>();
  const std::shared_ptr<Worker> there_ = std::make_shared<Worker>();
  std::vector<UniqueFd> peers_;
  Pools pools_;
  PoolPtr pool_;
  std::vector<std::string> served_;
  Grant grant_;
  ComputeAddress address_{.socket_folder = "/a", .max_connections = 20, .start = 1};
};

TEST_F(PoolsTest, AServerThatWasLostMeanwhileIsGivenToNobody) {
  Slot slot = only_slot();
  wait_in_line("next", here_);
  ServerPtr server = server_at(here_);
  peers_.clear();
  pools_.give(std::move(server), std::move(slot));
  EXPECT_EQ(served_, std::vector<std::string>{"next"}) << "with room for another";
  EXPECT_EQ(grant_.server, nullptr);
  EXPECT_EQ(grant_.slot.pool(), pool_);
}

TEST_F(PoolsTest, WhoWaitsWhereTheServerIsGoesFirst) {
  Slot slot = only_slot();
  wait_in_line("there", there_);
  wait_in_line("here", here_);
  wait_in_line("there, later", there_);
  pools_.give(server_at(here_), std::move(slot));
  for (int i = 0; i < 2; i++) {
    Grant grant = std::move(grant_);
    pools_.give(std::move(grant.server), std::move(grant.slot));
  }
  EXPECT_EQ(served_, (std::vector<std::string>{"here", "there", "there, later"}));
}

TEST_F(PoolsTest, NobodyIsPassedOverForEver) {
  Slot slot = only_slot();
  wait_in_line("there", there_);
  wait_in_line("here", here_);
  pools_.give(server_at(here_), std::move(slot));
  while (served_.back() == "here" && served_.size() < 100) {
    wait_in_line("here", here_);
    Grant grant = std::move(grant_);
    pools_.give(std::move(grant.server), std::move(grant.slot));
  }
  EXPECT_EQ(served_.back(), "there");
  EXPECT_GT(served_.size(), 5u);
  EXPECT_LT(served_.size(), 30u);
}

TEST_F(PoolsTest, AnIdleServerGoesToWhoHadItElseToItsWorker) {
  pool_ = pools_.find_or_add(kKey);
  pools_.compute_is("ep-a", address_);
  std::vector<Grant> grants;
  for (auto& worker : {here_, there_}) {
    grants.push_back(*pools_.acquire(pool_, {1, startup_, 1, worker.get()}, nullptr));
    grants.back().server = server_at(worker);
  }
  std::vector<Server*> servers = {grants[0].server.get(), grants[1].server.get()};
  servers[0]->state.owner = 7;
  servers[1]->state.owner = 8;
  for (Grant& grant : grants) pools_.give(std::move(grant.server), std::move(grant.slot));
  auto taken_by = [&](uint64_t owner, const std::shared_ptr<Worker>& worker) {
    std::optional<Grant> grant = pools_.take_idle(pool_, {1, startup_, owner, worker.get()});
    Server* taken = grant->server.get();
    pools_.give(std::move(grant->server), std::move(grant->slot));
    return taken;
  };
  for (int i = 0; i < 2; i++) {  // Whichever was used last.
    EXPECT_EQ(taken_by(7, there_), servers[0]);
    EXPECT_EQ(taken_by(9, there_), servers[1]);
    EXPECT_EQ(taken_by(9, here_), servers[0]);
    EXPECT_EQ(taken_by(8, here_), servers[1]);
  }
}

// Idle, of a login as of `epoch`, in the database with that OID.
void PoolsTest::lay_idle(const PoolPtr& pool, uint64_t epoch, uint32_t database) {
  Slot slot = std::move(pools_.acquire(pool, {99, startup_, 1, here_.get()}, nullptr)->slot);
  ServerPtr server = server_at(here_);
  server->login = {.epoch = epoch, .role = 10, .database = database};
  pools_.give(std::move(server), std::move(slot));
}

TEST_F(PoolsTest, ServersAndGreetingsOfAnEarlierEpochAreNotGivenOut) {
  pool_ = pools_.find_or_add(kKey);
  pools_.compute_is("ep-a", address_);
  lay_idle(pool_, 5, 1);
  pools_.set_greeting(pool_, 1, startup_, {nullptr, {.epoch = 5}});
  EXPECT_TRUE(pools_.greeting(pool_, 1, startup_));
  pools_.epoch_is("ep-a", 1, 6);
  EXPECT_EQ(pools_.status_of(pool_).idle, 0);
  EXPECT_FALSE(pools_.greeting(pool_, 1, startup_));
  lay_idle(pool_, 5, 1);
  EXPECT_EQ(pools_.status_of(pool_).idle, 0) << "used meanwhile, closed at its release";
  pools_.set_greeting(pool_, 1, startup_, {nullptr, {.epoch = 5}});
  EXPECT_FALSE(pools_.greeting(pool_, 1, startup_)) << "looked up before the change";
  lay_idle(pool_, 6, 1);
  pools_.epoch_is("ep-a", 1, 5);
  pools_.epoch_is("ep-a", 2, 7);
  EXPECT_EQ(pools_.status_of(pool_).idle, 1) << "late news, and news of another start";
  EXPECT_EQ(pools_.moment_of("ep-a"), (LoginMoment{1, 6}));
}

TEST_F(PoolsTest, AServerIsGivenOnlyToWhomWasAskedAboutAsOfTheSameMoment) {
  pool_ = pools_.find_or_add(kKey);
  pools_.compute_is("ep-a", address_);
  pools_.epoch_is("ep-a", 1, 6);
  lay_idle(pool_, 6, 1);
  auto is_given = [this](std::optional<LoginMoment> as_of) {
    auto grant = pools_.take_idle(pool_, {1, startup_, 1, here_.get(), as_of});
    if (grant) pools_.give(std::move(grant->server), std::move(grant->slot));
    return grant.has_value();
  };
  EXPECT_TRUE(is_given(LoginMoment{1, 6}));
  EXPECT_FALSE(is_given(LoginMoment{1, 5}));
  EXPECT_FALSE(is_given(LoginMoment{0, 0}));
  EXPECT_TRUE(is_given(std::nullopt)) << "it has just been asked";
}

TEST_F(PoolsTest, IdleServersGiveWayToWhatWaitsForTheirDatabase) {
  pool_ = pools_.find_or_add(kKey);
  PoolPtr other = pools_.find_or_add({"ep-a", "e", "r"});
  keep_ready(1);
  pools_.compute_is("ep-a", address_);
  lay_idle(pool_, 0, 7);
  lay_idle(other, 0, 8);
  pools_.vacate("ep-a", 7);
  EXPECT_EQ(pools_.status_of(pool_).idle, 0);
  EXPECT_EQ(pools_.status_of(other).idle, 1);
  EXPECT_TRUE(pools_.lacking().empty()) << "none is opened again at once";
  lay_idle(pool_, 0, 7);
  EXPECT_EQ(pools_.status_of(pool_).idle, 0) << "it came to rest after that was told";
}

TEST_F(PoolsTest, RoomIsMadeOfIdleServersOfWhatIsFull) {
  pool_ = pools_.find_or_add(kKey);
  PoolPtr other = pools_.find_or_add({"ep-a", "e", "r2"});
  pools_.compute_is("ep-a", address_);
  lay_idle(pool_, 0, 7);
  lay_idle(other, 0, 8);
  EXPECT_FALSE(pools_.make_room("ep-a", {.role = "r3"}));
  EXPECT_TRUE(pools_.make_room("ep-a", {.role = "r2"}));
  EXPECT_EQ(pools_.status_of(other).idle, 0);
  EXPECT_FALSE(pools_.make_room("ep-a", {.database = "e"}));
  EXPECT_TRUE(pools_.make_room("ep-a", {}));
  EXPECT_FALSE(pools_.make_room("ep-a", {}));
}

TEST_F(PoolsTest, ServersAreLackingOnlyWhereTheComputeRuns) {
  PoolPtr pool = pools_.find_or_add(kKey);
  keep_ready(2);
  EXPECT_TRUE(pools_.lacking().empty());
  EXPECT_TRUE(pools_.compute_is("ep-a", address_));
  std::vector<Pools::Lack> lacking = pools_.lacking();
  ASSERT_EQ(lacking.size(), 2u);
  EXPECT_EQ(lacking[0].address.socket_folder, "/a");
  EXPECT_EQ(lacking[0].slot.pool(), pool);
  EXPECT_TRUE(pools_.lacking().empty()) << "they are being opened";
  lacking.pop_back();
  EXPECT_EQ(pools_.lacking().size(), 1u);
}

TEST_F(PoolsTest, WhatCannotBeOpenedIsNotTriedAgainAtOnce) {
  PoolPtr pool = pools_.find_or_add(kKey);
  keep_ready(1);
  pools_.compute_is("ep-a", address_);
  EXPECT_EQ(pools_.lacking().size(), 1u);
  pools_.stays_lacking(pool, false);
  EXPECT_TRUE(pools_.lacking().empty());
  pools_.stays_lacking(pool, true);
  EXPECT_TRUE(pools_.lacking().empty()) << "the compute is gone";
  EXPECT_FALSE(pools_.compute_is("ep-a", address_));
  EXPECT_TRUE(pools_.lacking().empty()) << "that was known";
  address_.start = 2;
  EXPECT_TRUE(pools_.compute_is("ep-a", address_));
  EXPECT_EQ(pools_.lacking().size(), 1u);
}

TEST_F(PoolsTest, NoMoreAreKeptReadyThanTheComputeHasRoomFor) {
  pools_.find_or_add(kKey);
  keep_ready(100);
  pools_.compute_is("ep-a", address_);
  EXPECT_EQ(pools_.lacking().size(), 15u);
}

TEST_F(PoolsTest, ADeletedEndpointIsForgottenOnceNobodyHasAPoolOfIt) {
  PoolPtr pool = pools_.find_or_add(kKey);
  pools_.find_or_add({"ep-b", "d", "r"});
  keep_ready(1);
  pools_.compute_is("ep-a", address_);
  std::vector<Pools::Lack> lacking = pools_.lacking();
  pool.reset();
  pools_.forget("ep-a");
  EXPECT_EQ(pools_.endpoints().size(), 2u) << "a server of it is being opened";
  lacking.clear();
  pools_.forget("ep-a");
  EXPECT_EQ(pools_.endpoints(), std::vector<std::string>{"ep-b"});
  pools_.forget("ep-a");
}

}  // namespace
}  // namespace halogen::proxy
