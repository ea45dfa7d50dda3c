// Clients that mean no good, or are just too many: floods of wrong passwords, half-open
// connections, no descriptors left, addresses that are not allowed. Others must not feel it.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <ctime>
#include <deque>
#include <functional>
#include <thread>

#include "base/metrics.h"
#include "proxy/testing/raw_client.h"
#include "proxy/testing/test_world.h"

namespace halogen::proxy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

constexpr const char* kSni = "ep-test.eu.localhost";
const wire::Parameters kAlice{{"user", "alice"}, {"database", "postgres"}};

double counted(const std::string& name) { return metrics::counter(name, "").value(); }

double starting() {
  return metrics::gauge("halogen_proxy_connections", "", {{"state", "starting"}}).value();
}

class FloodTest : public ProxyTest {
 protected:
  // What a client from there is told that gives this password in the clear; SQLSTATE 00000 if it is
  // let in.
  wire::ErrorFields log_in(const std::string& from, const std::string& password,
                           const std::string& endpoint = "ep-test") {
    RawClient client(proxy_->port(), from);
    if (!client.request_tls({})) return client.next().error();
    client.log_in(wire::kProtocol3, kAlice, "endpoint=" + endpoint + ";" + password);
    RawClient::Message message = client.next();
    while (message.type != 'E' && message.type != 'Z' && message.type != '\0')
      message = client.next();
    wire::ErrorFields fields;
    fields.sqlstate = "00000";
    return message.type == 'E' ? message.error() : fields;
  }
  void wait_for_starting(double count) {
    while (starting() != count) std::this_thread::sleep_for(milliseconds(5));
  }
};

TEST_F(FloodTest, WrongPasswordsAreRefusedAfterAWhileAndOthersLetIn) {
  start([](Proxy::Options& options) { options.auth_limits.login = {3, 0.2}; });
  double before = counted("halogen_proxy_auth_limited_total");
  for (int i = 0; i < 3; i++) EXPECT_EQ(log_in("127.0.0.2", "wrong").sqlstate, "28P01");
  int wakes = endpoints_.wakes;
  for (const char* password : {"wrong", kPassword}) {
    wire::ErrorFields error = log_in("127.0.0.2", password);
    EXPECT_EQ(error.severity, "FATAL");
    EXPECT_EQ(error.sqlstate, "28000");
    EXPECT_THAT(error.message,
                MatchesRegex("too many failed attempts to authenticate: wait [1-5] s before .*"));
    EXPECT_THAT(error.hint, HasSubstr("Check the password"));
  }
  EXPECT_EQ(endpoints_.wakes, wakes);
  EXPECT_EQ(counted("halogen_proxy_auth_limited_total"), before + 2);
  EXPECT_EQ(log_in("127.0.0.3", kPassword).sqlstate, "00000");
  EXPECT_EQ(psql("", "select 1").output, "1\n");
  std::this_thread::sleep_for(seconds(5));
  EXPECT_EQ(log_in("127.0.0.2", kPassword).sqlstate, "00000");
}

// Not the loop, nor the processor: a client that stops within a TLS record, as a bad network makes
// it, is waited for like any other.
TEST_F(FloodTest, HalfARecordKeepsNobodyBusy) {
  start([](Proxy::Options& options) { options.threads = 1; });
  RawClient client(proxy_->port());
  ASSERT_TRUE(client.request_tls({}));
  client.log_in(wire::kProtocol3, kAlice, std::string("endpoint=ep-test;") + kPassword);
  ASSERT_EQ(client.next('Z').type, 'Z');
  std::string query;
  wire::put_query(query, "select 42");
  std::string record = client.encrypted(query);
  for (size_t cut : {size_t{2}, record.size() / 2, record.size() - 1}) {
    std::string_view all = record;
    client.send_in_the_clear(all.substr(0, cut));
    EXPECT_EQ(psql("", "select 1").output, "1\n");
    std::clock_t before = std::clock();
    std::this_thread::sleep_for(milliseconds(200));
    EXPECT_LT(std::clock() - before, CLOCKS_PER_SEC / 10);
    client.send_in_the_clear(all.substr(cut));
    EXPECT_EQ(client.next('D').type, 'D');
    EXPECT_EQ(client.next('Z').type, 'Z');
    record = client.encrypted(query);
  }
}

