// Many endpoints: what is wrong with some of them keeps no other from being served.
#include <gtest/gtest.h>

#include <filesystem>
#include <future>

#include "base/file.h"
#include "control/fakes.h"
#include "control/names.h"
#include "control/suspend.h"

namespace halogen::control {
namespace {

using std::chrono::milliseconds;

constexpr int kStuck = 40;  // More than work at a time.

class CrowdTest : public testing::Test {
 protected:
  CrowdTest() {
    std::string folder = fs::temp_directory_path() / "halogen-crowd-XXXXXX";
    folder_ = ::mkdtemp(folder.data());
    catalog_ = std::make_unique<Catalog>(folder_ / "catalog.db");
    for (int i = 0; i < kStuck; ++i) stuck_.push_back(add_project());
    well_ = add_project();
    manager_ = std::make_unique<EndpointManager>(EndpointManager::Options{
        .catalog = *catalog_, .host = host_, .jobs = {.patience = milliseconds(20)}});
    manager_->start();
  }
  ~CrowdTest() override {
    host_.start_gate = host_.suspend_gate = false;
    for (const std::string& endpoint : stuck_) host_.set_stuck(endpoint, false);
    manager_.reset();
    catalog_.reset();
    fs::remove_all(folder_);
  }

  std::string add_project() {
    Project project;
    project.id = new_project_id();
    project.tenant = TenantId::random();
    NewBranch added;
    added.branch.id = new_branch_id();
    added.branch.project_id = project.id;
    added.branch.timeline = TimelineId::random();
    added.branch.name = "main";
    added.endpoint.id = new_endpoint_id();
    added.endpoint.project_id = project.id;
    added.endpoint.branch_id = added.branch.id;
    added.contents.roles = {true, {{"neondb_owner", "SCRAM-SHA-256$first", true}}};
    catalog_->add_project(project, added, {});
    return added.endpoint.id;
  }
  std::future<Outcome<ComputeAddress>> wake(const std::string& endpoint) {
    auto promise = std::make_shared<std::promise<Outcome<ComputeAddress>>>();
    manager_->wake(endpoint, [promise](Outcome<ComputeAddress> got) { promise->set_value(got); });
    return promise->get_future();
  }
  std::future<Outcome<RoleSecret>> log_in(const std::string& endpoint) {
    auto promise = std::make_shared<std::promise<Outcome<RoleSecret>>>();
    manager_->role_secret(endpoint, "neondb_owner",
                          [promise](Outcome<RoleSecret> got) { promise->set_value(got); });
    return promise->get_future();
  }
  template <typename T>
  static bool is_soon(std::future<Outcome<T>> answer) {
    return answer.wait_for(milliseconds(5000)) == std::future_status::ready &&
           answer.get().value.has_value();
  }

  fs::path folder_;
  FakeHost host_;
  std::unique_ptr<Catalog> catalog_;
  std::vector<std::string> stuck_;
  std::string well_;
  std::unique_ptr<EndpointManager> manager_;
};

TEST_F(CrowdTest, StuckComputesStopNoOtherLogin) {
  for (const std::string& endpoint : stuck_) {
    ASSERT_TRUE(is_soon(wake(endpoint)));
    host_.set_stuck(endpoint, true);
  }
  ASSERT_TRUE(is_soon(wake(well_)));
  std::vector<std::future<Outcome<RoleSecret>>> waiting;
  for (const std::string& endpoint : stuck_) waiting.push_back(log_in(endpoint));
  EXPECT_TRUE(is_soon(log_in(well_)));
  EXPECT_EQ(waiting[0].wait_for(milliseconds(0)), std::future_status::timeout);
}

TEST_F(CrowdTest, StartsThatHangStopNoLoginAndNoOtherStart) {
  ASSERT_TRUE(is_soon(wake(well_)));
  host_.start_gate = true;
  std::vector<std::future<Outcome<ComputeAddress>>> waiting;
  for (const std::string& endpoint : stuck_) waiting.push_back(wake(endpoint));
  EXPECT_TRUE(is_soon(log_in(well_)));
  Deadline deadline = Deadline::after(milliseconds(5000));
  while (host_.starts <= kStuck && !deadline.passed()) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(host_.starts, kStuck + 1) << "all have begun";
}

TEST_F(CrowdTest, SuspendsThatHangStopNoStartAndNoLogin) {
  for (const std::string& endpoint : stuck_) ASSERT_TRUE(is_soon(wake(endpoint)));
  host_.suspend_gate = true;
  for (const std::string& endpoint : stuck_) manager_->begin_suspend(endpoint);
  EXPECT_TRUE(is_soon(wake(well_)));
  EXPECT_TRUE(is_soon(log_in(well_)));
}

// Uses begin at the very moments at which a suspend is due: it never takes a compute that is used.
TEST_F(CrowdTest, NoComputeIsSuspendedWhileItIsInUse) {
  Endpoint impatient = catalog_->endpoint(well_);
  impatient.idle_timeout = 1;
  manager_->update(impatient);
  std::atomic<int> used_while_gone = 0;
  const auto began = steady_clock::now();
  std::vector<std::thread> clients;
  for (int client = 0; client < 4; ++client)
    clients.emplace_back([&, client] {
      for (int second = 0; second < 5; ++second) {
        if (!manager_->use_began(well_)) wake(well_).get();
        if (!host_.running(well_)) ++used_while_gone;
        manager_->use_ended(well_);
        std::this_thread::sleep_until(began + std::chrono::seconds(second + 1) +
                                      std::chrono::microseconds(100 * client));
      }
    });
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(used_while_gone, 0);
}

}  // namespace
}  // namespace halogen::control
