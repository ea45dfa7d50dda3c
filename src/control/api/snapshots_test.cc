#include "control/api/api_fixture.h"
#include "control/timestamp.h"

namespace halogen::control::api {
namespace {

class SnapshotsTest : public ApiTest {
 protected:
  SnapshotsTest() {
    json made = make_project();
    project_ = "/projects/" + made["project"]["id"].get<std::string>();
    main_ = made["branch"]["id"];
    endpoint_ = made["endpoints"][0]["id"];
    password_ = made["roles"][0]["password"];
    pageserver_.commit(catalog_->branch(main_).timeline, Lsn(0x3000000), now_micros());
  }
  std::string branch(const std::string& id) { return project_ + "/branches/" + id; }
  json take(const std::string& id, const std::string& query = "") {
    return post(branch(id) + "/snapshot" + query, json::object(), 200)["snapshot"];
  }
  size_t listed() { return get("/api/v2" + project_ + "/branches")["branches"].size(); }

  std::string project_, main_, endpoint_, password_;
};

TEST_F(SnapshotsTest, ASnapshotIsListedRenamedAndDeletedAndIsNoBranch) {
  json snapshot = take(main_, "?name=first&lsn=0/3000000");
  EXPECT_EQ(snapshot["name"], "first");
  EXPECT_EQ(snapshot["lsn"], "0/3000000");
  EXPECT_EQ(snapshot["source_branch_id"], main_);
  EXPECT_EQ(listed(), 1u);
  const std::string path = project_ + "/snapshots/" + snapshot["id"].get<std::string>();
  EXPECT_EQ(patch(path, {{"snapshot", {{"name", "second"}}}})["snapshot"]["name"], "second");
  EXPECT_EQ(get("/api/v2" + project_ + "/snapshots")["snapshots"].size(), 1u);
  get("/api/v2" + branch(snapshot["id"]), 404);
  EXPECT_EQ(get("/api/v2" + project_ + "/endpoints")["endpoints"].size(), 1u);
  EXPECT_EQ(safekeeper_.count(), 2u);
  drop(path, 202);
  EXPECT_EQ(safekeeper_.count(), 1u);
  drop(path, 404);
}

TEST_F(SnapshotsTest, ASnapshotOutlivesItsSource) {
  const std::string dev =
      post(project_ + "/branches", {{"branch", {{"name", "dev"}}}}, 201)["branch"]["id"];
  const std::string snapshot = take(dev)["id"];
  drop(branch(dev));
  EXPECT_EQ(safekeeper_.count(), 3u) << "main, what dev was, the snapshot";
  json restored = post(project_ + "/snapshots/" + snapshot + "/restore",
                       {{"target_branch_id", main_}, {"name", "back"}}, 200)["branch"];
  EXPECT_EQ(restored["restored_from"], snapshot);
  EXPECT_FALSE(restored.contains("parent_id"));
  drop(project_ + "/snapshots/" + snapshot, 202);
  EXPECT_EQ(safekeeper_.count(), 4u) << "what was restored stands on it";
  drop(branch(restored["id"]));
  projects_->finish_interrupted();  // Sweeps.
  EXPECT_EQ(safekeeper_.count(), 1u);
}

TEST_F(SnapshotsTest, AFinalizedRestoreTakesTheOthersPlace) {
  const std::string snapshot = take(main_)["id"];
  const std::string path = project_ + "/snapshots/" + snapshot + "/restore";
  json restored = post(path, {{"name", "preview"}}, 200)["branch"];
  const std::string id = restored["id"];
  EXPECT_EQ(restored["restore_status"], "restored");
  EXPECT_EQ(restored["restored_as"], main_);
  EXPECT_EQ(listed(), 2u);
  const TimelineId timeline = catalog_->branch(id).timeline;
  post(branch(id) + "/finalize_restore", {{"name", "before"}}, 200);
  json now = get("/api/v2" + branch(id))["branch"];
  EXPECT_EQ(now["name"], "main");
  EXPECT_EQ(now["default"], true);
  EXPECT_EQ(now["restore_status"], "finalized");
  json old = get("/api/v2" + branch(main_))["branch"];
  EXPECT_EQ(old["name"], "before");
  EXPECT_EQ(old["default"], false);
  EXPECT_EQ(get("/api/v2" + branch(id) + "/endpoints")["endpoints"][0]["id"], endpoint_);
  EXPECT_EQ(get("/api/v2" + branch(main_) + "/endpoints")["endpoints"], json::array());
  EXPECT_EQ(manager_->endpoint_of_branch(id), endpoint_);
  EXPECT_EQ(catalog_->branch(id).timeline, timeline);
  EXPECT_NE(get("/api/v2" + project_ + "/connection_uri")["uri"].get<std::string>().find(password_),
            std::string::npos);
  post(branch(id) + "/finalize_restore", json::object(), 422);
}

TEST_F(SnapshotsTest, ARestoreCanBeFinalizedAtOnce) {
  const std::string snapshot = take(main_)["id"];
  json restored = post(project_ + "/snapshots/" + snapshot + "/restore",
                       {{"finalize_restore", true}}, 200)["branch"];
  EXPECT_EQ(restored["name"], "main");
  EXPECT_EQ(get("/api/v2" + branch(main_))["branch"]["name"].get<std::string>().find("main (old "),
            0u);
}

TEST_F(SnapshotsTest, ExpiredOnesGoAndScheduledOnesAreTakenOnce) {
  Catalog& catalog = *catalog_;
  const json schedule = {{"schedule", {{{"frequency", "hourly"}, {"retention_seconds", 3600}}}}};
  const std::string path = "/api/v2" + branch(main_) + "/backup_schedule";
  read(client_->Put(path, schedule.dump(), "application/json"), 200);
  EXPECT_EQ(get(path), schedule);
  projects_->snapshots().keep_schedules();
  EXPECT_TRUE(catalog.snapshots(catalog.branch(main_).project_id).empty()) << "it is not due yet";
  catalog.set_schedule_checked(main_, now_micros() - Micros{3'700} * 1'000'000);
  projects_->snapshots().keep_schedules();
  projects_->snapshots().keep_schedules();
  json taken = get("/api/v2" + project_ + "/snapshots")["snapshots"];
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0]["manual"], false);
  EXPECT_TRUE(taken[0].contains("expires_at"));
  read(client_->Put(path, R"({"schedule":[{"frequency":"often"}]})", "application/json"), 400);

  const Micros soon = now_micros() + 50'000;
  take(main_, "?expires_at=" + timestamp(soon));
  while (now_micros() < soon) std::this_thread::yield();
  projects_->snapshots().keep_schedules();
  EXPECT_EQ(get("/api/v2" + project_ + "/snapshots")["snapshots"].size(), 1u);
}

}  // namespace
}  // namespace halogen::control::api