// Before any SCRAM: the refusal is the first thing said.
TEST_F(FloodTest, ScramIsNotBegunForThoseWhoMustWait) {
  start([](Proxy::Options& options) { options.auth_limits.login = {2, 0.1}; });
  for (int i = 0; i < 2; i++) EXPECT_NE(psql("password=wrong", "select 1").status, 0);
  RawClient client(proxy_->port());
  ASSERT_TRUE(client.request_tls({.sni = kSni}));
  client.send_startup(wire::kProtocol3, kAlice);
  EXPECT_EQ(client.next().error().sqlstate, "28000");
  EXPECT_THAT(psql("", "select 1").output, HasSubstr("too many failed attempts"));
}

TEST_F(FloodTest, EndpointsThatDoNotExistCountToo) {
  start([](Proxy::Options& options) { options.auth_limits.address = {5, 0.1}; });
  for (int i = 0; i < 5; i++)
    EXPECT_EQ(log_in("127.0.0.2", "x", fmt::format("ep-no-{}", i)).sqlstate, "28P01");
  EXPECT_EQ(log_in("127.0.0.2", "x", "ep-no-more").sqlstate, "28000");
}

TEST_F(FloodTest, AnAddressThatDoesNotListenGetsNoMoreHandshakes) {
  start([](Proxy::Options& options) { options.auth_limits.address = {1, 0.01}; });
  EXPECT_EQ(log_in("127.0.0.2", "wrong").sqlstate, "28P01");
  int over_tls = 0;
  bool in_the_clear = false;
  while (over_tls < 50 && !in_the_clear) {
    RawClient client(proxy_->port(), "127.0.0.2");
    client.send(wire::ssl_request());
    std::string answer = client.receive(1);
    in_the_clear = answer == "E";
    if (in_the_clear) EXPECT_THAT(client.receive(), HasSubstr("too many failed attempts"));
    over_tls++;
  }
  EXPECT_TRUE(in_the_clear);
  EXPECT_EQ(log_in("127.0.0.3", kPassword).sqlstate, "00000");
}

// Whatever a client has us do before it shows who it is: each kind is charged to its address, and
// to no other.
TEST_F(FloodTest, WorkForClientsThatNeverLogInIsChargedToTheirAddress) {
  int port =
      start([](Proxy::Options& options) { options.work_limits.address = {5, 0.001}; }).port();
  std::string gss("\0\0\0\x08\x04\xd2\x16\x30", 8);
  std::string cancel = wire::cancel_request(1, 2);
  const std::vector<std::function<void(RawClient&)>> kinds{
      [](RawClient& client) { client.request_tls({.sni = kSni}); },
      [](RawClient& client) { client.start_tls({.sni = kSni, .alpn = "postgresql"}); },
      [](RawClient& client) { client.send(wire::ssl_request()), client.receive(1); },
      [&](RawClient& client) { client.send(gss), client.receive(1); },
      [&](RawClient& client) { client.send(cancel), client.receive(); },
      [](RawClient& client) {
        if (!client.request_tls({.sni = kSni})) return;  // Each is charged twice.
        client.send_startup(wire::kProtocol3, kAlice);
        client.next('R');
        std::string first = std::string("SCRAM-SHA-256") + '\0' + std::string("\0\0\0\x08", 4);
        std::string message;
        wire::put_message(message, 'p', first + "n,,n=,r=");
        client.send(message);
        client.next();
      }};
  int last = 1;
  for (const auto& abandoned : kinds) {
    std::string from = fmt::format("127.0.2.{}", ++last);
    for (int i = 0; i < 5; i++) {
      RawClient client(port, from);
      abandoned(client);
    }
    wait_for_starting(0);
    int lookups = endpoints_.lookups;
    EXPECT_EQ(RawClient(port, from).next().error().sqlstate, "53300") << last;
    EXPECT_EQ(endpoints_.lookups, lookups);
  }
  for (int i = 0; i < 10; i++) EXPECT_EQ(log_in("127.0.0.3", kPassword).sqlstate, "00000");
}

