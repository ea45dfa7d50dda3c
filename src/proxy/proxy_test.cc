// Who gets in, and how: real psql against the proxy with stock Postgres behind it.
#include "proxy/proxy.h"

#include <gmock/gmock.h>

#include "postgres/wire.h"
#include "proxy/testing/raw_client.h"
#include "proxy/testing/test_world.h"

namespace halogen::proxy {

namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kWrongPassword = "FATAL:  password authentication failed for user \"alice\"";

TEST_F(ProxyTest, PsqlConnectsWithSniAndTls) {
  start();
  CommandResult result = psql("", "select 'row ' || current_user");
  EXPECT_EQ(result.output, "row alice\n");
  EXPECT_EQ(endpoints_.wakes, 1);
  EXPECT_EQ(psql("host=ep-test-pooler.eu.localhost", "select 1").output, "1\n");
}

TEST_F(ProxyTest, VerifyFullAndChannelBinding) {
  Proxy& proxy = start();
  std::string verify = "sslmode=verify-full sslrootcert=" + proxy.ca_file().string();
  EXPECT_EQ(psql(verify + " channel_binding=require", "select 1").output, "1\n");
  EXPECT_EQ(psql(verify + " channel_binding=disable", "select 1").output, "1\n");
  EXPECT_EQ(psql(verify + " host=ep-test.localhost", "select 1").output, "1\n");
  EXPECT_THAT(psql(verify + " host=ep-test.other", "select 1").output,
              HasSubstr("does not match host name"));
}

TEST_F(ProxyTest, ARenewedCertificateIsShownToNewConnectionsAndOldOnesGoOn) {
  Proxy& proxy = start(
      [](Proxy::Options& options) { options.certificate_check = std::chrono::milliseconds(10); });
  std::string before = read_file(certificates_ / "server.crt");
  std::string bound = "channel_binding=require sslrootcert=" + proxy.ca_file().string();
  CommandResult result = python(
      "c = psycopg2.connect(dsn + ' channel_binding=require')\n"
      "crt = os.path.join(os.path.dirname(__file__), 'server.crt')\n"
      "def shown():\n"
      "  import ssl, socket, struct\n"
      "  s = socket.create_connection(('127.0.0.1', c.info.port))\n"
      "  s.sendall(struct.pack('>ii', 8, 80877103)); assert s.recv(1) == b'S'\n"
      "  t = ssl._create_unverified_context().wrap_socket(s, server_hostname='ep-test.localhost')\n"
      "  return ssl.DER_cert_to_PEM_cert(t.getpeercert(True)).split()\n"
      "old = shown()\n"
      "assert old == open(crt).read().split()\n"
      "os.remove(crt)\n"
      "until = time.time() + 20\n"
      "while time.time() < until and shown() == old: time.sleep(0.01)\n"
      "assert shown() != old and shown() == open(crt).read().split()\n"
      "c.cursor().execute('select 1')\n"
      "psycopg2.connect(dsn + ' channel_binding=require').close()\n"
      "print('good')\n");
  EXPECT_EQ(result.output, "good\n");
  EXPECT_NE(read_file(certificates_ / "server.crt"), before);
  EXPECT_EQ(psql("sslmode=verify-full " + bound, "select 1").output, "1\n");
}

TEST_F(ProxyTest, OnlyTls12AndNewer) {
  start();
  EXPECT_EQ(psql("ssl_max_protocol_version=TLSv1.2", "select 1").output, "1\n");
  EXPECT_EQ(psql("ssl_min_protocol_version=TLSv1.3", "select 1").output, "1\n");
  std::string old = "ssl_min_protocol_version=TLSv1 ssl_max_protocol_version=TLSv1.1";
  EXPECT_NE(psql(old, "select 1").status, 0);
}

TEST_F(ProxyTest, PlaintextIsRefused) {
  start();
  CommandResult result = psql("sslmode=disable", "select 1");
  EXPECT_THAT(result.output,
              HasSubstr("FATAL:  connection is insecure (try using `sslmode=require`)\n"));
  EXPECT_EQ(endpoints_.opened, 0);
}

TEST_F(ProxyTest, EndpointByOptionsAndTheRestIsPassedOn) {
  start();
  std::string more =
      "sslsni=0 options='endpoint=ep-test -c statement_timeout=54321 -c work_mem=1MB'";
  EXPECT_EQ(psql(more, "show statement_timeout").output, "54321ms\n");
  EXPECT_EQ(psql("host=localhost options=project=ep-test", "select 1").output, "1\n");
  EXPECT_THAT(psql("options=endpoint=ep-other", "select 1").output,
              HasSubstr("Inconsistent endpoint"));
}

TEST_F(ProxyTest, EndpointByPasswordPrefix) {
  start();
  EXPECT_EQ(psql("sslsni=0 password='endpoint=ep-test;s3cret'", "select 1").output, "1\n");
  EXPECT_EQ(psql("sslsni=0 password='endpoint=ep-test\\$s3cret'", "select 1").output, "1\n");
  EXPECT_THAT(psql("sslsni=0 password='endpoint=ep-test;wrong'", "select 1").output,
              HasSubstr(kWrongPassword));
  EXPECT_THAT(psql("sslsni=0 password='endpoint=ep-nowhere;s3cret'", "select 1").output,
              HasSubstr(kWrongPassword));
  EXPECT_THAT(psql("sslsni=0", "select 1").output,
              HasSubstr("FATAL:  Endpoint ID is not specified"));
}

TEST_F(ProxyTest, WrongPasswordUnknownEndpointAndUnknownRoleLookTheSame) {
  start();
  EXPECT_THAT(psql("password=wrong", "select 1").output, HasSubstr(kWrongPassword));
  EXPECT_THAT(psql("host=ep-nowhere.eu.localhost", "select 1").output, HasSubstr(kWrongPassword));
  EXPECT_THAT(psql("user=nobody", "select 1").output,
              HasSubstr("FATAL:  password authentication failed for user \"nobody\""));
  EXPECT_THAT(psql("user=nologin", "select 1").output,
              HasSubstr("FATAL:  password authentication failed for user \"nologin\""));
  EXPECT_EQ(endpoints_.wakes, 0);
}

TEST_F(ProxyTest, ErrorsOfPostgresAtStartupArriveAsTheyAre) {
  start();
  EXPECT_THAT(psql("dbname=nonesuch", "select 1").output,
              HasSubstr("FATAL:  database \"nonesuch\" does not exist"));
  EXPECT_THAT(psql("options='-c nonesuch=1'", "select 1").output,
              HasSubstr("unrecognized configuration parameter \"nonesuch\""));
}

TEST_F(ProxyTest, WakeThatFailsSaysSo) {
  start();
  endpoints_.wake_fails = true;
  std::string output = psql("", "select 1").output;
  EXPECT_THAT(output,
              HasSubstr("FATAL:  the compute of this endpoint could not be started: no room"));
  EXPECT_THAT(output, HasSubstr("HINT:  Try again"));
}

TEST_F(ProxyTest, WakeThatTakesTooLongSaysSo) {
  start([](Proxy::Options& options) { options.wake_timeout = std::chrono::milliseconds(1000); });
  endpoints_.wake_time = std::chrono::milliseconds(1500);
  EXPECT_THAT(psql("", "select 1").output,
              HasSubstr("FATAL:  the compute of this endpoint did not start within 1 s"));
}

TEST_F(ProxyTest, ClientThatGivesUpWhileWaitingIsNoticed) {
  start();
  endpoints_.wake_time = std::chrono::milliseconds(2000);
  auto since = steady_clock::now();
  EXPECT_NE(command("timeout -s KILL 0.7 psql -X '" + conninfo() + "' -c 'select 1'").status, 0);
  while (endpoints_.closed == 0 && steady_clock::now() - since < std::chrono::seconds(3))
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(endpoints_.closed, 1);
  EXPECT_LT(steady_clock::now() - since, std::chrono::milliseconds(1500));
}

// As libpq 17 does with sslnegotiation=direct.
TEST_F(ProxyTest, DirectTlsNeedsItsAlpn) {
  start();
  CommandResult result = python(fmt::format(R"(
import socket, ssl, struct
def ask(alpn):
  context = ssl.create_default_context(cafile='{}')
  if alpn: context.set_alpn_protocols([alpn])
  raw = socket.create_connection(('127.0.0.1', {}))
  try:
    c = context.wrap_socket(raw, server_hostname='ep-test.eu.localhost')
    c.sendall(struct.pack('!ii', 20, 196608) + b'user\0alice\0\0'[:12])
    return c.recv(100)
  except OSError: return 'refused'
print(ask('postgresql')[:1], ask('h2'), ask(None)[:1])
)",
                                            proxy_->ca_file().string(), proxy_->port()));
  EXPECT_EQ(result.output, "b'R' refused b'E'\n");
}

TEST_F(ProxyTest, RubbishIsShownTheDoor) {
  int port = start().port();
  RawClient http(port);
  http.send("GET / HTTP/1.1\r\n\r\n");
  EXPECT_THAT(http.receive(), HasSubstr("08P01"));
  RawClient old(port);
  Writer version2;
  version2.be_put<uint32_t>(8).be_put<uint32_t>(2u << 16);
  old.send(version2.view());
  EXPECT_THAT(old.receive(), HasSubstr("unsupported frontend protocol 2.0"));
}

TEST_F(ProxyTest, TakenPortIsNamed) {
  int port = start().port();
  Proxy::Options options;
  options.port = port;
  options.certificate_directory = certificates_;
  Proxy second(options, endpoints_);
  try {
    second.start();
    FAIL() << "started on a port that is taken";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(fmt::format("port {} on 127.0.0.1 is taken", port)));
    EXPECT_THAT(error.what(), HasSubstr("--pg-port"));
  }
}

}  // namespace
}  // namespace halogen::proxy
