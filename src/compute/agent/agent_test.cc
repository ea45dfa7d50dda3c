// What the agent promises, with a real Postgres under the real shim and extension.
#include "compute/agent/agent.h"

#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>

#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <fstream>
#include <future>
#include <thread>

#include "base/token.h"
#include "compute/agent/agent_fakes.h"
#include "compute/agent/process.h"
#include "compute/agent/sql.h"
#include "compute/shim/manifest_builder.h"

namespace halogen::compute {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

bool root_was_refused = false;

// Postgres refuses root, so under root the tests run as the package's own user.
class Privileges : public ::testing::Environment {
 public:
  void SetUp() override {
    if (::geteuid() != 0) return;
    try {
      refuse_root();
    } catch (const Error& error) {
      root_was_refused = error.code() == Errc::permission_denied;
    }
    const passwd* user = ::getpwnam("postgres");
    ASSERT_NE(user, nullptr);
    ASSERT_EQ(::setgroups(0, nullptr), 0);
    ASSERT_EQ(::setgid(user->pw_gid), 0);
    ASSERT_EQ(::setuid(user->pw_uid), 0);
    // Without this /proc/<pid> of a process that changed its user belongs to root.
    ASSERT_EQ(::prctl(PR_SET_DUMPABLE, 1), 0);
  }
};
[[maybe_unused]] const auto* const privileges = ::testing::AddGlobalTestEnvironment(new Privileges);

TEST(ComputeAgent, RefusesToRunAsRoot) {
  if (::geteuid() == 0 || !root_was_refused) GTEST_SKIP() << "not started as root";
  EXPECT_TRUE(root_was_refused);
}

// One template for all tests: it takes a second or two.
// 0 if there is none.
int postmaster_below(const fs::path& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.path().filename() == "postmaster.pid") return std::stoi(read_file(entry.path()));
  return 0;
}

class ComputeAgentTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    shared_ = new TempFolder;
    Supervisor supervisor;
    cluster_ = new TemplateCluster(
        build_template_cluster(supervisor, 15, shared_->path() / "template", build_libraries()));
  }
  static void TearDownTestSuite() {
    delete cluster_;
    delete shared_;
  }

  ~ComputeAgentTest() override {
    if (warden_) warden_->end();
  }
  ComputeAgent::Options options() {
    if (walls_ && !warden_)
      warden_ = std::make_unique<Warden>(
          RoomsPlan{.rooms = ComputeAgent::rooms_in(home_.path() / "computes"),
                    .libraries = build_libraries(),
                    .pages = shared_->path(),
                    .owner = {::geteuid(), ::getegid()}});
    ComputeAgent::Options options{.home = home_.path() / "computes",
                                  .run = home_.path() / "run",
                                  .libraries = build_libraries(),
                                  .warden = warden_.get(),
                                  .pageserver = pageserver_,
                                  .safekeeper = safekeeper_,
                                  .wal = WalPath::pull};
    return options;
  }
  ComputeSpec spec() {
    ComputeSpec spec;
    spec.endpoint_id = "ep-one";
    spec.timeline = timeline_;
    spec.system_identifier = cluster_->system_identifier;
    spec.settings = {{"shared_buffers", "16MB"}};
    return spec;
  }
  static Deadline soon() { return Deadline::after(seconds(60)); }
  std::string query(ComputeAgent& agent, const std::string& sql) {
    SqlConnection connection(agent.start(spec(), soon()), "neondb", soon());
    auto rows = connection.query(sql, soon());
    return rows.empty() ? "" : rows[0][0];
  }
  bool has_data() { return !Compute::data_directories(home_.path() / "computes/ep-one").empty(); }

  static TempFolder* shared_;
  static TemplateCluster* cluster_;
  TempFolder home_;
  bool walls_ = true;  // Computes in rooms.
  std::unique_ptr<Warden> warden_;
  TimelineId timeline_ = TimelineId::random();
  FakePageserver pageserver_{*cluster_};
  FakeSafekeeper safekeeper_{home_.path() / "wal", cluster_->lsn};
};
TempFolder* ComputeAgentTest::shared_ = nullptr;
TemplateCluster* ComputeAgentTest::cluster_ = nullptr;

