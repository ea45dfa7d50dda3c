#include "control/suspend.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <future>

#include "base/error.h"
#include "base/file.h"
#include "control/fakes.h"
#include "control/names.h"

namespace halogen::control {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::seconds kPatience{20};

class EndpointManagerTest : public testing::Test {
 protected:
  EndpointManagerTest() {
    std::string folder = fs::temp_directory_path() / "halogen-suspend-XXXXXX";
    folder_ = ::mkdtemp(folder.data());
    catalog_ = std::make_unique<Catalog>(folder_ / "catalog.db");
    add_project();
    start();
  }
  ~EndpointManagerTest() override {
    host_.start_gate = host_.suspend_gate = false;
    manager_.reset();
    catalog_.reset();
    fs::remove_all(folder_);
  }

  void start(std::chrono::seconds vacuum_rest = std::chrono::hours(1)) {
    manager_ = std::make_unique<EndpointManager>(
        EndpointManager::Options{.catalog = *catalog_, .host = host_, .vacuum_rest = vacuum_rest});
    manager_->start();
  }

  void start_for_jobs(std::chrono::seconds rest) {
    manager_ = std::make_unique<EndpointManager>(
        EndpointManager::Options{.catalog = *catalog_,
                                 .host = host_,
                                 .job_lead = std::chrono::seconds(0),
                                 .job_rest = rest});
    manager_->start();
  }

  void add_project() {
    Project project;
    project.id = new_project_id();
    project.tenant = TenantId::random();
    NewBranch& added = branch_;
    added.branch.id = new_branch_id();
    added.branch.project_id = project.id;
    added.branch.timeline = TimelineId::random();
    added.branch.name = "main";
    added.endpoint.id = ep_ = new_endpoint_id();
    added.endpoint.project_id = project.id;
    added.endpoint.branch_id = added.branch.id;
    added.contents.roles = {true, {{"neondb_owner", "SCRAM-SHA-256$first", true}}};
    added.contents.pending = {{0, "postgres", "ALTER ROLE neondb_owner PASSWORD 'x'"}};
    catalog_->add_project(project, added, {});
  }

  std::future<Outcome<ComputeAddress>> wake() {
    auto promise = std::make_shared<std::promise<Outcome<ComputeAddress>>>();
    manager_->wake(ep_, [promise](Outcome<ComputeAddress> got) { promise->set_value(got); });
    return promise->get_future();
  }
  Outcome<ComputeAddress> wake_now() { return wake().get(); }
  std::future<Outcome<RoleSecret>> ask(const std::string& role) {
    auto promise = std::make_shared<std::promise<Outcome<RoleSecret>>>();
    manager_->role_secret(ep_, role,
                          [promise](Outcome<RoleSecret> got) { promise->set_value(got); });
    return promise->get_future();
  }
  void set_idle_timeout(int64_t seconds) {
    Endpoint changed = catalog_->known(ep_).endpoint;
    changed.idle_timeout = seconds;
    manager_->update(changed);
  }
  bool reaches(ComputeState state, milliseconds within = milliseconds(3000)) {
    Deadline deadline = Deadline::after(within);
    while (manager_->state(ep_) != state) {
      if (deadline.passed()) return false;
      std::this_thread::sleep_for(milliseconds(2));
    }
    return true;
  }
  bool finishes(const Operation& operation, const std::string& status) {
    Deadline deadline = Deadline::after(milliseconds(3000));
    while (!catalog_->operation(operation.id).over() && !deadline.passed())
      std::this_thread::sleep_for(milliseconds(2));
    return catalog_->operation(operation.id).status == status;
  }

