// Changes of roles and databases that are refused, take long, lose their compute, or are killed.
#include "control/roles_databases.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <regex>

#include "base/error.h"
#include "base/file.h"
#include "control/fakes.h"
#include "control/history.h"
#include "control/projects.h"

namespace halogen::control {
namespace {

constexpr std::chrono::seconds kLong{60};

// One life of the control plane. The faked compute host and storage outlive it.
struct Life {
  Life(const fs::path& folder, FakeHost& host, FakePageserver& pageserver,
       FakeSafekeeper& safekeeper, std::chrono::milliseconds patience)
      : catalog(folder / "catalog.db"),
        endpoints({.catalog = catalog, .host = host}),
        projects({.catalog = catalog,
                  .endpoints = endpoints,
                  .host = host,
                  .pageserver = pageserver,
                  .safekeeper = safekeeper,
                  .domain = "localhost",
                  .patience = patience}),
        objects(catalog, endpoints, host, projects.turns(), projects.operations()) {
    catalog.fail_interrupted_operations();
    endpoints.start();
    projects.finish_interrupted();
    objects.go_on();
  }
  ~Life() {
    projects.stop();
    endpoints.stop();
  }

  Catalog catalog;
  EndpointManager endpoints;
  Projects projects;
  RolesAndDatabases objects;
};

// What the statements that we send do to the roles and databases that there are.
class FakePostgres {
 public:
  explicit FakePostgres(FakeHost& host) : host_(host) { tell(); }