TEST_F(ComputeAgentTest, TheTemplateHasTheRolesAndTheDatabaseOfAProject) {
  EXPECT_EQ(cluster_->lsn.value % kWalSegmentSize, 0u);
  ComputeAgent agent(options());
  EXPECT_EQ(
      query(agent, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'neondb'"),
      "neondb_owner");
  auto roles = agent.roles("ep-one").roles;
  auto is_owner = [](const StoredRole& role) { return role.name == "neondb_owner"; };
  auto owner = std::find_if(roles.begin(), roles.end(), is_owner);
  ASSERT_NE(owner, roles.end());
  EXPECT_TRUE(owner->can_login);
  EXPECT_EQ(owner->verifier, "");
  EXPECT_EQ(query(agent, "SELECT pg_has_role('neondb_owner', 'pg_write_all_data', 'MEMBER')"), "t");
}

TEST_F(ComputeAgentTest, QuestionsAboutRolesShareAConnectionAsLongAsItWorks) {
  ComputeAgent agent(options());
  agent.start(spec(), soon());
  agent.roles("ep-one");
  const std::string kept =
      " FROM pg_stat_activity WHERE query LIKE '%pg_authid%' AND pid <> pg_backend_pid()";
  std::string pid = query(agent, "SELECT pid" + kept);
  ASSERT_NE(pid, "");
  agent.execute("ep-one", "postgres", "CREATE ROLE newcomer LOGIN");
  auto named = [](const StoredRole& role) { return role.name == "newcomer"; };
  auto roles = agent.roles("ep-one").roles;
  EXPECT_TRUE(std::any_of(roles.begin(), roles.end(), named)) << "asked anew each time";
  EXPECT_EQ(query(agent, "SELECT string_agg(pid::text, ' ')" + kept), pid);
  query(agent, "SELECT pg_terminate_backend(" + pid + ", 5000)");
  EXPECT_FALSE(agent.roles("ep-one").roles.empty());
}

TEST_F(ComputeAgentTest, ARunningComputeReadsAtALaterLsnNowAndThen) {
  ComputeAgent::Options often = options();
  often.reads_move_on = seconds(0);
  pageserver_.read_lsn = cluster_->lsn + (1 << 20);
  ComputeAgent agent(often);
  agent.start(spec(), soon());
  const fs::path manifest = agent.processes().at(0).data_directory + ".manifest";
  auto read_lsn = [&] { return shim::read_manifest_status(manifest).read_lsn; };
  for (const Deadline deadline = soon(); read_lsn() != pageserver_.read_lsn;
       std::this_thread::sleep_for(std::chrono::milliseconds(10)))
    ASSERT_FALSE(deadline.passed());
  agent.suspend("ep-one", true, soon());
}

TEST_F(ComputeAgentTest, RolesAreKnownUntilAnythingChangesThem) {
  ComputeAgent agent(options());
  agent.start(spec(), soon());
  EXPECT_EQ(agent.known_roles("ep-one"), nullptr) << "nobody has asked";
  agent.roles("ep-one");
  ASSERT_NE(agent.known_roles("ep-one"), nullptr);
  EXPECT_EQ(agent.known_roles("ep-one")->roles.size(), agent.roles("ep-one").roles.size());
  for (const char* harmless : {"CREATE TABLE public.t (a int)", "DROP TABLE public.t",
                               "CREATE DATABASE more", "SELECT count(*) FROM pg_authid"})
    query(agent, harmless);
  query(agent, "BEGIN; ALTER ROLE neondb_owner NOLOGIN; ROLLBACK");
  EXPECT_NE(agent.known_roles("ep-one"), nullptr) << "no role has changed";
  for (const char* change :
       {"CREATE ROLE newcomer LOGIN", "ALTER ROLE newcomer PASSWORD 'a'",
        "ALTER ROLE newcomer VALID UNTIL '2030-01-01'", "ALTER ROLE newcomer RENAME TO other",
        "DO $$ BEGIN EXECUTE 'ALTER ROLE other NOLOGIN'; END $$",
        "UPDATE pg_authid SET rolcanlogin = true WHERE rolname = 'other'", "DROP ROLE other"}) {
    ASSERT_NE(agent.known_roles("ep-one"), nullptr);
    query(agent, change);
    EXPECT_EQ(agent.known_roles("ep-one"), nullptr) << change;
    agent.roles("ep-one");
  }
  agent.suspend("ep-one", true, soon());
  EXPECT_EQ(agent.known_roles("ep-one"), nullptr);
  agent.start(spec(), soon());
  EXPECT_EQ(agent.known_roles("ep-one"), nullptr) << "another start";
}

TEST_F(ComputeAgentTest, BootsWithoutRecoveryAndWritesNoParameterChange) {
  ComputeAgent agent(options());
  ComputeSpec changed = spec();
  changed.settings["max_connections"] = "37";
  changed.settings["wal_level"] = "logical";
  agent.start(changed, soon());
  EXPECT_EQ(query(agent, "SHOW max_connections"), "37");
  std::string log = read_file(agent.log_file("ep-one"));
  EXPECT_THAT(log, HasSubstr("database system was shut down at"));
  EXPECT_THAT(log, ::testing::Not(HasSubstr("recovery")));
  // The first record is ours; had boot written one, it would stand right behind.
  std::string first =
      query(agent, "SELECT pg_current_wal_insert_lsn() - '" + cluster_->lsn.str() + "' < 8192");
  EXPECT_EQ(first, "t");
}

TEST_F(ComputeAgentTest, AStartOfARunningComputeIsItsAddress) {
  ComputeAgent agent(options());
  ComputeAddress first = agent.start(spec(), soon());
  EXPECT_EQ(agent.start(spec(), soon()).socket_folder, first.socket_folder);
  EXPECT_EQ(agent.processes().size(), 1u);
  EXPECT_EQ(pageserver_.open_sessions, 1);
}

// What Postgres says to a login at this address.
std::string login(const ComputeAddress& address) {
  try {
    SqlConnection(address, "neondb", Deadline::after(seconds(60)))
        .query("SELECT 1", Deadline::after(seconds(60)));
    return "admitted";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST_F(ComputeAgentTest, OnlyThisStartsSecretOpensItsSocket) {
  ComputeAgent agent(options());
  const ComputeAddress real = agent.start(spec(), soon());
  EXPECT_EQ(login(real), "admitted");
  ComputeAddress forged = real;
  for (std::string secret : {std::string(), Token::random().str(), real.login_secret.substr(1),
                             real.login_secret + "0", real.login_secret.substr(0, 63) + "g"}) {
    forged.login_secret = secret;
    EXPECT_THAT(login(forged), HasSubstr("FATAL:  authentication failed")) << secret;
  }
  agent.suspend("ep-one", false, soon());
  forged = agent.start(spec(), soon());
  EXPECT_NE(forged.login_secret, real.login_secret);
  EXPECT_EQ(login(forged), "admitted");
  forged.login_secret = real.login_secret;
  EXPECT_THAT(login(forged), HasSubstr("authentication failed")) << "an old start's secret";
}

TEST_F(ComputeAgentTest, TheLoginSecretIsNowhereToBeRead) {
  ComputeAgent agent(options());
  const ComputeAddress address = agent.start(spec(), soon());
  SqlConnection connection(address, "postgres", soon());
  auto sql = [&](const std::string& text) { return connection.query(text, soon()).at(0).at(0); };
  std::vector<std::string> seen = {sql("SELECT string_agg(s::text, '') FROM pg_settings s"),
                                   sql("SELECT string_agg(a::text, '') FROM pg_stat_activity a"),
                                   sql("SELECT current_setting('halogen.login_secret', true)"),
                                   read_file(agent.log_file("ep-one"))};
  for (const std::string& pid :
       {std::to_string(agent.processes().at(0).pid), sql("SELECT pg_backend_pid()")})
    for (const char* file : {"environ", "cmdline"}) {
      std::ifstream in("/proc/" + pid + "/" + file);
      seen.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
    }
  for (const std::string& text : seen)
    EXPECT_EQ(text.find(address.login_secret), std::string::npos) << text;
  EXPECT_NE(seen.at(4), "") << "the postmaster's environment could not be read";
}

TEST_F(ComputeAgentTest, WithThatLayerOutAnyoneCanOpenASocket) {
  ComputeAgent::Options without = options();
  without.layers.login_secret = false;
  ComputeAgent agent(std::move(without));
  ComputeAddress address = agent.start(spec(), soon());
  EXPECT_EQ(address.login_secret, "");
  EXPECT_EQ(login(address), "admitted");
}

TEST_F(ComputeAgentTest, WithoutRoomsSuspendAndStartAreTheSame) {
  walls_ = false;
  ComputeAgent agent(options());
  query(agent, "CREATE TABLE public.t AS SELECT g FROM generate_series(1, 1000) g");
  agent.suspend("ep-one", false, soon());
  EXPECT_EQ(query(agent, "SELECT count(*) FROM public.t"), "1000");
  EXPECT_EQ(pageserver_.skeletons, 1);
}

TEST_F(ComputeAgentTest, WhatAComputeLeavesInItsFolderLeadsTheAgentNowhere) {
  ComputeAgent agent(options());
  const fs::path secret = home_.path() / "secret";
  write_file(secret, "secret");
  query(agent, "COPY (SELECT 1) TO PROGRAM 'ln -sf " + secret.string() +
                   " postgresql.auto.conf; mkfifo base/pg_internal.init; cat > /dev/null'");
  agent.suspend("ep-one", false, soon());
  EXPECT_EQ(read_file(secret), "secret");
  EXPECT_EQ(pageserver_.flushed_size_of("postgresql.auto.conf"), 0u);
}

TEST_F(ComputeAgentTest, SuspendRecordsTheEndAndTheNextStartIsWarm) {
  ComputeAgent agent(options());
  query(agent, "CREATE TABLE public.t AS SELECT g FROM generate_series(1, 1000) g");
  ComputeStopped stopped = agent.suspend("ep-one", false, soon());
  EXPECT_FALSE(agent.running("ep-one"));
  EXPECT_FALSE(stopped.roles.empty());
  EXPECT_EQ(safekeeper_.begin_term(timeline_, 1).end, stopped.end);
  EXPECT_GT(pageserver_.flushed_size_of("pg_stat/pgstat.stat"), 0u);
  EXPECT_GT(pageserver_.flushed_size_of("global/pg_internal.init"), 0u);
  EXPECT_GT(pageserver_.flushed_size_of(std::string(kRelcacheMarker)), 0u);
  EXPECT_EQ(pageserver_.open_sessions, 0);
  EXPECT_EQ(agent.suspend("ep-one", false, soon()).end, stopped.end);

  EXPECT_EQ(query(agent, "SELECT count(*) FROM public.t"), "1000");
  EXPECT_EQ(pageserver_.skeletons, 1);
}

TEST_F(ComputeAgentTest, SuspendRefusesWhileClientsAreAtWorkUnlessForced) {
  ComputeAgent agent(options());
  SqlConnection client(agent.start(spec(), soon()), "neondb", soon());
  client.query("BEGIN", soon());
  try {
    agent.suspend("ep-one", false, soon());
    FAIL() << "suspended under a client";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::conflict);
  }
  EXPECT_EQ(client.query("SELECT 1", soon())[0][0], "1");
  agent.suspend("ep-one", true, soon());
  EXPECT_FALSE(agent.running("ep-one"));
}

TEST_F(ComputeAgentTest, AVacuumThatIsRunningIsNotCutOffUnlessForced) {
  ComputeAgent agent(options());
  SqlConnection client(agent.start(spec(), soon()), "neondb", soon());
  for (const char* setting :
       {"autovacuum_naptime = 1", "autovacuum_vacuum_cost_delay = 100",
        "autovacuum_vacuum_cost_limit = 1", "autovacuum_vacuum_threshold = 1"})
    client.query(std::string("ALTER SYSTEM SET ") + setting, soon());
  client.query("SELECT pg_reload_conf()", soon());
  client.query("CREATE TABLE public.t AS SELECT g FROM generate_series(1, 50000) g", soon());
  client.query("DELETE FROM public.t", soon());
  const std::string running =
      "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'autovacuum%t'";
  for (auto end = soon(); client.query(running, soon())[0][0] == "0" && !end.passed();)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  try {
    agent.suspend("ep-one", false, soon());
    FAIL() << "suspended under a vacuum";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::conflict);
    EXPECT_NE(std::string(error.what()).find("autovacuum: VACUUM"), std::string::npos)
        << error.what();
  }
  EXPECT_TRUE(agent.running("ep-one"));
  agent.suspend("ep-one", true, soon());
  EXPECT_FALSE(agent.running("ep-one"));
}

TEST_F(ComputeAgentTest, ASuspendWaitsForWhatAutovacuumHasToDoUnlessForced) {
  ComputeAgent agent(options());
  {
    SqlConnection client(agent.start(spec(), soon()), "neondb", soon());
    client.query("ALTER SYSTEM SET autovacuum_naptime = '1h'", soon());
    client.query("SELECT pg_reload_conf()", soon());
    client.query(
        "CREATE TABLE public.t WITH (autovacuum_vacuum_scale_factor = 0.9, "
        "autovacuum_analyze_scale_factor = 0.9) AS SELECT g FROM generate_series(1, 20000) g; "
        "SELECT pg_stat_force_next_flush()",
        soon());
    client.query("VACUUM ANALYZE public.t", soon());
    client.query("DELETE FROM public.t WHERE g <= 15000; SELECT pg_stat_force_next_flush()",
                 soon());
  }
  EXPECT_FALSE(agent.suspend("ep-one", true, soon()).vacuum_due) << "by the table's own settings";
  query(agent,
        "ALTER TABLE public.t RESET (autovacuum_vacuum_scale_factor, "
        "autovacuum_analyze_scale_factor); INSERT INTO public.t SELECT generate_series(1, 20000)");
  try {
    agent.suspend("ep-one", false, soon());
    FAIL() << "suspended ahead of a vacuum";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::conflict);
    EXPECT_STREQ(error.what(), "autovacuum is due: public.t in database neondb");
  }
  EXPECT_TRUE(agent.suspend("ep-one", true, soon()).vacuum_due);
  query(agent, "VACUUM ANALYZE public.t");
  EXPECT_FALSE(agent.suspend("ep-one", false, soon()).vacuum_due);
  EXPECT_FALSE(agent.running("ep-one"));
}

