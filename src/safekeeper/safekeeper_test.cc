// The whole safekeeper against the stock server and the stock client.
#include "safekeeper/safekeeper.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <random>
#include <thread>

#include "base/error.h"
#include "net/replication_client.h"
#include "postgres/stock_cluster.h"
#include "postgres/wal_reader.h"
#include "protocol/storage_contract.h"
#include "safekeeper/receiver.h"

namespace halogen::safekeeper {
namespace {

using halogen::testing::run;
using halogen::testing::StockCluster;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kName = "sk1";

template <typename Call>
Errc code_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  return Errc::internal;
}

class SafekeeperTest : public ::testing::Test {
 protected:
  SafekeeperTest() : home_("/tmp/hsk-" + random_name(8)) {
    fs::create_directories(home_);
    fs::permissions(home_, fs::perms::all);
  }
  ~SafekeeperTest() override {
    keeper_.reset();
    fs::remove_all(home_);
  }

  void open_keeper(std::function<void(std::string_view)> hook = {}) {
    keeper_.reset();
    keeper_ = std::make_unique<Safekeeper>(options(std::move(hook)));
  }
  Safekeeper::Options options(std::function<void(std::string_view)> hook = {}) const {
    return {.home = home_ / "wal",
            .socket_folder = home_.string(),
            .port = 5454,
            .hook = std::move(hook)};
  }
  // A timeline that begins where the cluster's WAL, at a segment's start, now ends.
  Lsn create_for(StockCluster& cluster) {
    cluster.sql("select pg_switch_wal()");
    Lsn start = flushed_by(cluster);
    // The insert position after a switch may be reported behind the page header.
    start = segment_of(start + 100'000) > start ? segment_of(start + 100'000) : segment_of(start);
    keeper_->create_timeline(id_, start, cluster.control().system_identifier);
    return start;
  }
  // Good for several connections.
  Token token() { return keeper_->grant_wal(id_, WalConsumer::tool); }
  static Lsn flushed_by(StockCluster& cluster) {
    std::string text = cluster.sql("select pg_current_wal_flush_lsn()");
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return Lsn::parse(text).value();
  }
  void pull_from(StockCluster& cluster, uint64_t term) {
    keeper_->pull(id_, term, {cluster.folder().string(), 5432, "postgres", kName, ""});
  }
  void wait_for(StockCluster& cluster) {
    keeper_->wait_for_flush(id_, flushed_by(cluster), Deadline::after(seconds(20)));
  }
  static void make_synchronous(StockCluster& cluster) {
    cluster.sql("alter system set synchronous_standby_names = 'ANY 1 (*)'");
    cluster.sql("select pg_reload_conf()");
  }
  // Commits of what comes after `first` wait for us.
  void start_synchronous(StockCluster& cluster, const std::string& first) {
    cluster.start();
    create_for(cluster);
    keeper_->begin_term(id_, 1);
    pull_from(cluster, 1);
    cluster.sql(first);
    wait_for(cluster);
    make_synchronous(cluster);
  }
  std::string wal_file(Lsn lsn) const {
    return read_file(SegmentFiles(home_ / "wal" / id_.str()).path(lsn));
  }
  // The slot's position is the last acknowledgement.
  static Lsn acknowledged_to(StockCluster& cluster) {
    net::ReplicationClient client(
        {.host = cluster.folder().string(), .port = 5432, .user = "postgres"});
    client.connect(Deadline::after(seconds(5)));
    std::vector<wire::Row> slot =
        client.command(fmt::format("READ_REPLICATION_SLOT {}", kName), Deadline::after(seconds(5)));
    return Lsn::parse(slot.at(0).at(1).value_or("0/0")).value();
  }
  static std::string own_wal_file(StockCluster& cluster, Lsn lsn) {
    return read_file(cluster.data() / "pg_wal" / wal_segment_name(lsn, kWalSegmentSize));
  }