  void run(const std::string& sql) {
    static const std::regex kStatement(
        R"x(((?:CREATE|ALTER|DROP) (?:ROLE|DATABASE)) "([^"]*)"(.*))x");
    std::smatch parts;
    if (!std::regex_search(sql, parts, kStatement)) return;
    ++runs;
    change(parts[1], parts[2], parts[3]);
    tell();
  }

  void tell() {
    host_.set_roles(roles);
    host_.set_databases(databases);
  }

  int runs = 0;
  std::vector<StoredRole> roles = {{"neondb_owner", "SCRAM-SHA-256$fake", true}};
  std::vector<StoredDatabase> databases = {{"neondb", "neondb_owner"}};

 private:
  void change(const std::string& what, const std::string& name, const std::string& rest) {
    if (what == "CREATE ROLE") roles.push_back({name, secret(rest), true});
    if (what == "ALTER ROLE")
      std::ranges::find(roles, name, &StoredRole::name)->verifier = secret(rest);
    if (what == "DROP ROLE") std::erase_if(roles, [&](auto& one) { return one.name == name; });
    if (what == "CREATE DATABASE") databases.push_back({name, quoted_in(rest)});
    if (what == "DROP DATABASE")
      std::erase_if(databases, [&](auto& one) { return one.name == name; });
    if (what == "ALTER DATABASE")
      std::ranges::find(databases, name, &StoredDatabase::name)->name = quoted_in(rest);
  }
  static std::string secret(const std::string& rest) {
    const size_t from = rest.find('\'') + 1;
    return rest.substr(from, rest.find('\'', from) - from);
  }
  static std::string quoted_in(const std::string& rest) {
    const size_t from = rest.find('"') + 1;
    return rest.substr(from, rest.find('"', from) - from);
  }
  FakeHost& host_;
};

class ChangesTest : public testing::Test {
 protected:
  ChangesTest() {
    std::string folder = fs::temp_directory_path() / "halogen-changes-XXXXXX";
    folder_ = ::mkdtemp(folder.data());
    fs::create_directory(home());
    begin(kLong);
    CreatedBranch made = life_->projects.create({.name = "shop"});
    branch_ = made.branch;
    host_.on_execute = [this](const std::string& sql) { postgres_.run(sql); };
    life_->endpoints.while_running(made.endpoint.id, [] {});
  }
  ~ChangesTest() override {
    life_.reset();
    fs::remove_all(folder_);
  }

  void begin(std::chrono::milliseconds patience) {
    life_.reset();
    life_ = std::make_unique<Life>(home(), host_, pageserver_, safekeeper_, patience);
  }
  std::vector<Operation> operations() {
    return life_->catalog.operations(branch_.project_id, 100, "");
  }
  Operation wait_for(const std::string& id) {
    for (;;) {
      const Operation now = life_->catalog.operation(id);
      if (now.over()) return now;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  // Whether the password that is kept of the role is the one that works.
  bool password_works(const std::string& role) {
    auto kept = life_->catalog.password(branch_.id, role);
    return kept && role_with_password(postgres_.roles, role, *kept) != nullptr;
  }
  // Ends this life as a kill right before or after that statement would. What was before is kept.
  void kill_during(const std::string& statement, bool after,
                   const std::function<void(RolesAndDatabases&)>& change) {
    life_.reset();
    fs::remove_all(folder_ / "before");
    fs::copy(home(), folder_ / "before");
    begin(kLong);
    host_.on_execute = [&](const std::string& sql) {
      const bool now = sql.find(statement) != std::string::npos;
      if (!now || after) postgres_.run(sql);
      if (!now) return;
      fs::create_directory(folder_ / "killed");
      for (const char* file : {"catalog.db", "catalog.db-wal", "catalog.keys"})
        fs::copy_file(home() / file, folder_ / "killed" / file);
      throw Error(Errc::internal, "killed");
    };
    EXPECT_THROW(change(life_->objects), Error);
    host_.on_execute = [this](const std::string& sql) { postgres_.run(sql); };
    life_.reset();
    fs::remove_all(home());
    fs::rename(folder_ / "killed", home());
  }
  // To before the kill.
  void go_back(const FakePostgres& before) {
    life_.reset();
    fs::remove_all(home());
    fs::rename(folder_ / "before", home());
    postgres_.roles = before.roles;
    postgres_.databases = before.databases;
    postgres_.tell();
  }
  fs::path home() const { return folder_ / "home"; }

  fs::path folder_;
  FakeHost host_;
  FakePageserver pageserver_;
  FakeSafekeeper safekeeper_;
  FakePostgres postgres_{host_};
  std::unique_ptr<Life> life_;
  Branch branch_;
};

TEST_F(ChangesTest, AChangeIsAnOperationThatIsOverWithWhatCameOfIt) {
  const RoleChange made = life_->objects.create_role(branch_, "app", true);
  EXPECT_EQ(made.operation.status, "finished");
  // Those of its compute's start and suspend may be newer.
  const std::vector<Operation> all = operations();
  EXPECT_EQ(std::ranges::count(all, made.operation.id, &Operation::id), 1);
  EXPECT_EQ(life_->catalog.password(branch_.id, "app"), made.password);
  EXPECT_TRUE(password_works("app"));
  EXPECT_TRUE(life_->catalog.planned_changes().empty());
  const DatabaseChange database = life_->objects.create_database(branch_, "d", "app");
  EXPECT_EQ(database.database.owner, "app");
  EXPECT_GT(database.database.id, 0);
}

TEST_F(ChangesTest, WhatIsRefusedChangesNothingAndLeavesNoOperation) {
  const size_t before = operations().size();
  const int runs = postgres_.runs;
  auto code = [](auto change) {
    try {
      change();
    } catch (const Error& error) {
      return error.code();
    }
    return Errc::internal;
  };
  RolesAndDatabases& objects = life_->objects;
  EXPECT_EQ(code([&] { objects.create_role(branch_, "neondb_owner", true); }),
            Errc::already_exists);
  EXPECT_EQ(code([&] { objects.delete_role(branch_, "none"); }), Errc::not_found);
  EXPECT_EQ(code([&] { objects.reset_password(branch_, "none"); }), Errc::not_found);
  EXPECT_EQ(code([&] { objects.delete_role(branch_, "neondb_owner"); }), Errc::conflict);
  EXPECT_EQ(code([&] { objects.create_database(branch_, "d", "none"); }), Errc::not_found);
  EXPECT_EQ(code([&] { objects.create_database(branch_, "neondb", "neondb_owner"); }),
            Errc::already_exists);
  EXPECT_EQ(code([&] { objects.delete_database(branch_, "none"); }), Errc::not_found);
  EXPECT_EQ(postgres_.runs, runs);
  const std::vector<Operation> after = operations();
  EXPECT_EQ(std::ranges::count(after, "apply_config", &Operation::action), 0);
  EXPECT_LE(after.size(), before + 1) << "the start of the compute";
}

// Each kind of change, killed right before its statement and right after it, goes on in the next
// life and is done once.
TEST_F(ChangesTest, AChangeThatIsKilledGoesOnAtTheNextStart) {
  struct Case {
    const char* statement;
    std::function<void(RolesAndDatabases&)> change;
    std::function<bool()> is_done;
  };
  auto has_role = [this](const char* name) {
    return std::ranges::count(postgres_.roles, name, &StoredRole::name) == 1;
  };
  auto has_database = [this](const char* name) {
    return std::ranges::count(life_->catalog.databases(branch_.id), name, &DatabaseRecord::name) ==
           1;
  };
  const std::vector<Case> cases = {
      {"CREATE ROLE", [&](auto& o) { o.create_role(branch_, "app", true); },
       [&] { return has_role("app") && password_works("app"); }},
      {"ALTER ROLE", [&](auto& o) { o.reset_password(branch_, "app"); },
       [&] { return password_works("app"); }},
      {"CREATE DATABASE", [&](auto& o) { o.create_database(branch_, "d", "neondb_owner"); },
       [&] { return has_database("d"); }},
      {"ALTER DATABASE", [&](auto& o) { o.update_database(branch_, "d", "e", ""); },
       [&] { return has_database("e") && !has_database("d"); }},
      {"DROP DATABASE", [&](auto& o) { o.delete_database(branch_, "e"); },
       [&] { return !has_database("e"); }},
      {"DROP ROLE", [&](auto& o) { o.delete_role(branch_, "app"); },
       [&] { return !has_role("app") && !life_->catalog.password(branch_.id, "app"); }},
  };
  for (const Case& one : cases) {
    for (bool after : {false, true}) {
      SCOPED_TRACE(fmt::format("{}, killed {} it", one.statement, after ? "after" : "before"));
      const FakePostgres before = postgres_;
      kill_during(one.statement, after, one.change);
      const int runs = postgres_.runs;
      begin(kLong);
      const auto all = operations();
      auto operation = std::ranges::find(all, "apply_config", &Operation::action);
      ASSERT_NE(operation, all.end());
      const Operation ended = wait_for(operation->id);
      EXPECT_EQ(ended.status, "finished") << ended.error;
      EXPECT_TRUE(one.is_done());
      EXPECT_TRUE(life_->catalog.planned_changes().empty());
      // A password is the same however often it is set.
      if (after && one.statement != std::string("ALTER ROLE")) EXPECT_EQ(postgres_.runs, runs);
      if (!after) go_back(before);
    }
  }
}

TEST_F(ChangesTest, AComputeThatIsLostAfterTheStatementLeavesNoHalfMadeRole) {
  bool lost = false;
  host_.on_execute = [&](const std::string& sql) {
    postgres_.run(sql);
    if (!std::exchange(lost, true)) throw Error(Errc::unavailable, "the connection broke");
  };
  const RoleChange made = life_->objects.create_role(branch_, "app", true);
  EXPECT_EQ(made.operation.status, "finished");
  EXPECT_EQ(std::ranges::count(postgres_.roles, "app", &StoredRole::name), 1);
  EXPECT_TRUE(password_works("app"));
}

TEST_F(ChangesTest, ABranchHasOneChangeAtATimeAndOtherBranchesAreFree) {
  BranchRequest request;
  request.name = "dev";
  const Branch dev = life_->projects.branches().create(branch_.project_id, request).branch;
  std::promise<void> gate;
  std::promise<void> begun;
  host_.on_execute = [&, open = gate.get_future().share()](const std::string& sql) {
    if (sql.find("\"slow\"") != std::string::npos) {
      begun.set_value();
      open.wait();
    }
    postgres_.run(sql);
  };
  auto slow = std::async(std::launch::async,
                         [&] { return life_->objects.create_role(branch_, "slow", true); });
  begun.get_future().wait();
  const size_t before = operations().size();
  EXPECT_THROW(life_->objects.create_role(branch_, "other", true), ProjectBusy);
  EXPECT_THROW(life_->projects.branches().update(branch_.id, {.name = "x"}), ProjectBusy);
  EXPECT_EQ(operations().size(), before) << "what is refused has no side effect";
  EXPECT_EQ(life_->objects.create_role(dev, "app", true).operation.status, "finished");
  gate.set_value();
  EXPECT_EQ(slow.get().operation.status, "finished");
  EXPECT_EQ(life_->objects.create_role(branch_, "other", true).operation.status, "finished");
}

TEST_F(ChangesTest, WhatTakesLongIsToldAtOnceAndSeenBeforeItIsThere) {
  begin(std::chrono::milliseconds(1));
  host_.start_gate = true;
  const DatabaseChange made = life_->objects.create_database(branch_, "d", "neondb_owner");
  EXPECT_EQ(made.operation.status, "running");
  EXPECT_EQ(life_->catalog.operation(made.operation.id).status, "running");
  EXPECT_GT(made.database.id, 0);
  EXPECT_EQ(life_->catalog.databases(branch_.id).back().name, "d");
  host_.start_gate = false;
  EXPECT_EQ(wait_for(made.operation.id).status, "finished");
  EXPECT_EQ(life_->catalog.databases(branch_.id).back().id, made.database.id);
}

TEST_F(ChangesTest, WhatTakesLongAndFailsIsNotExpectedAnyMore) {
  begin(std::chrono::milliseconds(1));
  host_.start_gate = true;
  host_.fail_starts = 1;
  const DatabaseChange made = life_->objects.create_database(branch_, "d", "neondb_owner");
  EXPECT_EQ(made.operation.status, "running");
  host_.start_gate = false;
  const Operation ended = wait_for(made.operation.id);
  EXPECT_EQ(ended.status, "failed");
  EXPECT_EQ(ended.error, "no memory for a compute");
  EXPECT_EQ(life_->catalog.databases(branch_.id).size(), 1u);
}

TEST_F(ChangesTest, AProjectsFirstNamesNeedNoCompute) {
  ProjectRequest request;
  request.role = "o'wner \"x\"";
  request.database = "$$; drop";
  const int starts = host_.starts;
  const CreatedBranch made = life_->projects.create(request);
  EXPECT_EQ(made.operation.status, "finished");
  EXPECT_EQ(host_.starts, starts);
  const BranchContents contents = life_->catalog.contents(made.branch.id);
  EXPECT_EQ(contents.roles.roles.at(0).name, request.role);
  EXPECT_EQ(contents.databases.at(0).name, request.database);
  EXPECT_EQ(contents.databases.at(0).owner, request.role);
  ASSERT_EQ(contents.pending.size(), 3u);
  EXPECT_EQ(
      contents.pending[0].statement,
      "DO 'BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = ''neondb_owner'') THEN ALTER "
      "ROLE \"neondb_owner\" RENAME TO \"o''wner \"\"x\"\"\"; END IF; END'");
  for (const char* taken : {"cloud_admin", "neon_superuser", "pg_mine", "public", ""}) {
    request.role = taken;
    EXPECT_THROW(life_->projects.create(request), Error) << taken;
  }
}

}  // namespace
}  // namespace halogen::control