TEST_F(ComputeAgentTest, APlatformThatStopsLeavesWarmDataDirectories) {
  {
    ComputeAgent agent(options());
    query(agent, "CREATE TABLE public.t AS SELECT 7 AS a");
  }
  ComputeAgent agent(options());
  EXPECT_EQ(query(agent, "SELECT a FROM public.t"), "7");
  EXPECT_EQ(pageserver_.skeletons, 1);
}

TEST_F(ComputeAgentTest, AKeptDataDirectoryIsUsedOnlyAtItsOwnEnd) {
  ComputeAgent agent(options());
  query(agent, "CREATE TABLE public.t AS SELECT 7 AS a");
  agent.suspend("ep-one", false, soon());
  safekeeper_.reset();  // As if the branch had been reset to its beginning.
  EXPECT_EQ(query(agent, "SELECT count(*) FROM pg_class WHERE relname = 't'"), "0");
  EXPECT_EQ(pageserver_.skeletons, 2);
}

TEST_F(ComputeAgentTest, AKeptDataDirectoryOutlivesAStorageThatRefuses) {
  ComputeAgent agent(options());
  query(agent, "CREATE TABLE public.t AS SELECT 7 AS a");
  agent.suspend("ep-one", false, soon());
  pageserver_.disagrees = true;
  EXPECT_THROW(agent.start(spec(), soon()), Error);
  EXPECT_TRUE(has_data());
  pageserver_.disagrees = false;
  EXPECT_EQ(query(agent, "SELECT a FROM public.t"), "7");
  EXPECT_EQ(pageserver_.skeletons, 1);
}