  fs::path folder_;
  FakeHost host_;
  NewBranch branch_;
  std::string ep_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<EndpointManager> manager_;
};

TEST_F(EndpointManagerTest, ManyCallersShareOneStart) {
  host_.start_gate = true;
  std::vector<std::future<Outcome<ComputeAddress>>> waiting;
  for (int i = 0; i < 50; ++i) waiting.push_back(wake());
  EXPECT_TRUE(reaches(ComputeState::starting));
  host_.start_gate = false;
  for (auto& one : waiting) EXPECT_EQ(one.get().value->socket_folder, "/sockets/" + ep_);
  EXPECT_EQ(host_.starts, 1);
  EXPECT_TRUE(wake_now().value);
  EXPECT_EQ(host_.starts, 1);
}

TEST_F(EndpointManagerTest, AFailedStartFailsAllThatWaitAndTheNextStartsAnew) {
  host_.fail_starts = 1;
  host_.start_gate = true;
  auto first = wake();
  auto second = wake();
  host_.start_gate = false;
  EXPECT_EQ(first.get().error->code(), Errc::unavailable);
  EXPECT_TRUE(second.get().error);
  EXPECT_TRUE(reaches(ComputeState::idle));
  EXPECT_TRUE(wake_now().value);
}

// A client would be told that its password is wrong.
TEST_F(EndpointManagerTest, ARoleThatCannotBeAskedForIsNotOneThatDoesNotExist) {
  wake_now();
  host_.crash(ep_);  // What its roles are now, only a compute can tell.
  EXPECT_TRUE(reaches(ComputeState::idle));
  // Its timeline is missing; its WAL is another cluster's, which is nothing to tell a stranger.
  for (Errc code : {Errc::not_found, Errc::conflict}) {
    host_.fail_starts = 1;
    host_.start_error = code;
    EXPECT_EQ(ask("alice").get().error->code(), Errc::unavailable);
  }
}

TEST_F(EndpointManagerTest, PendingSqlIsAppliedOnceBeforeTheFirstConnection) {
  wake_now();
  ASSERT_EQ(host_.executed().size(), 1u);
  EXPECT_TRUE(finishes(manager_->begin_suspend(ep_), "finished"));
  wake_now();
  EXPECT_EQ(host_.executed().size(), 1u);
}

TEST_F(EndpointManagerTest, AnEndpointWithoutUsesIsSuspendedAfterItsTimeout) {
  set_idle_timeout(1);
  manager_->use_began(ep_);
  wake_now();
  std::this_thread::sleep_for(milliseconds(1200));
  EXPECT_EQ(manager_->state(ep_), ComputeState::active) << "it is in use";
  manager_->use_ended(ep_);
  std::this_thread::sleep_for(milliseconds(500));
  EXPECT_EQ(manager_->state(ep_), ComputeState::active) << "not yet";
  EXPECT_TRUE(reaches(ComputeState::idle));
  EXPECT_EQ(host_.suspends, 1);
}

TEST_F(EndpointManagerTest, MinusOneNeverSuspends) {
  set_idle_timeout(-1);
  wake_now();
  std::this_thread::sleep_for(milliseconds(300));
  EXPECT_EQ(manager_->state(ep_), ComputeState::active);
}

TEST_F(EndpointManagerTest, AConnectionWhileSuspendingWaitsAndWakesAgain) {
  wake_now();
  host_.suspend_gate = true;
  manager_->begin_suspend(ep_);
  EXPECT_TRUE(reaches(ComputeState::suspending));
  auto late = wake();
  auto question = ask("neondb_owner");
  EXPECT_EQ(late.wait_for(milliseconds(50)), std::future_status::timeout);
  host_.suspend_gate = false;
  EXPECT_TRUE(late.get().value);
  EXPECT_TRUE(question.get().value);
  EXPECT_EQ(host_.starts, 2);
}

TEST_F(EndpointManagerTest, ARestartIsASuspendAndAStart) {
  wake_now();
  Operation suspend = manager_->begin_suspend(ep_);
  Operation start = manager_->begin_start(ep_);
  EXPECT_TRUE(finishes(suspend, "finished"));
  EXPECT_TRUE(finishes(start, "finished"));
  EXPECT_EQ(host_.starts, 2);
}

// By who is let in while the job of the start before has yet to end.
TEST_F(EndpointManagerTest, ARestartByTheFirstClientIsASuspendAndAStart) {
  std::promise<std::pair<Operation, Operation>> asked;
  manager_->wake(ep_, [&](const Outcome<ComputeAddress>&) {
    const Operation suspend = manager_->begin_suspend(ep_);
    asked.set_value({suspend, manager_->begin_start(ep_)});
  });
  const auto [suspend, start] = asked.get_future().get();
  EXPECT_TRUE(finishes(suspend, "finished"));
  EXPECT_TRUE(finishes(start, "finished"));
  EXPECT_EQ(host_.starts, 2);
}

// By who uses it while a suspend for want of uses waits for its turn.
TEST_F(EndpointManagerTest, AStartAfterASuspendThatIsNotToBeIsOverToo) {
  std::promise<Operation> asked;
  manager_->wake(ep_, [&](const Outcome<ComputeAddress>&) {
    set_idle_timeout(1);  // The job that lets us in has yet to end.
    std::this_thread::sleep_for(milliseconds(1200));
    asked.set_value(manager_->begin_start(ep_));
    manager_->use_began(ep_);
  });
  EXPECT_TRUE(finishes(asked.get_future().get(), "skipped"));
  EXPECT_EQ(manager_->state(ep_), ComputeState::active);
  manager_->use_ended(ep_);
}

TEST_F(EndpointManagerTest, AStartAfterASuspendThatFailsIsOverToo) {
  wake_now();
  host_.suspend_gate = true;
  host_.fail_suspends = 1;
  Operation suspend = manager_->begin_suspend(ep_);
  Operation start = manager_->begin_start(ep_);
  host_.suspend_gate = false;
  EXPECT_TRUE(finishes(suspend, "failed"));
  EXPECT_TRUE(finishes(start, "skipped"));
}

TEST_F(EndpointManagerTest, WorkThatNeedsARunningComputeWakesIt) {
  bool ran = false;
  manager_->while_running(ep_, [&] { ran = host_.running(ep_); });
  EXPECT_TRUE(ran);
  EXPECT_THROW(manager_->while_running(ep_, [] { throw Error(Errc::conflict, "no"); }), Error);
  host_.fail_starts = 1;
  EXPECT_TRUE(finishes(manager_->begin_suspend(ep_), "finished"));
  EXPECT_THROW(manager_->while_running(ep_, [] {}), Error);
}

TEST_F(EndpointManagerTest, AnIdleSuspendThatMeetsClientsLeavesTheComputeRunning) {
  host_.clients = true;
  set_idle_timeout(1);
  wake_now();
  Deadline deadline = Deadline::after(milliseconds(10'000));
  while (host_.suspends == 0 && !deadline.passed()) std::this_thread::sleep_for(milliseconds(2));
  EXPECT_GE(host_.suspends, 1);
  EXPECT_TRUE(reaches(ComputeState::active));
  EXPECT_TRUE(host_.running(ep_));
}

TEST_F(EndpointManagerTest, OneThatWasSuspendedAheadOfAutovacuumIsWokenForItAlsoAfterARestart) {
  host_.vacuum_due = true;
  wake_now();
  EXPECT_TRUE(finishes(manager_->begin_suspend(ep_), "finished"));
  EXPECT_TRUE(reaches(ComputeState::idle));
  manager_.reset();
  start(std::chrono::seconds(0));
  EXPECT_TRUE(reaches(ComputeState::active));
  EXPECT_EQ(host_.starts, 2);
  host_.vacuum_due = false;
  EXPECT_TRUE(finishes(manager_->begin_suspend(ep_), "finished"));
  EXPECT_FALSE(catalog_->endpoint(ep_).vacuum_due);
}

TEST_F(EndpointManagerTest, WhatKeepsAComputeAwakeIsTold) {
  EXPECT_EQ(manager_->keeps_awake(ep_), "");
  set_idle_timeout(1);
  manager_->use_began(ep_);
  wake_now();
  EXPECT_EQ(manager_->keeps_awake(ep_), "sessions at work: 1");
  host_.clients = true;
  manager_->use_ended(ep_);
  Deadline deadline = Deadline::after(milliseconds(10'000));
  while (manager_->keeps_awake(ep_).empty() && !deadline.passed())
    std::this_thread::sleep_for(milliseconds(2));
  EXPECT_EQ(manager_->keeps_awake(ep_), "clients are connected");
  set_idle_timeout(-1);
  EXPECT_EQ(manager_->keeps_awake(ep_), "suspending is off");
}

TEST_F(EndpointManagerTest, ACrashedComputeIsWokenAgain) {
  wake_now();
  host_.crash(ep_);
  EXPECT_TRUE(reaches(ComputeState::idle));
  EXPECT_TRUE(wake_now().value);
  EXPECT_EQ(host_.starts, 2);
}

TEST_F(EndpointManagerTest, AWakeNoticesADeathThatNobodyReportedYet) {
  wake_now();
  host_.crash(ep_, false);
  EXPECT_TRUE(wake_now().value);
  EXPECT_EQ(host_.starts, 2);
}

TEST_F(EndpointManagerTest, RolesOfASuspendedEndpointComeFromTheCatalogWithoutAStart) {
  EXPECT_EQ(ask("neondb_owner").get().value->verifier, "SCRAM-SHA-256$first");
  EXPECT_EQ(ask("nobody").get().error->code(), Errc::not_found);
  EXPECT_EQ(host_.starts, 0);
}

TEST_F(EndpointManagerTest, ARunningComputeIsAskedSoThatAChangedPasswordCountsAtOnce) {
  wake_now();
  EXPECT_EQ(ask("neondb_owner").get().value->verifier, "SCRAM-SHA-256$fake");
  host_.set_roles({{"neondb_owner", "SCRAM-SHA-256$new", true}, {"bob", "SCRAM-SHA-256$b", true}});
  EXPECT_EQ(ask("neondb_owner").get().value->verifier, "SCRAM-SHA-256$new");
  EXPECT_TRUE(finishes(manager_->begin_suspend(ep_), "finished"));
  int reads = host_.role_reads;
  EXPECT_EQ(ask("bob").get().value->verifier, "SCRAM-SHA-256$b");
  EXPECT_EQ(host_.role_reads, reads) << "the suspend brought them";
}

TEST_F(EndpointManagerTest, WhatIsKnownOfARunningComputesRolesIsAnsweredAtOnceAndOnlyThat) {
  host_.set_roles({{"carol", "SCRAM-SHA-256$c", true}});
  wake_now();
  host_.knows_roles = true;
  int reads = host_.role_reads;
  auto answer = ask("carol");
  ASSERT_EQ(answer.wait_for(milliseconds(0)), std::future_status::ready);
  EXPECT_EQ(answer.get().value->start, wake_now().value->start);
  EXPECT_EQ(ask("nobody").get().error->code(), Errc::not_found);
  EXPECT_EQ(host_.role_reads, reads);
  host_.knows_roles = false;
  EXPECT_EQ(ask("carol").get().value->verifier, "SCRAM-SHA-256$c");
  EXPECT_EQ(host_.role_reads, reads + 1);
  host_.knows_roles = true;
  host_.crash(ep_);
  EXPECT_TRUE(reaches(ComputeState::idle));
  EXPECT_TRUE(ask("carol").get().value);
  EXPECT_EQ(host_.starts, 2) << "of one that has ended nothing is known";
}

TEST_F(EndpointManagerTest, AfterACrashAQuestionAboutRolesWakesTheCompute) {
  wake_now();
  host_.crash(ep_);
  EXPECT_TRUE(reaches(ComputeState::idle));
  host_.set_roles({{"carol", "SCRAM-SHA-256$c", true}});
  EXPECT_EQ(ask("carol").get().value->verifier, "SCRAM-SHA-256$c");
  EXPECT_EQ(host_.starts, 2);
}

TEST_F(EndpointManagerTest, RolesWithoutAPasswordAreNotFoundAndThoseWithoutLoginSaySo) {
  host_.set_roles({{"group", "SCRAM-SHA-256$g", false}, {"trusting", "", true}});
  wake_now();
  EXPECT_FALSE(ask("group").get().value->can_login);
  EXPECT_EQ(ask("trusting").get().error->code(), Errc::not_found);
}

TEST_F(EndpointManagerTest, TheCatalogsCopyKnowsUntilWhenAPasswordIsGood) {
  host_.set_roles({{"guest", "SCRAM-SHA-256$g", true, 16'400, 1'000'000}});
  wake_now();
  EXPECT_GT(ask("guest").get().value->epoch, 0u);
  EXPECT_TRUE(finishes(manager_->begin_suspend(ep_), "finished"));
  RoleSecret guest = ask("guest").get().value.value();
  EXPECT_EQ(guest.oid, 16'400u);
  EXPECT_EQ(guest.valid_until->time_since_epoch(), std::chrono::seconds(1));
  EXPECT_EQ(guest.epoch, 0u) << "no compute was asked";
}

TEST_F(EndpointManagerTest, OperationsTellWhatCameOfAStartAndASuspend) {
  Operation start = manager_->begin_start(ep_);
  EXPECT_TRUE(finishes(start, "finished"));
  EXPECT_TRUE(finishes(manager_->begin_start(ep_), "skipped"));
  EXPECT_TRUE(finishes(manager_->begin_suspend(ep_), "finished"));
  EXPECT_TRUE(finishes(manager_->begin_suspend(ep_), "skipped"));
  host_.fail_starts = 1;
  EXPECT_TRUE(finishes(manager_->begin_start(ep_), "failed"));
}

TEST_F(EndpointManagerTest, WorkThatNeedsASuspendedComputeIsDoneBeforeTheNextStart) {
  wake_now();
  host_.clients = true;
  EXPECT_TRUE(manager_->while_suspended(ep_, [&] {
    EXPECT_FALSE(host_.running(ep_));
    auto woken = wake();
    EXPECT_EQ(woken.wait_for(milliseconds(20)), std::future_status::timeout);
    EXPECT_EQ(host_.starts, 1);
  }));
  EXPECT_TRUE(wake_now().value) << "who waited is served";
  EXPECT_EQ(host_.starts, 2);
  manager_->begin_suspend(ep_);
  EXPECT_FALSE(manager_->while_suspended(ep_, [] {})) << "it was not running";
  EXPECT_EQ(host_.starts, 2);
  EXPECT_THROW(
      manager_->while_suspended(ep_, [] { throw Error(Errc::already_exists, "the name"); }), Error);
  EXPECT_TRUE(wake_now().value);
}

TEST_F(EndpointManagerTest, ASuspendedComputeIsWokenForItsNextJob) {
  start_for_jobs(std::chrono::seconds(0));
  wake_now();
  host_.next_job = now_micros() + 300'000;
  manager_->begin_suspend(ep_);
  const Deadline deadline = Deadline::after(kPatience);
  while (host_.starts < 2 && !deadline.passed()) std::this_thread::sleep_for(milliseconds(2));
  EXPECT_EQ(host_.starts, 2);
  host_.next_job = 0;
  manager_->begin_suspend(ep_);
  EXPECT_TRUE(reaches(ComputeState::idle, kPatience));
  EXPECT_EQ(manager_->next_job(ep_), std::nullopt);
}

TEST_F(EndpointManagerTest, JobsAreKnownAfterARestartAndNoReasonToWakeADisabledOne) {
  start_for_jobs(std::chrono::seconds(0));
  wake_now();
  host_.next_job = now_micros() + 3'600'000'000;
  manager_->begin_suspend(ep_);
  EXPECT_TRUE(reaches(ComputeState::idle, kPatience));
  start_for_jobs(std::chrono::seconds(0));
  EXPECT_EQ(manager_->next_job(ep_), host_.next_job);
  wake_now();
  host_.next_job = now_micros() - 1;
  Endpoint disabled = catalog_->endpoint(ep_);
  disabled.disabled = true;
  manager_->update(disabled);
  manager_->begin_suspend(ep_);
  EXPECT_TRUE(reaches(ComputeState::idle, kPatience));
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_EQ(host_.starts, 2);
}

TEST_F(EndpointManagerTest, JobsThatAreAlwaysDueWakeItOnlySoOften) {
  start_for_jobs(std::chrono::seconds(3600));
  wake_now();
  host_.next_job = now_micros() - 1;
  manager_->begin_suspend(ep_);
  EXPECT_TRUE(reaches(ComputeState::active, kPatience)) << "at once";
  manager_->begin_suspend(ep_);
  EXPECT_TRUE(reaches(ComputeState::idle, kPatience));
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_EQ(host_.starts, 2);
}

// What is written in the catalog's database stays unwritten as long as another has its lock.
TEST_F(EndpointManagerTest, WakesAndSuspendsDoNotWaitForTheCatalog) {
  wake_now();  // The first start of a branch has something to apply.
  manager_->begin_suspend(ep_);
  EXPECT_TRUE(reaches(ComputeState::idle, kPatience));
  Database other(folder_ / "catalog.db");
  auto locked = std::make_unique<Transaction>(other);
  for (int round = 0; round < 2; ++round) {
    EXPECT_TRUE(ask("neondb_owner").get().value) << "from memory";
    EXPECT_TRUE(wake_now().value);
    set_idle_timeout(1);
    for (const Deadline deadline = Deadline::after(kPatience); host_.running(ep_);) {
      std::this_thread::sleep_for(milliseconds(5));
      ASSERT_FALSE(deadline.passed());
    }
  }
  EXPECT_EQ(host_.starts, 3);
  EXPECT_EQ(manager_->state(ep_), ComputeState::suspending) << "the catalog has not heard of it";
  locked.reset();
  EXPECT_TRUE(reaches(ComputeState::idle, kPatience));
  EXPECT_TRUE(catalog_->endpoint(ep_).started_at < catalog_->endpoint(ep_).suspended_at);
}

TEST_F(EndpointManagerTest, ARetiredEndpointIsGoneAndItsComputeDestroyed) {
  wake_now();
  manager_->retire(ep_);
  EXPECT_FALSE(manager_->exists(ep_));
  EXPECT_TRUE(host_.destroyed(ep_));
  EXPECT_EQ(wake_now().error->code(), Errc::not_found);
}

TEST_F(EndpointManagerTest, StoppingSuspendsWhatRunsAndRefusesTheRest) {
  wake_now();
  manager_->stop();
  EXPECT_FALSE(host_.running(ep_));
  EXPECT_TRUE(catalog_->roles(branch_.branch.id).exact);
}

}  // namespace
}  // namespace halogen::control
