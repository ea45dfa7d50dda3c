// A client whose request waits for a server, a slot or a wake: it can cancel it, and leave. And
// messages that wait for their end: how large they may be, and what they cost.
#include <gmock/gmock.h>

#include <ctime>
#include <thread>

#include "base/metrics.h"
#include "proxy/testing/raw_client.h"
#include "proxy/testing/test_world.h"

namespace halogen::proxy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

std::string query(std::string_view sql) {
  std::string bytes;
  wire::put_query(bytes, sql);
  return bytes;
}

std::string message(char type, std::string_view body = {}) {
  std::string bytes;
  wire::put_message(bytes, type, body);
  return bytes;
}

std::string parse(std::string_view sql) {
  return message('P', std::string(1, '\0').append(sql).append(3, '\0'));
}

std::string run_unnamed() {
  return message('B', std::string(8, '\0')) + message('E', std::string(5, '\0'));
}

class WaitingTest : public ProxyTest {
 protected:
  WaitingTest() { direct_sql("drop table if exists ran; create table ran (i int)"); }

  // Logged in.
  RawClient client(const std::string& endpoint = "ep-test-pooler") {
    RawClient made(proxy_->port());
    EXPECT_TRUE(made.request_tls({}));
    made.log_in(wire::kProtocol3, {{"user", "alice"}, {"database", "postgres"}},
                "endpoint=" + endpoint + ";" + kPassword);
    key_ = made.next('K').body;
    EXPECT_EQ(made.next('Z').type, 'Z');
    return made;
  }
  // Of the client that logged in last. Returns when it has been delivered.
  void cancel() {
    Writer packet;
    packet.be_put(static_cast<uint32_t>(8 + key_.size())).be_put(wire::kCancelRequest).text(key_);
    RawClient request(proxy_->port());
    request.send(packet.view());
    EXPECT_TRUE(request.closed());
  }
  // The pool's only server is taken.
  RawClient holder() {
    PoolSettings settings;
    settings.pool_size = 1;
    endpoints_.set_pool(settings);
    RawClient made = client();
    made.send(query("begin"));
    EXPECT_EQ(made.next('Z').body, "T");
    return made;
  }
  void release(RawClient& holder) {
    holder.send(query("commit"));
    EXPECT_EQ(holder.next('Z').body, "I");
  }
  static void wait_until_in_line() {
    while (metrics::gauge("halogen_proxy_waiting", "").value() < 1)
      std::this_thread::sleep_for(milliseconds(2));
  }
  std::string rows() { return direct_sql("select count(*) from ran"); }
  static double held_bytes() { return metrics::gauge("halogen_proxy_held_bytes", "").value(); }

  std::string key_;
};

TEST_F(WaitingTest, ACanceledRequestInLineIsAnsweredAndNeverRuns) {
  start();
  RawClient first = holder();
  RawClient waiter = client();
  waiter.send(query("insert into ran values (1)"));
  wait_until_in_line();
  cancel();
  wire::ErrorFields error = waiter.next('E').error();
  EXPECT_EQ(error.severity, "ERROR");
  EXPECT_EQ(error.sqlstate, "57014");
  EXPECT_EQ(error.message, "canceling statement due to user request");
  EXPECT_EQ(waiter.next('Z').body, "I");
  release(first);
  waiter.send(query("select 1"));
  EXPECT_EQ(waiter.next().type, 'T');
  EXPECT_EQ(waiter.next('Z').body, "I");
  EXPECT_EQ(rows(), "0\n");
}

// Up to its Sync, as Postgres skips it; what follows is another request, and runs.
TEST_F(WaitingTest, ACanceledPipelineIsSkippedUpToItsSync) {
  start();
  RawClient first = holder();
  RawClient waiter = client();
  std::string insert = parse("insert into ran values (1)") + run_unnamed();
  waiter.send(insert + insert + message('S') + parse("select 7") + run_unnamed() + message('S'));
  wait_until_in_line();
  cancel();
  EXPECT_EQ(waiter.next().error().sqlstate, "57014");
  EXPECT_EQ(waiter.next().type, 'Z');
  release(first);
  EXPECT_EQ(waiter.next('D').body.back(), '7');
  EXPECT_EQ(waiter.next('Z').body, "I");
  EXPECT_EQ(rows(), "0\n");
}

TEST_F(WaitingTest, ARequestThatWaitsForAWakeCanBeCanceled) {
  for (const char* endpoint : {"ep-test", "ep-test-pooler"}) {
    start();
    RawClient waiter = client(endpoint);
    endpoints_.compute_stopped();
    endpoints_.wake_time = milliseconds(3000);
    int before = endpoints_.wakes;
    waiter.send(query("insert into ran values (1)"));
    while (endpoints_.wakes == before) std::this_thread::sleep_for(milliseconds(2));
    cancel();
    auto since = std::chrono::steady_clock::now();
    EXPECT_EQ(waiter.next('E').error().sqlstate, "57014") << endpoint;
    EXPECT_LT(std::chrono::steady_clock::now() - since, milliseconds(2000));
    endpoints_.wake_time = milliseconds(0);
    waiter.send(query("select 1"));
    EXPECT_EQ(waiter.next('D').type, 'D') << endpoint;
    EXPECT_EQ(rows(), "0\n");
  }
}

TEST_F(WaitingTest, ACancelRequestHitsNothingThatComesLater) {
  start();
  RawClient idle = client();
  cancel();
  idle.send(query("select 1"));
  EXPECT_EQ(idle.next('D').type, 'D');
  EXPECT_EQ(idle.next().type, 'C');
}

