#include "control/catalog.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "control/names.h"

namespace halogen::control {
namespace {

constexpr Lsn kEnd(0x1'0000'1000);

class CatalogTest : public testing::Test {
 protected:
  CatalogTest() {
    std::string folder = fs::temp_directory_path() / "halogen-catalog-XXXXXX";
    folder_ = ::mkdtemp(folder.data());
    reopen();
  }
  ~CatalogTest() override {
    catalog_.reset();
    fs::remove_all(folder_);
  }
  void reopen() {
    catalog_.reset();
    catalog_ = std::make_unique<Catalog>(folder_ / "catalog.db");
  }

  static NewBranch branch_of(const Project& project, const std::string& name,
                             std::optional<std::string> parent = std::nullopt) {
    NewBranch added;
    added.branch.id = new_branch_id();
    added.branch.project_id = project.id;
    added.branch.timeline = TimelineId::random();
    added.branch.parent_id = parent;
    added.branch.parent_lsn = Lsn(0x1'0000'0028);
    added.branch.name = name;
    added.branch.is_default = !parent;
    added.branch.created_at = now_micros();
    added.endpoint.id = new_endpoint_id();
    added.endpoint.project_id = project.id;
    added.endpoint.branch_id = added.branch.id;
    added.contents.roles = {true, {{"neondb_owner", "SCRAM-SHA-256$x", true}, {"app", "", false}}};
    added.contents.passwords = {{"neondb_owner", "npg_secret"}};
    added.contents.databases = {{0, "neondb", "neondb_owner"}};
    added.contents.pending = {{0, "postgres", "ALTER ROLE x"}};
    return added;
  }
  Project add_project(const std::string& name) {
    Project project;
    project.id = new_project_id();
    project.name = name;
    project.tenant = TenantId::random();
    project.system_identifier = 0xFEDC'BA98'7654'3210;
    project.created_at = now_micros();
    main_ = branch_of(project, "main");
    catalog_->add_project(project, main_, {});
    return project;
  }