TEST_F(FloodTest, OneAddressLeavesRoomForNewcomersOfOthers) {
  int port = start([](Proxy::Options& options) { options.max_unauthenticated = 20; }).port();
  std::deque<RawClient> flood;
  int let_in = 0;
  for (int i = 0; i < 20; i++) {
    flood.emplace_back(port, "127.0.0.2");
    let_in += flood.back().request_tls({.sni = kSni}) ? 1 : 0;
  }
  EXPECT_EQ(let_in, 10);
  EXPECT_EQ(log_in("127.0.0.3", kPassword).sqlstate, "00000");
}

TEST_F(FloodTest, AnEndpointThatDoesNotExistTakesAsLongAsOneThatDoes) {
  start();
  endpoints_.role_time = milliseconds(200);
  for (int i = 0; i < 3; i++) log_in("127.0.0.2", "wrong");
  auto since = steady_clock::now();
  int lookups = endpoints_.lookups;
  for (int i = 0; i < 5; i++) EXPECT_EQ(log_in("127.0.0.2", "x", "ep-no").sqlstate, "28P01");
  EXPECT_EQ(endpoints_.lookups, lookups);
  EXPECT_GE(steady_clock::now() - since, milliseconds(400)) << "times of lookups, at random";
}

// From as many addresses as it likes: the owner waits for half a second at most.
TEST_F(FloodTest, GuessingFromEverywhereDoesNotLockTheOwnerOut) {
  start([](Proxy::Options& options) {
    options.auth_limits.endpoint = {10, 0.01};
    options.auth_limits.slow_down = milliseconds(300);
  });
  double before = counted("halogen_proxy_auth_slowed_total");
  for (int i = 0; i < 10; i++) log_in(fmt::format("127.0.1.{}", i + 1), "wrong");
  auto since = steady_clock::now();
  EXPECT_EQ(log_in("127.0.0.9", kPassword).sqlstate, "00000");
  EXPECT_GE(steady_clock::now() - since, milliseconds(300));
  EXPECT_EQ(counted("halogen_proxy_auth_slowed_total"), before + 1);
  log_in("127.0.0.9", kPassword);
  EXPECT_EQ(counted("halogen_proxy_auth_slowed_total"), before + 1);
}