TEST_F(ComputeAgentTest, AKilledPostmasterIsNoticedAndItsDataDirectoryThrownAway) {
  ComputeAgent agent(options());
  std::promise<std::string> exited;
  agent.on_exit([&](const std::string& id) { exited.set_value(id); });
  ComputeAddress address = agent.start(spec(), soon());
  SqlConnection client(address, "neondb", soon());
  ASSERT_EQ(::kill(agent.processes().at(0).pid, SIGKILL), 0);
  auto future = exited.get_future();
  ASSERT_EQ(future.wait_for(seconds(20)), std::future_status::ready);
  EXPECT_EQ(future.get(), "ep-one");
  EXPECT_FALSE(agent.running("ep-one"));
  EXPECT_FALSE(has_data());
  EXPECT_FALSE(fs::exists(address.socket_folder));
  EXPECT_THROW(client.query("SELECT 1", soon()), Error);
  EXPECT_EQ(pageserver_.open_sessions, 0);

  safekeeper_.reset();
  EXPECT_EQ(query(agent, "SELECT 1"), "1");
}

TEST_F(ComputeAgentTest, WithoutARoomAKilledPostmasterLeavesNoSharedMemory) {
  walls_ = false;
  ComputeAgent agent(options());
  std::promise<void> exited;
  agent.on_exit([&](const std::string&) { exited.set_value(); });
  agent.start(spec(), soon());
  int pid = agent.processes().at(0).pid;
  std::string maps = read_file(fmt::format("/proc/{}/maps", pid));
  std::vector<std::string> segments;
  for (size_t at = 0; (at = maps.find("/dev/shm/PostgreSQL.", at)) != std::string::npos; ++at)
    segments.push_back(maps.substr(at, maps.find_first_of(" \n", at) - at));
  ASSERT_FALSE(segments.empty());
  for (const std::string& segment : segments) ASSERT_TRUE(fs::exists(segment)) << segment;
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  ASSERT_EQ(exited.get_future().wait_for(seconds(20)), std::future_status::ready);
  for (const std::string& segment : segments) EXPECT_FALSE(fs::exists(segment)) << segment;
}