  fs::path folder_;
  std::unique_ptr<Catalog> catalog_;
  NewBranch main_;
};

TEST_F(CatalogTest, WhatWasWrittenIsThereAfterReopening) {
  Project project = add_project("shop");
  catalog_->set_project_state(project.id, "ready");
  reopen();
  Project found = catalog_->project(project.id);
  EXPECT_EQ(found.name, "shop");
  EXPECT_EQ(found.tenant, project.tenant);
  EXPECT_EQ(found.system_identifier, project.system_identifier);
  Branch branch = catalog_->default_branch(project.id);
  EXPECT_EQ(branch.timeline, main_.branch.timeline);
  EXPECT_EQ(branch.parent_lsn, main_.branch.parent_lsn);
  EXPECT_EQ(branch.state, "ready");
  EXPECT_EQ(catalog_->endpoint_of_branch(branch.id).id, main_.endpoint.id);
  EXPECT_EQ(catalog_->password(branch.id, "neondb_owner"), "npg_secret");
  EXPECT_EQ(catalog_->pending_sql(branch.id).size(), 1u);
  EXPECT_EQ(catalog_->databases(branch.id)[0].name, "neondb");
}

TEST_F(CatalogTest, BranchNamesAreUniqueInTheirProjectAndNothingOfTheLoserStays) {
  Project project = add_project("one");
  NewBranch again = branch_of(project, "main", main_.branch.id);
  try {
    catalog_->add_branch(again, {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::already_exists);
    EXPECT_STREQ(error.what(), "branch already exists; branch_name:\"main\"");
  }
  EXPECT_THROW(catalog_->endpoint(again.endpoint.id), Error);
  add_project("two");  // Its branch is called main, too.
}

TEST_F(CatalogTest, RolesAreExactOnlyFromACleanSuspendToTheNextStart) {
  add_project("p");
  const std::string& branch = main_.branch.id;
  EXPECT_TRUE(catalog_->roles(branch).exact);
  catalog_->note_starting(main_.endpoint);
  EXPECT_FALSE(catalog_->roles(branch).exact);
  catalog_->compute_started(main_.endpoint, 1, {.id = random_uuid()});
  EXPECT_FALSE(catalog_->roles(branch).exact);
  catalog_->note_suspended(main_.endpoint, {});
  catalog_->compute_suspended(main_.endpoint, 2, {}, {.id = random_uuid()});
  EXPECT_FALSE(catalog_->roles(branch).exact) << "they could not be read";
  const ComputeStopped stopped{.end = kEnd, .roles = {{"bob", "SCRAM-SHA-256$b", true}}};
  catalog_->note_suspended(main_.endpoint, stopped);
  for (bool written : {false, true}) {
    if (written) catalog_->compute_suspended(main_.endpoint, 3, stopped, {.id = random_uuid()});
    BranchRoles roles = catalog_->roles(branch);
    EXPECT_TRUE(roles.exact);
    ASSERT_EQ(roles.roles.size(), 1u);
    EXPECT_EQ(roles.roles[0].name, "bob");
  }
}

// Whatever was written, or not, before a kill.
TEST_F(CatalogTest, RolesAreExactOnlyIfTheLogEndsWhereTheyWereRead) {
  add_project("p");
  const std::string& branch = main_.branch.id;
  Lsn end = main_.branch.parent_lsn;
  auto follow = [&] { catalog_->set_end_of_log([&](TimelineId) { return end; }); };
  follow();
  EXPECT_TRUE(catalog_->roles(branch).exact) << "as the branch began";
  const ComputeStopped stopped{.end = kEnd, .roles = {{"bob", "SCRAM-SHA-256$b", true}}};
  catalog_->compute_suspended(main_.endpoint, 3, stopped, {.id = random_uuid()});
  end = kEnd;
  reopen();
  follow();
  EXPECT_TRUE(catalog_->exact_roles(branch));
  end = kEnd + 8;  // A compute has run, and the catalog has not heard of it.
  EXPECT_FALSE(catalog_->exact_roles(branch));
  EXPECT_FALSE(catalog_->roles(branch).exact);
  catalog_->set_end_of_log([](TimelineId) -> Lsn { throw Error(Errc::corrupt, "damaged"); });
  EXPECT_FALSE(catalog_->exact_roles(branch)) << "in doubt";
}

// The memory is that of the database after every commit, whatever it was that changed.
TEST_F(CatalogTest, WhatAWakeNeedsIsKnownFromMemory) {
  Project project = add_project("p");
  const std::string& id = main_.endpoint.id;
  KnownEndpoint known = catalog_->known(id);
  EXPECT_EQ(known.branch.timeline, main_.branch.timeline);
  EXPECT_EQ(known.project.tenant, project.tenant);
  EXPECT_TRUE(known.has_pending_sql);
  catalog_->remove_pending_sql(catalog_->pending_sql(main_.branch.id));
  EXPECT_FALSE(catalog_->known(id).has_pending_sql);
  Endpoint changed = main_.endpoint;
  changed.settings = R"({"pg_settings":{"work_mem":"8MB"}})";
  catalog_->update_endpoint(changed);
  EXPECT_EQ(catalog_->known(id).endpoint.settings, changed.settings);
  project.settings = R"({"quota":{}})";
  catalog_->update_project(project);
  EXPECT_EQ(catalog_->known(id).project.settings, project.settings);
  MovedBranch moved{main_.branch, main_.contents, std::nullopt};
  moved.branch.timeline = TimelineId::random();
  catalog_->add_loose_timeline({moved.branch.timeline, project.id});
  catalog_->move_branch(moved, {.id = random_uuid()});
  EXPECT_EQ(catalog_->known(id).branch.timeline, moved.branch.timeline);
  EXPECT_TRUE(catalog_->known(id).has_pending_sql);
  Endpoint by = main_.endpoint;
  by.id = new_endpoint_id();
  catalog_->replace_endpoint(id, by);
  EXPECT_THROW(catalog_->known(id), Error);
  catalog_->drop_older_password_keys();  // Writes the database anew: rows get other numbers.
  EXPECT_EQ(catalog_->known(by.id).branch.timeline, moved.branch.timeline);
  catalog_->remove_branch(main_.branch.id);
  EXPECT_THROW(catalog_->known(by.id), Error) << "with its branch";
  reopen();
  EXPECT_THROW(catalog_->known(by.id), Error);
}

TEST_F(CatalogTest, ABranchTakesAllOfItsOwnWithIt) {
  Project project = add_project("p");
  NewBranch child = branch_of(project, "child", main_.branch.id);
  catalog_->add_branch(child, {});
  EXPECT_EQ(catalog_->children(main_.branch.id).size(), 1u);
  EXPECT_THROW(catalog_->remove_branch(main_.branch.id), Error) << "it has a child";
  catalog_->remove_branch(child.branch.id);
  EXPECT_THROW(catalog_->endpoint(child.endpoint.id), Error);
  EXPECT_TRUE(catalog_->passwords(child.branch.id).empty());
  catalog_->remove_branch(main_.branch.id);
  catalog_->remove_project(project.id);
  EXPECT_TRUE(catalog_->projects().empty());
}

TEST_F(CatalogTest, ABranchMovesToAnotherTimelineAndWhatItLeavesIsKeptOrLoose) {
  Project project = add_project("p");
  const std::string& main = main_.branch.id;
  NewBranch child = branch_of(project, "child", main);
  catalog_->add_branch(child, {});

  MovedBranch moved{main_.branch, child.contents, branch_of(project, "old", std::nullopt)};
  moved.branch.timeline = TimelineId::random();
  moved.branch.parent_id = moved.kept->branch.id;
  moved.branch.last_reset_at = 7;
  moved.contents.roles = {false, {{"alice", "SCRAM-SHA-256$a", true}}};
  moved.kept->branch.timeline = main_.branch.timeline;
  moved.kept->branch.is_default = false;
  catalog_->add_loose_timeline({moved.branch.timeline, project.id});
  catalog_->move_branch(moved, {});
  reopen();
  EXPECT_EQ(catalog_->branch(main).timeline, moved.branch.timeline);
  EXPECT_EQ(catalog_->branch(main).parent_id, moved.kept->branch.id);
  EXPECT_EQ(catalog_->branch(main).last_reset_at, 7);
  EXPECT_EQ(catalog_->branch(main).name, "main");
  EXPECT_EQ(catalog_->roles(main).roles.at(0).name, "alice");
  EXPECT_EQ(catalog_->password(main, "neondb_owner"), "npg_secret");
  EXPECT_EQ(catalog_->branch(child.branch.id).parent_id, moved.kept->branch.id);
  EXPECT_EQ(catalog_->branch(moved.kept->branch.id).timeline, main_.branch.timeline);
  EXPECT_TRUE(catalog_->loose_timelines().empty());

  MovedBranch again{catalog_->branch(main), child.contents, std::nullopt};
  again.branch.timeline = TimelineId::random();
  catalog_->add_loose_timeline({again.branch.timeline, project.id});
  catalog_->move_branch(again, {});
  ASSERT_EQ(catalog_->loose_timelines().size(), 1u);
  EXPECT_EQ(catalog_->loose_timelines()[0].timeline, moved.branch.timeline) << "which it left";
}

TEST_F(CatalogTest, AMoveThatFailsChangesNothing) {
  Project project = add_project("p");
  NewBranch child = branch_of(project, "child", main_.branch.id);
  catalog_->add_branch(child, {});
  MovedBranch moved{main_.branch, {}, branch_of(project, "child", std::nullopt)};
  moved.branch.timeline = TimelineId::random();
  catalog_->add_loose_timeline({moved.branch.timeline, project.id});
  EXPECT_THROW(catalog_->move_branch(moved, {}), Error) << "the name is taken";
  EXPECT_EQ(catalog_->branch(main_.branch.id).timeline, main_.branch.timeline);
  EXPECT_EQ(catalog_->roles(main_.branch.id).roles.size(), 2u);
  EXPECT_EQ(catalog_->loose_timelines().size(), 1u);
}

TEST_F(CatalogTest, OperationsAreListedNewestFirstInPages) {
  Project project = add_project("p");
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) {
    ids.push_back(random_uuid());
    catalog_->put_operation({.id = ids.back(), .project_id = project.id, .status = "running"});
  }
  auto page = catalog_->operations(project.id, 2, "");
  ASSERT_EQ(page.size(), 2u);
  EXPECT_EQ(page[0].id, ids[4]);
  page = catalog_->operations(project.id, 10, page[1].id);
  ASSERT_EQ(page.size(), 3u);
  EXPECT_EQ(page[2].id, ids[0]);
  catalog_->fail_interrupted_operations();
  EXPECT_EQ(catalog_->operation(ids[0]).status, "failed");
}

TEST_F(CatalogTest, ANewerSchemaIsRefused) {
  catalog_.reset();
  {
    Database(folder_ / "catalog.db").exec("PRAGMA user_version = 99");
  }
  EXPECT_THROW(Catalog(folder_ / "catalog.db"), Error);
}

TEST(Names, LookAsTheApiPromises) {
  EXPECT_TRUE(testing::internal::RE::FullMatch(new_project_id(), "[a-z]+-[a-z]+-[0-9]{8}"));
  EXPECT_TRUE(testing::internal::RE::FullMatch(new_branch_id(), "br-[a-z]+-[a-z]+-[a-z0-9]{8}"));
  EXPECT_TRUE(testing::internal::RE::FullMatch(new_endpoint_id(), "ep-[a-z]+-[a-z]+-[a-z0-9]{8}"));
  EXPECT_TRUE(testing::internal::RE::FullMatch(
      random_uuid(), "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  EXPECT_NE(new_password(), new_password());
}

}  // namespace
}  // namespace halogen::control