TEST_F(FloodTest, PasswordsInTheClearAreHashedAsideAndNotWithoutBound) {
  start([](Proxy::Options& options) { options.password_checks.max_waiting = 4; });
  endpoints_.set_role("alice", scram::make_verifier(kPassword, "salt", 100'000).str());
  std::vector<RawClient> flood;
  for (int i = 0; i < 40; i++) {
    flood.emplace_back(proxy_->port(), fmt::format("127.0.1.{}", i + 1));
    ASSERT_TRUE(flood.back().request_tls({}));
    flood.back().send_startup(wire::kProtocol3, kAlice);
  }
  for (size_t i = 0; i < flood.size(); i++)  // The same one of all would be one check.
    flood[i].send_password(fmt::format("endpoint=ep-test;wrong{}", i));
  EXPECT_EQ(psql("", "select 1").output, "1\n");  // Nothing stands in the way of SCRAM.
  int busy = 0;
  for (RawClient& client : flood) busy += client.next('E').error().sqlstate == "53300" ? 1 : 0;
  EXPECT_GE(busy, 20);
  EXPECT_LT(busy, 40);
}

TEST_F(FloodTest, AbsurdIterationsHarmNobody) {
  start();
  std::string absurd = scram::make_verifier(kPassword).str();
  absurd.replace(absurd.find("4096"), 4, "9000000");
  endpoints_.set_role("alice", absurd);
  EXPECT_EQ(log_in("127.0.0.2", kPassword).message,
            "this role's password cannot be given in the clear: too many iterations");
  absurd.replace(absurd.find("9000000"), 7, "2000000000");  // No verifier at all.
  endpoints_.set_role("alice", absurd);
  EXPECT_EQ(log_in("127.0.0.2", kPassword).sqlstate, "28P01");
}

TEST_F(FloodTest, AddressesThatAreNotAllowedAreToldTheirOwn) {
  start();
  endpoints_.refuse("127.0.0.2");
  wire::ErrorFields error = log_in("127.0.0.2", kPassword);
  EXPECT_EQ(error.sqlstate, "28000");
  EXPECT_EQ(error.message, "This IP address 127.0.0.2 is not allowed to connect to this endpoint.");
  EXPECT_THAT(error.hint, HasSubstr("allowed_ips"));
  EXPECT_EQ(log_in("127.0.0.2", "wrong").message, error.message);  // Whatever the password.
  EXPECT_EQ(log_in("127.0.0.2", "x", "ep-nowhere").sqlstate, "28P01");
  EXPECT_EQ(log_in("127.0.0.1", kPassword).sqlstate, "00000");
}

// Each says nothing at a different moment.
TEST_F(FloodTest, HalfOpenClientsAreCutAtTheStartupTimeout) {
  int port =
      start([](Proxy::Options& options) { options.startup_timeout = milliseconds(700); }).port();
  RawClient silent(port);
  RawClient half_a_hello(port);
  half_a_hello.send(std::string_view("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11));
  RawClient no_hello(port);
  no_hello.send(wire::ssl_request());
  EXPECT_EQ(no_hello.receive(), "S");
  RawClient half_a_packet(port);
  half_a_packet.send(wire::startup_packet(kAlice).substr(0, 10));
  RawClient no_startup(port);
  EXPECT_TRUE(no_startup.request_tls({.sni = kSni}));
  RawClient no_answer(port);
  EXPECT_TRUE(no_answer.request_tls({.sni = kSni}));
  no_answer.send_startup(wire::kProtocol3, kAlice);
  EXPECT_EQ(no_answer.next().type, 'R');
  RawClient dripping(port);  // A byte at a time for as long as it is let.
  wire::Parameters named = kAlice;
  named.emplace_back("application_name", std::string(40, 'x'));
  std::string packet = wire::startup_packet(named);
  auto since = steady_clock::now();
  for (char byte : packet) {
    if (!dripping.try_send({&byte, 1})) break;
    std::this_thread::sleep_for(milliseconds(100));
  }
  EXPECT_LT(steady_clock::now() - since, milliseconds(100) * packet.size());
  EXPECT_EQ(no_answer.next().error().message, "canceling authentication due to timeout");
  EXPECT_THAT(half_a_packet.receive(), HasSubstr("canceling authentication due to timeout"));
  for (RawClient* client : {&silent, &half_a_hello, &no_hello, &no_startup}) client->receive();
  for (RawClient* client : {&silent, &half_a_hello, &no_hello, &no_startup})
    EXPECT_TRUE(client->closed());
  wait_for_starting(0);
  EXPECT_EQ(endpoints_.opened, 0);
}

TEST_F(FloodTest, AnAddressWhoseClientsNeverLogInIsRefusedAfterAWhile) {
  int port = start([](Proxy::Options& options) {
               options.startup_timeout = milliseconds(500);
               options.auth_limits.address = {3, 0.1};
             }).port();
  std::deque<RawClient> silent;
  for (int i = 0; i < 4; i++) {
    silent.emplace_back(port, "127.0.0.3");
    EXPECT_TRUE(silent.back().request_tls({.sni = kSni}));
  }
  wait_for_starting(4);
  wait_for_starting(0);
  EXPECT_EQ(log_in("127.0.0.3", kPassword).sqlstate, "28000");
  EXPECT_EQ(log_in("127.0.0.1", kPassword).sqlstate, "00000");
}

TEST_F(FloodTest, MoreNewcomersThanAllowedAreToldSo) {
  int port = start([](Proxy::Options& options) {
               options.startup_timeout = milliseconds(500);
               options.max_unauthenticated = 2;
             }).port();
  RawClient first(port);
  RawClient second(port);
  wait_for_starting(2);
  EXPECT_EQ(RawClient(port).next().error().sqlstate, "53300");
  EXPECT_TRUE(first.closed());
  EXPECT_TRUE(second.closed());
  EXPECT_EQ(psql("", "select 1").output, "1\n");
}

// Without making room these would keep everybody out for a minute.
TEST_F(FloodTest, SilentClientsGiveWayWhenItGetsCrowded) {
  int port = start([](Proxy::Options& options) {
               options.max_unauthenticated = 40;
               options.crowded_patience = milliseconds(200);
             }).port();
  std::vector<RawClient> silent;
  for (int i = 0; i < 40; i++) silent.emplace_back(port);
  wait_for_starting(40);
  std::this_thread::sleep_for(milliseconds(250));
  // The one that finds no place at all is refused; those that come a little sooner make room.
  silent.erase(silent.begin(), silent.begin() + 5);
  wait_for_starting(35);
  double before = counted("halogen_proxy_crowded_out_total");
  for (int i = 0; i < 20; i++) EXPECT_EQ(psql("", "select 1").output, "1\n");
  EXPECT_GT(counted("halogen_proxy_crowded_out_total"), before);
  EXPECT_LE(starting(), 30);
}

TEST_F(FloodTest, WhoWaitsForUsIsNotTakenForSilent) {
  start([](Proxy::Options& options) {
    options.max_unauthenticated = 4;
    options.crowded_patience = milliseconds(0);
  });
  endpoints_.role_time = milliseconds(700);
  CommandResult result;
  std::thread client([&] { result = psql("", "select 1"); });
  wait_for_starting(1);
  std::this_thread::sleep_for(milliseconds(300));
  std::vector<RawClient> others;
  for (int i = 0; i < 3; i++) others.emplace_back(proxy_->port());
  client.join();
  EXPECT_EQ(result.output, "1\n");
}

TEST_F(FloodTest, ClientsForWhichThereAreNoDescriptorsAreToldWhatToChange) {
  int port = start([](Proxy::Options& options) { options.max_descriptors = 128 + 12; }).port();
  EXPECT_EQ(proxy_->room_for_clients(), 6u);
  std::vector<RawClient> clients;
  for (int i = 0; i < 11; i++) clients.emplace_back(port);
  wait_for_starting(11);
  wire::ErrorFields error = RawClient(port).next().error();
  EXPECT_EQ(error.sqlstate, "53300");
  EXPECT_THAT(error.message, HasSubstr("out of file descriptors"));
  EXPECT_THAT(error.hint, HasSubstr("LimitNOFILE"));
  clients.clear();
  wait_for_starting(0);
  EXPECT_EQ(psql("", "select 1").output, "1\n");
}

// The limit of the whole process is reached, whoever took the rest of it.
TEST_F(FloodTest, AcceptingSurvivesWithoutAnyDescriptor) {
  int port = start().port();
  RawClient before(port);
  wait_for_starting(1);
  rlimit saved{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &saved), 0);
  // Sockets for the clients first: they live in this process too.
  std::vector<UniqueFd> sockets;
  for (int i = 0; i < 5; i++)
    sockets.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  int next = ::open("/dev/null", O_RDONLY);
  ::close(next);
  rlimit none{static_cast<rlim_t>(next), saved.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  std::vector<std::string> answers;
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (UniqueFd& socket : sockets) {
    ::connect(socket.get(), reinterpret_cast<sockaddr*>(&to), sizeof to);
    timeval patience{10, 0};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    char buffer[1024];
    ssize_t size = ::recv(socket.get(), buffer, sizeof buffer, 0);
    answers.emplace_back(buffer, size > 0 ? static_cast<size_t>(size) : 0);
  }
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &saved), 0);
  for (const std::string& answer : answers) EXPECT_THAT(answer, HasSubstr("53300"));
  EXPECT_EQ(psql("", "select 1").output, "1\n");
}

}  // namespace
}  // namespace halogen::proxy