// Also when it has said more, and that it leaves: nobody is there to hear the answer.
TEST_F(WaitingTest, AClientThatLeavesWhileItWaitsRunsNothing) {
  start();
  RawClient first = holder();
  {
    RawClient waiter = client();
    waiter.send(query("insert into ran values (1)"));
    wait_until_in_line();
    waiter.send(query("insert into ran values (2)") + message('X'));
  }
  while (metrics::gauge("halogen_proxy_waiting", "").value() > 0)
    std::this_thread::sleep_for(milliseconds(5));
  release(first);
  RawClient next = client();
  next.send(query("select 1"));
  EXPECT_EQ(next.next('D').type, 'D');
  EXPECT_EQ(rows(), "0\n");
}

// Its server was told that nothing more comes, so it ends; nobody else can have it.
TEST_F(WaitingTest, TheServerOfAClientThatLeftBeforeItsAnswerIsNotGivenOn) {
  start();
  RawClient lock = client("ep-test");
  lock.send(query("select pg_advisory_lock(7)"));
  lock.next('Z');
  PoolSettings settings;
  settings.pool_size = 1;
  endpoints_.set_pool(settings);
  RawClient waiter = client();
  RawClient leaver = client();
  leaver.send(query("select pg_advisory_xact_lock(7)") + message('X'));
  while (direct_sql("select count(*) from pg_locks where not granted") == "0\n")
    std::this_thread::sleep_for(milliseconds(2));
  waiter.send(query("select 1"));
  wait_until_in_line();
  lock.send(query("select pg_advisory_unlock(7)"));
  EXPECT_EQ(waiter.next().type, 'T');
  EXPECT_EQ(waiter.next('Z').body, "I");
}

// ---- Large messages ----

double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

// The cost per byte is the same, however many there are.
TEST_F(WaitingTest, ALargeParseCostsTimeInProportionToItsSize) {
  start([](Proxy::Options& options) { options.threads = 1; });
  RawClient large = client();
  auto cost_of = [&](size_t size) {
    std::string text = parse("select length('" + std::string(size, 'x') + "')");
    double before = processor_seconds();
    std::thread sender([&] { large.send(text + run_unnamed() + message('S')); });
    EXPECT_EQ(large.next('D').type, 'D');
    EXPECT_EQ(large.next('Z').type, 'Z');
    sender.join();
    return processor_seconds() - before;
  };
  cost_of(1 << 20);
  double small = cost_of(4 << 20);
  EXPECT_LT(cost_of(32 << 20), 8 * small * 3 + 0.1);
}

TEST_F(WaitingTest, ALargeMessageIsHeldOnlyWithinItsBudget) {
  start([](Proxy::Options& options) {
    options.held_bytes = {.message = 2 << 20, .endpoint = 3 << 20, .all = 100 << 20};
  });
  std::string two_thirds = parse("select length('" + std::string((2 << 20) - 100, 'x') + "')");
  RawClient holds = client();
  holds.send(std::string_view(two_thirds).substr(0, 100'000));
  while (held_bytes() == 0) std::this_thread::sleep_for(milliseconds(2));
  RawClient other = client();
  other.send(two_thirds + run_unnamed() + message('S'));
  wire::ErrorFields error = other.next().error();
  EXPECT_EQ(error.severity, "ERROR");
  EXPECT_EQ(error.sqlstate, "53200");
  EXPECT_EQ(other.next().type, 'Z');
  other.send(query("begin"));
  EXPECT_EQ(other.next('Z').body, "T");
  other.send(two_thirds + run_unnamed() + message('S'));  // With a server.
  EXPECT_EQ(other.next().error().sqlstate, "53200");
  EXPECT_EQ(other.next('Z').body, "E");
  other.send(parse(std::string(3 << 20, ' ')) + run_unnamed() + message('S') + query("rollback"));
  EXPECT_EQ(other.next().error().sqlstate, "54000");
  EXPECT_EQ(other.next('Z').body, "E");
  EXPECT_EQ(other.next('Z').body, "I");
  holds.send(two_thirds.substr(100'000) + run_unnamed() + message('S'));
  EXPECT_EQ(holds.next('D').type, 'D');
  EXPECT_EQ(holds.next('Z').body, "I");
  EXPECT_EQ(held_bytes(), 0);
  other.send(two_thirds + run_unnamed() + message('S'));
  EXPECT_EQ(other.next('D').type, 'D');
}

// Nothing is held of what need not be looked at.
TEST_F(WaitingTest, LargeQueriesParametersAndNoticesPassThrough) {
  start([](Proxy::Options& options) {
    options.held_bytes = {.message = 1, .endpoint = 1, .all = 1};
  });
  constexpr size_t kSize = 3 << 20;
  RawClient large = client();
  std::string value(kSize, 'x');
  large.send(query("select length('" + value + "')"));
  EXPECT_THAT(large.next('D').body, HasSubstr(std::to_string(kSize)));
  large.next('Z');
  Writer bind;
  bind.text(std::string(4, '\0')).be_put(uint16_t{1}).be_put(static_cast<uint32_t>(kSize));
  bind.text(value).be_put(uint16_t{0});
  large.send(parse("select length($1)") + message('B', bind.view()) +
             message('E', std::string(5, '\0')) + message('S'));
  EXPECT_THAT(large.next('D').body, HasSubstr(std::to_string(kSize)));
  large.next('Z');
  for (const char* level : {"notice", "exception"}) {
    large.send(query(fmt::format("do $$begin raise {} '%', repeat('y', {}); end$$", level, kSize)));
    RawClient::Message told = large.next(level[0] == 'n' ? 'N' : 'E');
    EXPECT_EQ(told.error().message.size(), kSize);
    EXPECT_EQ(large.next('Z').body, "I");
  }
}

}  // namespace
}  // namespace halogen::proxy
