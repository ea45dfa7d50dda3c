// The lives of projects, branches and endpoints over the API: what is protected, what expires, what
// comes back, what takes long.
#include <future>

#include "control/api/api_fixture.h"
#include "control/timestamp.h"

namespace halogen::control::api {
namespace {

class LivesTest : public ApiTest {
 protected:
  LivesTest() {
    json made = make_project();
    id_ = made["project"]["id"];
    project_ = "/projects/" + id_;
    main_ = made["branch"]["id"];
    endpoint_ = made["endpoints"][0]["id"];
  }
  json make_branch(const json& branch, int status = 201, bool with_endpoint = false) {
    json body = {{"branch", branch}};
    if (with_endpoint) body["endpoints"] = {{{"type", "read_write"}}};
    return post(project_ + "/branches", body, status);
  }
  std::string branch(const std::string& id) { return project_ + "/branches/" + id; }
  json wait_for(const json& operation) {
    const std::string path =
        "/api/v2" + project_ + "/operations/" + operation["id"].get<std::string>();
    for (int i = 0; i < 500; ++i) {
      json now = get(path)["operation"];
      if (now["status"] != "running" && now["status"] != "scheduling") return now;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ADD_FAILURE() << "the operation never ends";
    return {};
  }
  // What a client that connects now is told; empty: it is let in.
  std::string refusal() {
    std::promise<std::string> told;
    manager_->role_secret(endpoint_, "neondb_owner", [&](Outcome<RoleSecret> outcome) {
      told.set_value(outcome.error ? outcome.error->what() : "");
    });
    return told.get_future().get();
  }

  std::string id_, project_, main_, endpoint_;
};

TEST_F(LivesTest, ADeletedProjectIsGoneForClientsAndComesBackAsItWas) {
  EXPECT_EQ(drop(project_)["project"]["id"], id_);
  get("/api/v2" + project_, 404);
  get("/api/v2" + branch(main_), 404);
  drop(project_, 404);
  EXPECT_EQ(get("/api/v2/projects")["projects"], json::array());
  json deleted = get("/api/v2/projects?recoverable=true")["projects"];
  ASSERT_EQ(deleted.size(), 1u);
  EXPECT_TRUE(deleted[0].contains("recoverable_until"));
  EXPECT_EQ(refusal(), "the project is deleted");
  projects_->finish_interrupted();  // As at a start.
  projects_->restore_access();
  EXPECT_EQ(refusal(), "the project is deleted");
  json back = post(project_ + "/recover", json::object(), 200);
  EXPECT_EQ(back["branches"].size(), 1u);
  EXPECT_EQ(refusal(), "");
  EXPECT_EQ(get("/api/v2" + project_)["project"]["name"], "shop");
  post(project_ + "/recover", json::object(), 422);
}

TEST_F(LivesTest, AProjectThatCannotBeRecoveredAnyMoreGoesForGood) {
  Projects strict(
      {*catalog_, *manager_, host_, pageserver_, safekeeper_, "x", 5432, std::chrono::seconds(1)});
  strict.remove(id_);
  strict.remove_expired();
  EXPECT_EQ(catalog_->projects().size(), 1u) << "its time has not come";
  catalog_->set_project_deleted(id_, now_micros() - 2'000'000);
  strict.remove_expired();
  EXPECT_TRUE(catalog_->projects().empty());
  EXPECT_EQ(safekeeper_.count(), 0u);
}

TEST_F(LivesTest, AProtectedBranchIsNotDeletedRestoredOrExpired) {
  const std::string dev = make_branch({{"name", "dev"}, {"protected", true}})["branch"]["id"];
  EXPECT_EQ(drop(branch(dev), 422)["message"], "cannot delete a protected branch");
  post(branch(dev) + "/restore", {{"source_branch_id", main_}}, 422);
  patch(branch(dev), {{"branch", {{"expires_at", "2099-01-01T00:00:00Z"}}}}, 422);
  patch(branch(dev), {{"branch", {{"protected", false}}}});
  drop(branch(dev));
}

TEST_F(LivesTest, ABranchExpires) {
  make_branch({{"expires_at", "2020-01-01T00:00:00Z"}}, 400);
  const Micros soon = now_micros() + 100'000;
  const std::string dev = make_branch({{"expires_at", timestamp(soon)}})["branch"]["id"];
  const std::string kept = make_branch({{"expires_at", timestamp(soon)}})["branch"]["id"];
  EXPECT_FALSE(patch(branch(kept), {{"branch", {{"expires_at", nullptr}}}})["branch"].contains(
      "expires_at"));
  post(branch(dev) + "/set_as_default", json::object(), 422);
  projects_->branches().remove_expired();
  get("/api/v2" + branch(dev));
  while (now_micros() < soon) std::this_thread::yield();
  projects_->branches().remove_expired();
  get("/api/v2" + branch(dev), 404);
  get("/api/v2" + branch(kept));
  EXPECT_EQ(safekeeper_.count(), 2u);
}

TEST_F(LivesTest, AnEndpointThatWasNotAskedForIsNotThere) {
  json made = make_branch({{"name", "dev"}});
  const std::string dev = made["branch"]["id"];
  const std::string hidden = catalog_->endpoint_of_branch(dev).id;
  EXPECT_FALSE(manager_->exists(hidden));
  EXPECT_EQ(manager_->endpoint_of_branch(dev), std::nullopt);
  get("/api/v2" + project_ + "/endpoints/" + hidden, 404);
  get("/api/v2" + project_ + "/connection_uri?branch_id=" + dev, 404);
  EXPECT_EQ(get("/api/v2" + branch(dev) + "/roles")["roles"].size(), 1u) << "the platform has it";
  json wish = {{"endpoint", {{"branch_id", dev}, {"type", "read_write"}, {"name", "mine"}}}};
  json endpoint = post(project_ + "/endpoints", wish, 201)["endpoint"];
  EXPECT_EQ(endpoint["name"], "mine");
  EXPECT_EQ(post(project_ + "/endpoints", wish, 409)["message"],
            "read_write endpoint already exists");
  const std::string path = project_ + "/endpoints/" + endpoint["id"].get<std::string>();
  EXPECT_TRUE(manager_->exists(endpoint["id"]));
  drop(path);
  drop(path, 204);
  EXPECT_FALSE(manager_->exists(endpoint["id"]));
  EXPECT_TRUE(host_.destroyed(endpoint["id"]));
  EXPECT_NE(post(project_ + "/endpoints", wish, 201)["endpoint"]["id"], endpoint["id"])
      << "a deleted endpoint's name does not come back";
}

TEST_F(LivesTest, ADisabledEndpointLetsNobodyIn) {
  manager_->begin_start(endpoint_);
  const std::string path = project_ + "/endpoints/" + endpoint_;
  json disabled = patch(path, {{"endpoint", {{"disabled", true}}}});
  EXPECT_EQ(disabled["endpoint"]["disabled"], true);
  EXPECT_EQ(wait_for(disabled["operations"][0])["status"], "finished");
  EXPECT_FALSE(host_.running(endpoint_));
  EXPECT_EQ(refusal(), "the endpoint is disabled");
  post(path + "/start", json::object(), 422);
  patch(path, {{"endpoint", {{"disabled", false}}}});
  EXPECT_EQ(refusal(), "");
}

TEST_F(LivesTest, ReadersHaveTimelinesOfTheirOwnFromEachStartOn) {
  json wish = {{"endpoint", {{"branch_id", main_}, {"type", "read_only"}}}};
  const std::string reader = post(project_ + "/endpoints", wish, 201)["endpoint"]["id"];
  post(project_ + "/endpoints", wish, 201);
  EXPECT_EQ(safekeeper_.count(), 1u);
  const std::string path = project_ + "/endpoints/" + reader;
  wait_for(post(path + "/start", json::object(), 200)["operations"][0]);
  EXPECT_EQ(host_.settings().at("halogen.read_only"), "on");
  EXPECT_EQ(safekeeper_.count(), 2u);
  projects_->finish_interrupted();  // Sweeps: but not what a reader has.
  EXPECT_EQ(safekeeper_.count(), 2u);
  EXPECT_TRUE(catalog_->roles(main_).exact) << "a reader changes nothing";
  json restarted = post(path + "/restart", json::object(), 200)["operations"];
  wait_for(restarted[1]);
  projects_->finish_interrupted();
  EXPECT_EQ(safekeeper_.count(), 2u) << "the one that it had has gone";
  drop(path);
  EXPECT_EQ(safekeeper_.count(), 1u);
  EXPECT_EQ(get("/api/v2" + project_ + "/endpoints")["endpoints"].size(), 2u);
}

TEST_F(LivesTest, WhatTakesLongGoesOnInTheBackgroundAndLocksTheProject) {
  const std::string dev = make_branch({{"name", "dev"}}, 201, true)["branch"]["id"];
  const std::string endpoint = catalog_->endpoint_of_branch(dev).id;
  manager_->begin_start(endpoint);
  manager_->exclusively(endpoint, [](bool) {});
  host_.suspend_gate = true;
  json deleted = drop(branch(dev));
  EXPECT_EQ(deleted["operations"][0]["status"], "running");
  json locked = make_branch({{"name", "other"}}, 423);
  EXPECT_EQ(locked["message"],
            "project already has running conflicting operations, scheduling of new ones is "
            "prohibited");
  EXPECT_EQ(get("/api/v2" + project_ + "/branches")["branches"].size(), 1u) << "no side effect";
  patch(project_, {{"project", {{"name", "renamed"}}}});  // Does not wait.
  host_.suspend_gate = false;
  EXPECT_EQ(wait_for(deleted["operations"][0])["status"], "finished");
  make_branch({{"name", "other"}});
}

TEST_F(LivesTest, AProjectThatTakesLongIsToldAtOnceAndItsClientsWait) {
  pageserver_.create_gate = true;
  json made = post("/projects", {{"project", {{"name", "slow"}}}}, 201);
  EXPECT_EQ(made["operations"][0]["status"], "running");
  EXPECT_EQ(made["branch"]["current_state"], "init");
  EXPECT_EQ(made["branch"]["pending_state"], "ready");
  EXPECT_EQ(made["endpoints"][0]["current_state"], "init");
  EXPECT_EQ(made["connection_uris"].size(), 1u);
  EXPECT_EQ(made["roles"][0]["name"], "neondb_owner");
  EXPECT_EQ(get("/api/v2/projects?search=slow")["projects"].size(), 1u);
  project_ = "/projects/" + made["project"]["id"].get<std::string>();
  endpoint_ = made["endpoints"][0]["id"];
  auto client = std::async(std::launch::async, [&] { return refusal(); });
  std::promise<std::string> woken;
  manager_->wake(endpoint_, [&](const Outcome<ComputeAddress>& outcome) {
    woken.set_value(outcome.error ? outcome.error->what() : "");
  });
  drop(project_, 423);
  pageserver_.create_gate = false;
  EXPECT_EQ(client.get(), "");
  EXPECT_EQ(woken.get_future().get(), "");
  EXPECT_EQ(wait_for(made["operations"][0])["status"], "finished");
  const std::string branch_path = branch(made["branch"]["id"]);
  EXPECT_EQ(get("/api/v2" + branch_path)["branch"]["current_state"], "ready");
  drop(project_);
}

TEST_F(LivesTest, ARestoreThatTakesLongIsToldAtOnce) {
  const std::string dev = make_branch({{"name", "dev"}}, 201, true)["branch"]["id"];
  const std::string endpoint = catalog_->endpoint_of_branch(dev).id;
  manager_->begin_start(endpoint);
  manager_->exclusively(endpoint, [](bool) {});
  host_.suspend_gate = true;
  const json wish = {{"source_branch_id", main_}, {"preserve_under_name", "before"}};
  json restored = post(branch(dev) + "/restore", wish, 200);
  EXPECT_EQ(restored["branch"]["current_state"], "resetting");
  EXPECT_EQ(restored["branch"]["parent_id"], main_);
  EXPECT_EQ(restored["operations"][0]["status"], "running");
  host_.suspend_gate = false;
  EXPECT_EQ(wait_for(restored["operations"][0])["status"], "finished");
  json after = get("/api/v2" + branch(dev))["branch"];
  EXPECT_EQ(after["current_state"], "ready");
  EXPECT_TRUE(after.contains("last_reset_at"));
}

TEST_F(LivesTest, WhatCannotBeMadeLetsItsClientsGo) {
  pageserver_.create_gate = pageserver_.fail_creates = true;
  const std::string dev = make_branch({{"name", "dev"}}, 201, true)["branch"]["id"];
  endpoint_ = catalog_->endpoint_of_branch(dev).id;
  std::promise<std::string> woken;
  manager_->wake(endpoint_, [&](const Outcome<ComputeAddress>& outcome) {
    woken.set_value(outcome.error ? outcome.error->what() : "");
  });
  const int starts = host_.starts;
  pageserver_.create_gate = false;
  EXPECT_EQ(woken.get_future().get(), "endpoint not found");
  EXPECT_EQ(host_.starts, starts);
  projects_->stop();
  get("/api/v2" + branch(dev), 404);
  EXPECT_FALSE(manager_->exists(endpoint_));
}

TEST_F(LivesTest, FiftyProjectsAreMadeSideBySide) {
  std::vector<std::thread> threads;
  std::atomic<int> made = 0;
  for (int i = 0; i < 50; ++i)
    threads.emplace_back([&, i] {
      httplib::Client client("127.0.0.1", server_->port());
      client.set_bearer_token_auth("napi_test");
      client.set_read_timeout(std::chrono::seconds(30));
      const json body = {{"project", {{"name", "many" + std::to_string(i)}}}};
      auto answer = client.Post("/api/v2/projects", body.dump(), "application/json");
      if (answer && answer->status == 201) ++made;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(made, 50);
  EXPECT_EQ(catalog_->projects().size(), 51u);
}

}  // namespace
}  // namespace halogen::control::api
