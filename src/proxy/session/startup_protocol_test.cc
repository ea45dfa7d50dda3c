// How a connection is opened: encryption requests, direct TLS, protocol versions, cancel keys,
// options; with a client that says just what it is told to.
#include <gmock/gmock.h>

#include <thread>

#include "proxy/testing/raw_client.h"
#include "proxy/testing/test_world.h"

namespace halogen::proxy {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr const char* kSni = "ep-test.eu.localhost";
constexpr uint32_t kProtocol32 = wire::kProtocol3 + 2;

std::string gss_request() {
  Writer packet;
  packet.be_put<uint32_t>(8).be_put(wire::kGssRequest);
  return packet.take();
}

class StartupProtocolTest : public ProxyTest {
 protected:
  RawClient connect() { return RawClient(proxy_->port()); }
  // Over TLS and without SNI, ready for a startup packet.
  RawClient encrypted() {
    RawClient client = connect();
    EXPECT_TRUE(client.request_tls({}));
    return client;
  }
  const wire::Parameters kAlice{{"user", "alice"}, {"database", "postgres"}};
  const std::string kRight = std::string("endpoint=ep-test;") + kPassword;
};

TEST_F(StartupProtocolTest, GssIsRefusedOnceAndThenTlsIsSpoken) {
  start();
  RawClient client = connect();
  client.send(gss_request());
  EXPECT_EQ(client.receive(), "N");
  EXPECT_TRUE(client.request_tls({.sni = kSni}));
  client.log_in(wire::kProtocol3, kAlice, "");
  EXPECT_EQ(client.next().type, 'R');

  RawClient again = connect();
  again.send(gss_request());
  EXPECT_EQ(again.receive(), "N");
  again.send(gss_request());
  EXPECT_EQ(again.next().error().sqlstate, "08P01");
}

TEST_F(StartupProtocolTest, EncryptionIsNotAskedForInsideIt) {
  start();
  for (const std::string& request : {wire::ssl_request(), gss_request()}) {
    RawClient client = encrypted();
    client.send(request);
    EXPECT_EQ(client.next().error().sqlstate, "08P01");
    EXPECT_TRUE(client.closed());
  }
}

// CVE-2021-23222: somebody in between could put them there.
TEST_F(StartupProtocolTest, BytesBehindARequestAreNeverTakenForTheClients) {
  start();
  for (const std::string& request : {wire::ssl_request(), gss_request()}) {
    RawClient client = connect();
    client.send(request + wire::startup_packet(kAlice));
    wire::ErrorFields error = client.next().error();
    EXPECT_EQ(error.sqlstate, "08P01");
    EXPECT_THAT(error.message, HasSubstr("received unencrypted data after"));
    EXPECT_TRUE(client.closed());
  }
  EXPECT_EQ(endpoints_.opened, 0);
}

TEST_F(StartupProtocolTest, PlaintextIsRefusedWhetherTlsWasOfferedOrNot) {
  start();
  RawClient plain = connect();
  plain.send(wire::startup_packet(kAlice));
  wire::ErrorFields error = plain.next().error();
  EXPECT_EQ(error.sqlstate, "28000");
  EXPECT_EQ(error.message, "connection is insecure (try using `sslmode=require`)");

  RawClient declined = connect();
  declined.send(gss_request());
  EXPECT_EQ(declined.receive(), "N");
  declined.send(wire::startup_packet(kAlice));
  EXPECT_EQ(declined.next().error().sqlstate, "28000");

  RawClient after_yes = connect();  // What is no TLS hello gets an alert at most.
  after_yes.send(wire::ssl_request());
  EXPECT_EQ(after_yes.receive(1), "S");
  after_yes.send(wire::startup_packet(kAlice));
  EXPECT_EQ(after_yes.receive().find("insecure"), std::string::npos);
  EXPECT_TRUE(after_yes.closed());
  EXPECT_EQ(endpoints_.opened, 0);
}

TEST_F(StartupProtocolTest, DirectTlsInBothVersionsNeedsItsAlpn) {
  start();
  for (int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    RawClient client = connect();
    ASSERT_TRUE(client.start_tls({.sni = kSni, .alpn = "postgresql", .version = version}));
    client.send_startup(wire::kProtocol3, kAlice);
    EXPECT_EQ(client.next().type, 'R');

    RawClient without = connect();
    ASSERT_TRUE(without.start_tls({.sni = kSni, .version = version}));
    wire::ErrorFields error = without.next().error();
    EXPECT_EQ(error.sqlstate, "08P01");
    EXPECT_EQ(error.message, "direct SSL connection without ALPN protocol negotiation");

    RawClient other = connect();
    EXPECT_FALSE(other.start_tls({.sni = kSni, .alpn = "h2", .version = version}) &&
                 !other.closed());
  }
  EXPECT_FALSE(connect().start_tls({.alpn = "postgresql", .version = TLS1_1_VERSION}));
}

TEST_F(StartupProtocolTest, AlpnAfterAnSslRequestIsAgreedTo) {
  start();
  RawClient client = connect();
  EXPECT_TRUE(client.request_tls({.sni = kSni, .alpn = "postgresql"}));
  client.send_startup(wire::kProtocol3, kAlice);
  EXPECT_EQ(client.next().type, 'R');
}

TEST_F(StartupProtocolTest, TheOlderProtocolOfTheTwoIsSpoken) {
  start();
  struct Case {
    uint16_t minor;
    uint16_t spoken;
    size_t secret;
  };
  for (Case c : {Case{0, 0, 4}, Case{1, 1, 4}, Case{2, 2, 32}, Case{3, 2, 32}, Case{9999, 2, 32}}) {
    RawClient client = encrypted();
    client.log_in(wire::kProtocol3 + c.minor, kAlice, kRight);
    RawClient::Message first = client.next();
    if (c.minor > c.spoken) {
      ASSERT_EQ(first.type, 'v') << c.minor;
      Reader told(first.body);
      EXPECT_EQ(told.be_get<uint32_t>(), wire::kProtocol3 + c.spoken);
      EXPECT_EQ(told.be_get<uint32_t>(), 0u);
    } else {
      EXPECT_EQ(first.type, 'R') << c.minor;
    }
    EXPECT_THAT(client.next('K').body, SizeIs(4 + c.secret)) << c.minor;
    EXPECT_EQ(client.next('Z').body, "I");
  }
}

TEST_F(StartupProtocolTest, UnknownProtocolOptionsAreNamed) {
  start();
  RawClient client = encrypted();
  wire::Parameters parameters = kAlice;
  parameters.emplace_back("_pq_.compression", "zstd");
  parameters.emplace_back("_pq_.more", "");
  client.log_in(wire::kProtocol3, parameters, kRight);
  RawClient::Message told = client.next();
  ASSERT_EQ(told.type, 'v');
  Reader body(told.body);
  EXPECT_EQ(body.be_get<uint32_t>(), wire::kProtocol3);
  EXPECT_EQ(body.be_get<uint32_t>(), 2u);
  EXPECT_EQ(body.cstring(), "_pq_.compression");
  EXPECT_EQ(body.cstring(), "_pq_.more");
  EXPECT_EQ(client.next('Z').body, "I");
}

TEST_F(StartupProtocolTest, OtherMajorVersionsAreRefused) {
  start();
  RawClient client = encrypted();
  client.send_startup(4u << 16, kAlice);
  wire::ErrorFields error = client.next().error();
  EXPECT_EQ(error.sqlstate, "0A000");
  EXPECT_EQ(error.message, "unsupported frontend protocol 4.0: server supports 3.0 to 3.2");
}

// Of a client that has logged in. Returns the key that cancels it.
std::string begin_query(RawClient& client, const char* sql) {
  std::string key = client.next('K').body;
  client.next('Z');
  std::string query;
  wire::put_query(query, sql);
  client.send(query);
  return key;
}

void send_cancel(RawClient& client, std::string_view key) {
  Writer packet;
  packet.be_put(static_cast<uint32_t>(8 + key.size())).be_put(wire::kCancelRequest).text(key);
  client.send(packet.view());
  EXPECT_TRUE(client.closed());
}

TEST_F(StartupProtocolTest, LongCancelKeysCancelAndCutOnesDoNot) {
  start();
  RawClient client = encrypted();
  client.log_in(kProtocol32, kAlice, kRight);
  std::string key = begin_query(client, "select pg_sleep(20)");
  auto cancel = [&](std::string_view told) {
    RawClient other = connect();
    send_cancel(other, told);
  };
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  cancel(key.substr(0, 8));
  cancel(key.substr(0, 35) + static_cast<char>(key[35] ^ 1));
  cancel(key + "x");
  timeval briefly{0, 300'000};
  ::setsockopt(client.fd(), SOL_SOCKET, SO_RCVTIMEO, &briefly, sizeof briefly);
  EXPECT_EQ(client.next('E').type, '\0');  // Nothing yet.
  timeval longer{20, 0};
  ::setsockopt(client.fd(), SOL_SOCKET, SO_RCVTIMEO, &longer, sizeof longer);
  cancel(key);
  EXPECT_EQ(client.next('E').error().sqlstate, "57014");
}

TEST_F(StartupProtocolTest, CancelRequestsFromAddressesThatAreNotAllowedAreNotPassedOn) {
  start();
  RawClient client = encrypted();
  client.log_in(kProtocol32, kAlice, kRight);
  std::string key = begin_query(client, "select pg_sleep(1)");
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  endpoints_.refuse("127.0.0.2");
  RawClient other(proxy_->port(), "127.0.0.2");
  send_cancel(other, key);
  EXPECT_EQ(client.next('C').type, 'C');
}

TEST_F(StartupProtocolTest, CancelRequestsMayBeEncrypted) {
  start();
  RawClient client = encrypted();
  client.send(wire::cancel_request(1, 2));
  EXPECT_TRUE(client.closed());
}

TEST_F(StartupProtocolTest, UnknownParametersAreRefusedByTheComputeInItsWords) {
  start();
  RawClient client = encrypted();
  wire::Parameters parameters = kAlice;
  parameters.emplace_back("nonesuch", "1");
  client.log_in(wire::kProtocol3, parameters, kRight);
  wire::ErrorFields error = client.next('E').error();
  EXPECT_EQ(error.severity, "FATAL");
  EXPECT_EQ(error.sqlstate, "42704");
  EXPECT_EQ(error.message, "unrecognized configuration parameter \"nonesuch\"");
}

TEST_F(StartupProtocolTest, OptionsKeepTheirEscapes) {
  start();
  std::string options = R"(endpoint=ep-test -c application_name=a\ b\\c --work_mem=2MB)";
  RawClient client = encrypted();
  wire::Parameters parameters = kAlice;
  parameters.emplace_back("options", options);
  client.send_startup(wire::kProtocol3, parameters);
  EXPECT_EQ(client.next().body.substr(0, 4), std::string("\0\0\0\x0a", 4));  // SASL: it is known.

  RawClient by_password = encrypted();
  parameters.back().second = options.substr(options.find("-c"));
  by_password.log_in(wire::kProtocol3, parameters, kRight);
  by_password.next('Z');
  std::string query;
  wire::put_query(query,
                  "select current_setting('application_name') || '|' || "
                  "current_setting('work_mem')");
  by_password.send(query);
  EXPECT_THAT(by_password.next('D').body, HasSubstr("a b\\c|2MB"));
}

// A client that comes back with its ticket is spared the certificate; and is still asked who it is.
TEST_F(StartupProtocolTest, SessionsOfTls13AreResumedAndThoseOf12AreNot) {
  start();
  for (int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    RawClient first = connect();
    ASSERT_TRUE(first.request_tls({.sni = kSni, .version = version}));
    first.send_startup(wire::kProtocol3, kAlice);
    EXPECT_EQ(first.next().type, 'R');  // With it came the ticket.
    SSL_SESSION* session = SSL_get1_session(first.ssl());
    RawClient second = connect();
    ASSERT_TRUE(second.request_tls({.sni = kSni, .version = version, .session = session}));
    EXPECT_EQ(SSL_session_reused(second.ssl()) == 1, version == TLS1_3_VERSION);
    second.send_startup(wire::kProtocol3, kAlice);
    RawClient::Message asked = second.next();
    EXPECT_EQ(asked.type, 'R');
    EXPECT_THAT(asked.body, HasSubstr("SCRAM-SHA-256-PLUS"));  // The host name was understood.
    SSL_SESSION_free(session);
  }
}

TEST_F(StartupProtocolTest, Tls12IsNotRenegotiated) {
  start();
  RawClient client = connect();
  ASSERT_TRUE(client.request_tls({.sni = kSni, .version = TLS1_2_VERSION}));
  SSL_renegotiate(client.ssl());
  EXPECT_NE(SSL_do_handshake(client.ssl()), 1);
}

}  // namespace
}  // namespace halogen::proxy