TEST_F(ComputeAgentTest, AFailedBootLeavesNothingRunningAndSaysWhy) {
  ComputeAgent agent(options());
  ComputeSpec bad = spec();
  bad.settings["no_such_setting"] = "1";
  try {
    agent.start(bad, soon());
    FAIL() << "booted with an unknown setting";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("no_such_setting"));
  }
  EXPECT_FALSE(agent.running("ep-one"));
  EXPECT_EQ(pageserver_.open_sessions, 0);

  pageserver_.fail_skeleton = true;
  EXPECT_THROW(agent.start(spec(), soon()), Error);
  EXPECT_EQ(pageserver_.open_sessions, 0);
  pageserver_.fail_skeleton = false;
  EXPECT_EQ(query(agent, "SELECT 1"), "1");
}

TEST_F(ComputeAgentTest, AStopThatTheSafekeeperDoesNotConfirmKeepsNoDataDirectory) {
  ComputeAgent agent(options());
  agent.start(spec(), soon());
  safekeeper_.refuse_flush = true;
  EXPECT_THROW(agent.suspend("ep-one", false, soon()), Error);
  EXPECT_FALSE(agent.running("ep-one"));
  EXPECT_FALSE(has_data());
}

TEST_F(ComputeAgentTest, WhatAKilledAgentLeftRunningIsEndedBeforeAnythingElse) {
  walls_ = false;
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  pid_t platform = ::fork();
  if (platform == 0) {
    // Threads do not survive a fork, so the child needs a safekeeper of its own.
    FakeSafekeeper safekeeper(home_.path() / "wal", cluster_->lsn);
    ComputeAgent::Options mine{.home = home_.path() / "computes",
                               .run = home_.path() / "run",
                               .libraries = build_libraries(),
                               .pageserver = pageserver_,
                               .safekeeper = safekeeper,
                               .wal = WalPath::pull};
    ComputeAgent agent(mine);
    agent.start(spec(), soon());
    [[maybe_unused]] ssize_t done = ::write(ready[1], "x", 1);
    ::pause();
    ::_exit(0);
  }
  char byte;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  // Not any postgres in the folder: the new agent soon has one that waits for the next start.
  const fs::path program = fmt::format("/proc/{}/exe", postmaster_below(home_.path()));
  const bool running = fs::exists(program);
  ::kill(platform, SIGKILL);
  ::waitpid(platform, nullptr, 0);
  ASSERT_TRUE(running);
  ComputeAgent agent(options());
  EXPECT_FALSE(fs::exists(program)) << "it runs still";
  EXPECT_FALSE(has_data());
  safekeeper_.reset();
  EXPECT_EQ(query(agent, "SELECT 1"), "1");
}

TEST_F(ComputeAgentTest, TwoAgentsCannotHaveOneHome) {
  ComputeAgent agent(options());
  EXPECT_THROW(ComputeAgent second(options()), Error);
}

TEST_F(ComputeAgentTest, ExecuteAnswersWithWhatPostgresSays) {
  ComputeAgent agent(options());
  agent.start(spec(), soon());
  agent.execute("ep-one", "neondb", "CREATE ROLE bob LOGIN");
  try {
    agent.execute("ep-one", "neondb", "CREATE ROLE bob LOGIN");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::already_exists);
    EXPECT_THAT(error.what(), HasSubstr("role \"bob\" already exists"));
  }
  EXPECT_THROW(agent.execute("ep-two", "neondb", "SELECT 1"), Error);
}

TEST_F(ComputeAgentTest, DestroyRemovesEverything) {
  ComputeAgent agent(options());
  agent.start(spec(), soon());
  agent.destroy("ep-one");
  EXPECT_FALSE(agent.running("ep-one"));
  EXPECT_FALSE(fs::exists(home_.path() / "computes/ep-one"));
}

}  // namespace
}  // namespace halogen::compute