  const TimelineId id_ = TimelineId::random();
  const fs::path home_;
  std::unique_ptr<Safekeeper> keeper_;
};

TEST_F(SafekeeperTest, ACommitIsAcknowledgedOnlyWhenItsWalIsSynced) {
  std::atomic<bool> block = false;
  std::atomic<int> syncs = 0;
  open_keeper([&](std::string_view step) {
    if (step != "sync") return;
    ++syncs;
    while (block) std::this_thread::sleep_for(milliseconds(1));
  });
  StockCluster cluster;
  start_synchronous(cluster, "create table t(a int)");
  block = true;
  std::atomic<bool> committed = false;
  std::thread writer([&] {
    cluster.sql("insert into t values (1)");
    committed = true;
  });
  std::this_thread::sleep_for(milliseconds(300));
  EXPECT_FALSE(committed);
  block = false;
  writer.join();
  EXPECT_TRUE(committed);
  EXPECT_GT(syncs, 0);
}

TEST_F(SafekeeperTest, AComputeThatCannotBeFollowedIsAProblemAndNotJustAway) {
  open_keeper();
  StockCluster cluster;
  cluster.start("-c max_replication_slots=0");
  create_for(cluster);
  keeper_->begin_term(id_, 1);
  EXPECT_EQ(keeper_->status(id_).problem, "");
  pull_from(cluster, 1);
  Deadline deadline = Deadline::after(seconds(20));
  while (keeper_->status(id_).problem.empty() && !deadline.passed())
    std::this_thread::sleep_for(milliseconds(5));
  EXPECT_THAT(keeper_->status(id_).problem, ::testing::HasSubstr("(53400)"));
  cluster.stop();
  cluster.start();
  cluster.sql("create table t(a int)");
  wait_for(cluster);
  EXPECT_EQ(keeper_->status(id_).problem, "");
}

class ProblemSink final : public WalSink {
 public:
  Lsn restart() override { return Lsn(0); }
  void append(Lsn, Bytes) override {}
  Lsn flush() override { return Lsn(0); }
  void set_problem(const std::string& why) override { told.set_value(why); }
  std::promise<std::string> told;
};

TEST(Receiver, AComputeThatStaysAwayIsAProblem) {
  ProblemSink sink;
  Receiver receiver({.name = "away",
                     .source = {"/nowhere", 5432, "postgres", "safekeeper", ""},
                     .system_identifier = 1,
                     .patience = milliseconds(50)},
                    sink);
  EXPECT_THAT(sink.told.get_future().get(), ::testing::HasSubstr("/nowhere"));
}

TEST_F(SafekeeperTest, AnOlderTermIsRefusedAndAnEndedOneStopsAtOnce) {
  open_keeper();
  StockCluster cluster;
  cluster.start();
  create_for(cluster);
  EXPECT_EQ(code_of([&] { pull_from(cluster, 1); }), Errc::conflict);
  keeper_->begin_term(id_, 5);
  EXPECT_EQ(code_of([&] { keeper_->begin_term(id_, 5); }), Errc::fenced);
  EXPECT_EQ(code_of([&] { keeper_->begin_term(id_, 4); }), Errc::fenced);
  EXPECT_EQ(code_of([&] { pull_from(cluster, 4); }), Errc::fenced);
  pull_from(cluster, 5);
  cluster.sql("create table t(a int); insert into t values (1)");
  wait_for(cluster);
  TermStart start = keeper_->begin_term(id_, 6);
  cluster.sql("insert into t select generate_series(1, 1000)");
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_EQ(keeper_->status(id_).flush, start.end);
  EXPECT_EQ(keeper_->status(id_).term, 6u);
  EXPECT_EQ(code_of([&] { pull_from(cluster, 5); }), Errc::fenced);
  // And what it says of the last record is what the cluster's WAL says.
  std::string own = own_wal_file(cluster, start.prev_record);
  Lsn page(page_start(start.end));
  EXPECT_EQ(start.page_head,
            own_wal_file(cluster, page).substr(page.value % kWalSegmentSize, start.end - page));
  WalRecordHeader header =
      load_record_header(own.data() + start.prev_record.value % kWalSegmentSize);
  EXPECT_EQ(Lsn(wal_align((start.prev_record + header.total_size).value)), start.end);
}

TEST_F(SafekeeperTest, WalOfAnotherSystemIsRefused) {
  open_keeper();
  StockCluster cluster;
  cluster.start();
  Lsn start = segment_of(flushed_by(cluster));
  keeper_->create_timeline(id_, start, 12345);
  keeper_->create_timeline(id_, start, 12345);
  EXPECT_EQ(code_of([&] { keeper_->create_timeline(id_, start, 1); }), Errc::already_exists);
  keeper_->begin_term(id_, 1);
  pull_from(cluster, 1);
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_EQ(keeper_->status(id_).flush, start);
}

TEST_F(SafekeeperTest, KeepsItsContract) {
  open_keeper();
  contract::expect_contract(*keeper_);
}

TEST_F(SafekeeperTest, EveryStepOfMakingAndDeletingMayBeDoneAgain) {
  open_keeper();
  Lsn start(5 * kWalSegmentSize);
  keeper_->delete_timeline(id_);
  keeper_->create_timeline(id_, start, 1);
  keeper_->create_timeline(id_, start, 1);
  keeper_->delete_timeline(id_);
  keeper_->delete_timeline(id_);
  EXPECT_EQ(code_of([&] { keeper_->status(id_); }), Errc::not_found);
  // What cannot be opened, and what a failed deletion has left, can be deleted as well.
  keeper_->create_timeline(id_, start, 1);
  keeper_.reset();
  const fs::path folder = home_ / "wal" / id_.str();
  write_file_durably(folder / "state", "broken");
  open_keeper();
  EXPECT_EQ(code_of([&] { keeper_->status(id_); }), Errc::corrupt);
  fs::create_directories(folder.string() + ".deleted/x");
  keeper_->delete_timeline(id_);
  EXPECT_EQ(code_of([&] { keeper_->status(id_); }), Errc::not_found);
  EXPECT_FALSE(fs::exists(folder));
  keeper_->create_timeline(id_, start, 2);
}

TEST_F(SafekeeperTest, PostgresMayComeAndGoAndNothingIsMissing) {
  open_keeper();
  StockCluster cluster;
  cluster.start();
  Lsn start = create_for(cluster);
  keeper_->begin_term(id_, 1);
  pull_from(cluster, 1);
  for (int round = 0; round < 3; ++round) {
    cluster.sql(fmt::format("create table t{} as select generate_series(1, 20000)", round));
    cluster.stop("fast");
    cluster.start();
  }
  wait_for(cluster);
  keeper_->stop_pull(id_, 1);
  Lsn end = keeper_->status(id_).flush;
  for (Lsn at = start; at < end; at = at + kWalSegmentSize) {
    size_t size = std::min<uint64_t>(kWalSegmentSize, end - at);
    EXPECT_TRUE(wal_file(at).substr(0, size) == own_wal_file(cluster, at).substr(0, size))
        << at.str();
  }
}

TEST_F(SafekeeperTest, PgReceivewalGetsByteIdenticalSegments) {
  open_keeper();
  StockCluster cluster;
  cluster.start();
  Lsn start = create_for(cluster);
  keeper_->begin_term(id_, 1);
  pull_from(cluster, 1);
  cluster.sql("create table t as select i, repeat('x', 100) from generate_series(1, 200000) i");
  cluster.sql("select pg_switch_wal()");
  cluster.sql("create table u as select 1");
  wait_for(cluster);
  Lsn end = segment_of(flushed_by(cluster));
  ASSERT_GE(end - start, 2 * kWalSegmentSize);
  fs::path out = home_ / "received";
  fs::create_directories(out);
  // It goes on behind the last segment that it has; without one it would begin at the end.
  UniqueFd first = open_file(out / wal_segment_name(start - 1, kWalSegmentSize), O_RDWR | O_CREAT);
  ASSERT_EQ(::ftruncate(first.get(), kWalSegmentSize), 0);
  run(fmt::format(
      "PGPASSWORD={} timeout 60 {}pg_receivewal -h {} -p 5454 -U {} -D {} --no-loop -n --endpos={}",
      token().str(), halogen::testing::kPostgresBin, home_.string(), id_.str(), out.string(),
      end.str()));
  for (Lsn at = start; at < end; at = at + kWalSegmentSize) {
    fs::path name = wal_segment_name(at, kWalSegmentSize);
    ASSERT_TRUE(fs::exists(out / name)) << name;
    EXPECT_TRUE(read_file(out / name) == own_wal_file(cluster, at)) << name;
  }
}

TEST_F(SafekeeperTest, AnswersWhatReplicationClientsAsk) {
  open_keeper();
  Lsn start(5 * kWalSegmentSize + 8192 * 3 + 80);
  keeper_->create_timeline(id_, start, 777);
  keeper_->begin_term(id_, 1);
  auto psql = [&](const std::string& command) {
    return run(
        fmt::format("(PGPASSWORD={} psql -X -A -t -c '{}' 'host={} port=5454 user={} "
                    "replication=true dbname=x' || true)",
                    token().str(), command, home_.string(), id_.str()));
  };
  EXPECT_EQ(psql("IDENTIFY_SYSTEM"), fmt::format("777|1|{}|\n", start.str()));
  EXPECT_EQ(psql("SHOW wal_segment_size"), "16MB\n");
  EXPECT_EQ(psql("show data_directory_mode;"), "0700\n");
  EXPECT_EQ(psql("READ_REPLICATION_SLOT \"x\""), "||\n");
  EXPECT_NE(psql("TIMELINE_HISTORY 1").find("no history file"), std::string::npos);
  EXPECT_NE(psql("SELECT 1").find("not supported by a safekeeper"), std::string::npos);
  EXPECT_NE(psql("START_REPLICATION 0/1000000").find("already been removed"), std::string::npos);
  EXPECT_NE(psql("START_REPLICATION 9/0").find("ahead of the WAL flush"), std::string::npos);
  EXPECT_NE(psql("START_REPLICATION 9/0 TIMELINE 2").find("has only 1"), std::string::npos);
  std::string password = token().str();
  keeper_->delete_timeline(id_);
  std::string gone =
      run(fmt::format("(PGPASSWORD={} psql -X -c x 'host={} port=5454 user={} replication=true' "
                      "|| true)",
                      password, home_.string(), id_.str()));
  EXPECT_NE(gone.find("is no token for timeline"), std::string::npos) << gone;
}

// What the server says to `sent`, until it closes or is silent for a while.
std::string converse(const fs::path& folder, const std::string& sent) {
  net::Socket socket = net::connect_unix(net::postgres_socket_path(folder.string(), 5454),
                                         Deadline::after(seconds(5)));
  socket.send_all(sent);
  std::string got;
  try {
    for (;;) {
      std::byte piece[1000];
      size_t size = socket.recv_some(piece, Deadline::after(milliseconds(300)));
      got += as_text(Bytes(piece, size));
    }
  } catch (const Error&) {
  }
  return got;
}

TEST_F(SafekeeperTest, RefusesEncryptionPolitelyAndOtherPeopleFirmly) {
  open_keeper();
  Lsn start(5 * kWalSegmentSize);
  keeper_->create_timeline(id_, start, 777);
  auto startup = [&](const std::string& user, const std::string& replication) {
    std::string out = wire::startup_packet({{"user", user}, {"replication", replication}});
    wire::put_password(out, token().str());
    return out;
  };
  std::string both = wire::ssl_request() + startup(id_.str(), "true");
  std::string answer = converse(home_, both);
  EXPECT_TRUE(answer.starts_with("NR")) << answer;
  EXPECT_TRUE(answer.ends_with(std::string("Z\0\0\0\5I", 6)));
  EXPECT_NE(converse(home_, startup(id_.str(), "")).find("28000"), std::string::npos);
  EXPECT_NE(converse(home_, startup(id_.str(), "database")).find("28000"), std::string::npos);
  EXPECT_NE(converse(home_, startup("me", "on")).find("28000"), std::string::npos);
  EXPECT_EQ(converse(home_, wire::cancel_request(1, 2)), "");
  EXPECT_NE(converse(home_, std::string("\0\0\0\x08\0\2\0\0", 8)).find("protocol 2.0"),
            std::string::npos);
  std::string parse_message;
  wire::put_message(parse_message, 'P', "x");
  EXPECT_NE(converse(home_, both + parse_message).find("FATAL"), std::string::npos);
  // Streaming ends when the client says so, and the connection goes on.
  std::string session = startup(id_.str(), "1");
  wire::put_query(session, "START_REPLICATION " + start.str());
  wire::put_copy_done(session);
  wire::put_query(session, "SHOW data_directory_mode");
  answer = converse(home_, session);
  EXPECT_NE(answer.find("START_STREAMING"), std::string::npos);
  EXPECT_NE(answer.find("0700"), std::string::npos);
}

TEST_F(SafekeeperTest, OnlyATokenForThisTimelineOpensItsWal) {
  open_keeper();
  const TimelineId other = TimelineId::random();
  for (TimelineId id : {id_, other}) keeper_->create_timeline(id, Lsn(kWalSegmentSize), 777);
  auto said = [&](TimelineId id, const std::string& password) {
    std::string sent = wire::startup_packet({{"user", id.str()}, {"replication", "true"}});
    wire::put_password(sent, password);
    std::string answer = converse(home_, sent);
    return answer.ends_with(std::string("Z\0\0\0\5I", 6)) ? "admitted" : answer;
  };
  const std::string tool = keeper_->grant_wal(id_, WalConsumer::tool).str();
  EXPECT_EQ(said(id_, tool), "admitted");
  EXPECT_EQ(said(id_, tool), "admitted");
  const std::string once = keeper_->grant_wal(id_, WalConsumer::pageserver).str();
  EXPECT_EQ(said(id_, once), "admitted");
  std::string forged = tool;
  forged.back() = forged.back() == '0' ? '1' : '0';
  for (const std::string& password :
       {once, keeper_->grant_wal(other, WalConsumer::tool).str(), forged, Token::random().str(),
        id_.str(), std::string("x"), std::string()}) {
    std::string answer = said(id_, password);
    EXPECT_NE(answer.find("28000"), std::string::npos) << answer;
    EXPECT_NE(answer.find("is no token for timeline"), std::string::npos) << answer;
  }
  EXPECT_EQ(code_of([&] { keeper_->grant_wal(TimelineId::random(), WalConsumer::tool); }),
            Errc::not_found);
}

TEST(WalAccess, ATokenHasItsTime) {
  WalAccess access;
  const TimelineId id = TimelineId::random();
  const auto begin = steady_clock::now();
  Token pageserver = access.grant(id, WalConsumer::pageserver, begin);
  Token tool = access.grant(id, WalConsumer::tool, begin);
  EXPECT_FALSE(access.admit(id, pageserver, begin + WalAccess::kPageserverTime));
  EXPECT_EQ(access.admit(id, tool, begin + WalAccess::kPageserverTime), WalConsumer::tool);
  EXPECT_FALSE(access.admit(id, tool, begin + WalAccess::kToolTime));
}

// Reads until `end` and returns all that came.
std::string stream(const fs::path& folder, TimelineId id, const Token& token, Lsn from, Lsn end) {
  net::ReplicationClient client(
      {.host = folder.string(), .port = 5454, .user = id.str(), .password = token.str()});
  client.connect(Deadline::after(seconds(5)));
  client.start_replication(from, "", Deadline::after(seconds(5)));
  std::string got;
  while (from + got.size() < end) {
    if (!client.receive(Deadline::after(seconds(10)))) break;
    while (auto message = client.next()) {
      if (message->kind != 'w') continue;
      EXPECT_EQ(message->start, from + got.size());
      got += as_text(message->data);
    }
  }
  return got.substr(0, end - from);  // The server writes things of its own now and then.
}

TEST_F(SafekeeperTest, TrimAndDeleteEndWhatReadersCanHave) {
  open_keeper();
  StockCluster cluster;
  cluster.start();
  Lsn start = create_for(cluster);
  keeper_->begin_term(id_, 1);
  pull_from(cluster, 1);
  cluster.sql("create table t as select i, repeat('x', 100) from generate_series(1, 300000) i");
  wait_for(cluster);
  Lsn end = keeper_->status(id_).flush;
  EXPECT_EQ(stream(home_, id_, token(), start, end).size(), end - start);
  keeper_->trim(id_, start + kWalSegmentSize + 5);
  EXPECT_EQ(keeper_->status(id_).start, start + kWalSegmentSize);
  EXPECT_EQ(code_of([&] { stream(home_, id_, token(), start, end); }), Errc::not_found);
  EXPECT_EQ(stream(home_, id_, token(), start + kWalSegmentSize, end).size(),
            end - start - kWalSegmentSize);
  std::thread waiter([&] {
    EXPECT_EQ(code_of([&] {
                keeper_->wait_for_flush(id_, end + (1 << 30), Deadline::after(seconds(30)));
              }),
              Errc::cancelled);
  });
  std::this_thread::sleep_for(milliseconds(50));
  keeper_->delete_timeline(id_);
  waiter.join();
  EXPECT_EQ(code_of([&] { keeper_->status(id_); }), Errc::not_found);
  EXPECT_FALSE(fs::exists(home_ / "wal" / id_.str()));
  open_keeper();
  EXPECT_EQ(code_of([&] { keeper_->status(id_); }), Errc::not_found);
}

TEST_F(SafekeeperTest, ATimelineAtRestIsClosedAndNothingIsMissing) {
  StockCluster cluster;
  cluster.start();
  Safekeeper::Options resting = options();
  resting.close_after = milliseconds(20);
  keeper_ = std::make_unique<Safekeeper>(resting);
  auto wait_for_rest = [&] {
    const Deadline deadline = Deadline::after(seconds(20));
    while (keeper_->open_timelines() > 0 && !deadline.passed())
      std::this_thread::sleep_for(milliseconds(1));
    ASSERT_EQ(keeper_->open_timelines(), 0u);
  };
  create_for(cluster);
  EXPECT_EQ(keeper_->open_timelines(), 0u) << "what is new is at rest";
  for (uint64_t term = 1; term <= 3; ++term) {
    keeper_->begin_term(id_, term);
    pull_from(cluster, term);
    cluster.sql("create table t" + std::to_string(term) + " as select generate_series(1, 1000)");
    wait_for(cluster);
    std::this_thread::sleep_for(milliseconds(60));
    EXPECT_EQ(keeper_->open_timelines(), 1u) << "a compute writes to it";
    const Lsn end = keeper_->status(id_).flush;
    keeper_->stop_pull(id_, term);
    wait_for_rest();
    EXPECT_GE(keeper_->known_end(id_), end);
    keeper_->trim(id_, end);
    EXPECT_EQ(keeper_->open_timelines(), 0u) << "neither needs it open";
    EXPECT_EQ(keeper_->status(id_).flush, keeper_->known_end(id_));
    EXPECT_EQ(keeper_->status(id_).term, term);
  }
}

// A crash leaves a state that lags; what is behind it is seen without opening the timeline.
TEST_F(SafekeeperTest, ACrashHidesNothingFromThoseThatAskHowFarItGoes) {
  StockCluster cluster;
  cluster.start();
  open_keeper();
  const Lsn start = create_for(cluster);
  keeper_->begin_term(id_, 1);
  const fs::path state_file = fs::path(id_.str()) / kStateName;
  fs::copy_file(home_ / "wal" / state_file, home_ / "state");
  pull_from(cluster, 1);
  cluster.sql("create table t as select generate_series(1, 1000)");
  wait_for(cluster);
  Safekeeper::Options crashed = options();  // As it is now on disk.
  crashed.home = home_ / "crashed";
  crashed.port = 5455;
  fs::copy(home_ / "wal", crashed.home, fs::copy_options::recursive);
  fs::copy_file(home_ / "state", crashed.home / state_file, fs::copy_options::overwrite_existing);
  Safekeeper after(crashed);
  EXPECT_GT(after.known_end(id_), start);
  EXPECT_EQ(after.open_timelines(), 0u);
  EXPECT_GE(after.status(id_).flush, flushed_by(cluster));
  EXPECT_EQ(after.known_end(id_), after.status(id_).flush);
}

TEST_F(SafekeeperTest, AFullDiskDelaysCommitsAndLosesNothing) {
  std::atomic<bool> full = false;
  open_keeper([&](std::string_view step) {
    if (full && step == "allocate") throw Error(Errc::io, "No space left on device");
  });
  StockCluster cluster;
  start_synchronous(cluster, "create table t(a int, b text)");
  full = true;
  std::atomic<bool> committed = false;
  std::thread writer([&] {
    cluster.sql("insert into t select i, repeat('x', 1000) from generate_series(1, 30000) i");
    committed = true;
  });
  std::this_thread::sleep_for(milliseconds(1500));
  EXPECT_FALSE(committed);
  full = false;
  writer.join();
  wait_for(cluster);
}

// A child process runs a safekeeper under a synchronous write load and is killed at a random
// moment; another takes over. What Postgres was told is durable must be there.
TEST_F(SafekeeperTest, AfterKillNineAllThatWasAcknowledgedIsThere) {
#if __has_feature(thread_sanitizer)
  GTEST_SKIP() << "a child forked from several threads may not start any under this sanitizer";
#endif
  StockCluster cluster;
  cluster.start();
  cluster.sql("create table t(a int)");
  open_keeper();
  Lsn start = create_for(cluster);
  keeper_->begin_term(id_, 1);
  keeper_.reset();
  make_synchronous(cluster);
  std::atomic<bool> stop = false;
  std::thread load([&] {
    while (!stop) {
      try {
        cluster.sql("insert into t select generate_series(1, 300)");
      } catch (const Error&) {
        // Cancelled at the end of the test.
      }
    }
  });
  std::mt19937_64 random(3);
  Lsn acknowledged = start;
  for (int round = 0; round < 4; ++round) {
    pid_t child = ::fork();
    if (child == 0) {
      Safekeeper keeper(options());
      keeper.pull(id_, 1, {cluster.folder().string(), 5432, "postgres", kName, ""});
      for (;;) ::pause();
    }
    const Deadline patience = Deadline::after(seconds(60));
    while (acknowledged_to(cluster) <= acknowledged && !patience.passed())
      std::this_thread::sleep_for(milliseconds(20));
    std::this_thread::sleep_for(milliseconds(random() % 300));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    EXPECT_GT(acknowledged_to(cluster), acknowledged) << "nothing was acknowledged in a minute";
    acknowledged = acknowledged_to(cluster);
    std::string own = own_wal_file(cluster, acknowledged);
    open_keeper();
    Lsn flush = keeper_->status(id_).flush;
    // All complete records up to there count; of a part of one nobody has been promised anything.
    WalReader reader(start);
    std::string wal;
    for (Lsn at = start; at < acknowledged; at = at + kWalSegmentSize)
      wal += own_wal_file(cluster, at)
                 .substr(0, std::min<uint64_t>(acknowledged - at, kWalSegmentSize));
    reader.feed(as_bytes(wal));
    WalRecordView record;
    while (reader.next(record)) {
    }
    EXPECT_GE(flush, reader.last_end()) << acknowledged.str();
    EXPECT_GT(flush, start);
    size_t size = flush - segment_of(flush);
    EXPECT_TRUE(wal_file(flush).substr(0, size) == own_wal_file(cluster, flush).substr(0, size));
    keeper_.reset();
  }
  stop = true;
  open_keeper();
  pull_from(cluster, 1);
  load.join();
  wait_for(cluster);
}

}  // namespace
}  // namespace halogen::safekeeper
