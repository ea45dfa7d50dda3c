// The proxy's parts without sockets: routes, message boundaries, certificates, cancel keys.
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/ids.h"
#include "proxy/auth/route.h"
#include "proxy/conversation/message_tracker.h"
#include "proxy/io/certificates.h"
#include "proxy/pool/cancel_keys.h"
#include "proxy/session/shared.h"

namespace halogen::proxy {
namespace {

TEST(Route, FirstLabelOfTheHost) {
  EXPECT_EQ(route_of_host("ep-a-b-1.eu.localhost"), (Route{"ep-a-b-1", false}));
  EXPECT_EQ(route_of_host("EP-A-pooler.localhost"), (Route{"ep-a", true}));
  EXPECT_EQ(route_of_host("ep-a"), (Route{"ep-a", false}));
  for (std::string_view host : {"", "localhost", "db.example.com", ".ep-a", "ep_a.x", "-pooler.x"})
    EXPECT_FALSE(route_of_host(host)) << host;
}

TEST(Route, OptionIsTakenOutOfWhatIsPassedOn) {
  wire::Parameters parameters{{"user", "u"}, {"options", "-c a=b\\ c endpoint=ep-x --d=e"}};
  EXPECT_EQ(take_route_of_options(parameters), (Route{"ep-x", false}));
  EXPECT_EQ(parameters[1].second, "-c a=b\\ c --d=e");
  wire::Parameters alone{{"options", "project=ep-x-pooler"}, {"user", "u"}};
  EXPECT_EQ(take_route_of_options(alone), (Route{"ep-x", true}));
  EXPECT_EQ(alone, (wire::Parameters{{"user", "u"}}));
  wire::Parameters none{{"options", "-c a=b"}};
  EXPECT_FALSE(take_route_of_options(none));
  wire::Parameters past = {{"options", "-c a=b neon_lsn:0/1A2B endpoint=ep-x"}};
  EXPECT_EQ(take_moment_of_options(past), "neon_lsn:0/1A2B");
  EXPECT_EQ(past[0].second, "-c a=b endpoint=ep-x");
  EXPECT_FALSE(take_moment_of_options(past));
  wire::Parameters time = {{"options", "neon_timestamp:2026-11-23T01:26:10Z"}};
  EXPECT_EQ(take_moment_of_options(time), "neon_timestamp:2026-11-23T01:26:10Z");
  EXPECT_TRUE(time.empty());
  EXPECT_EQ(none[0].second, "-c a=b");
}

TEST(Route, WhatIsMeantForADriverIsNotPassedOn) {
  wire::Parameters parameters{{"user", "a"},
                              {"channel_binding", "require"},
                              {"pgbouncer", "true"},
                              {"search_path", "x"},
                              {"sslmode", "require"}};
  drop_driver_options(parameters);
  EXPECT_EQ(parameters, (wire::Parameters{{"user", "a"}, {"search_path", "x"}}));
}

TEST(Route, PasswordPrefixInBothSpellings) {
  auto route = route_of_password("endpoint=ep-x;pa$s;word");
  ASSERT_TRUE(route);
  EXPECT_EQ(route->route.endpoint, "ep-x");
  EXPECT_EQ(route->password, "pa$s;word");
  route = route_of_password("endpoint=ep-x$secret;");
  ASSERT_TRUE(route);
  EXPECT_EQ(route->password, "secret;");
  for (std::string_view text : {"", "secret", "endpoint=ep-x", "endpoint=;x", "endpoint=a b;x"})
    EXPECT_FALSE(route_of_password(text)) << text;
}

TEST(MessageTracker, KnowsBoundariesHoweverTheBytesAreCut) {
  std::string stream;
  wire::put_error(stream, {});
  wire::put_command_complete(stream, "SELECT 1");
  wire::put_ready_for_query(stream, 'T');
  for (size_t piece = 1; piece <= stream.size(); piece++) {
    MessageTracker tracker;
    size_t boundaries = 0;
    for (size_t at = 0; at < stream.size(); at += piece) {
      tracker.feed(std::string_view(stream).substr(at, piece));
      if (tracker.at_boundary()) boundaries++;
    }
    EXPECT_TRUE(tracker.at_boundary());
    EXPECT_EQ(tracker.last_type(), 'Z');
    EXPECT_EQ(tracker.transaction_status(), 'T');
    if (piece == 1) EXPECT_EQ(boundaries, 3u);
    tracker.feed("D");
    EXPECT_FALSE(tracker.at_boundary());
  }
}

TEST(MessageTracker, ImpossibleLengthIsNeverABoundary) {
  MessageTracker tracker;
  tracker.feed(std::string_view("Q\0\0\0\3Q\0\0\0\4", 10));
  EXPECT_TRUE(tracker.lost());
  EXPECT_FALSE(tracker.at_boundary());
}

TEST(CancelKeys, StandForABackendOnlyWhileTheClientHasIt) {
  CancelKeys keys;
  CancelKeys::Told told = keys.add();
  std::optional<CancelKeys::Told> told_two = keys.add(kLongSecret, "ep-b");
  const ClientKey one = told.key(), two = told_two->key();
  EXPECT_EQ(one.secret.size(), 4u);
  EXPECT_EQ(two.secret.size(), 32u);
  EXPECT_GT(static_cast<int32_t>(one.pid), 0);
  EXPECT_NE(one.pid, two.pid);
  EXPECT_FALSE(keys.begin(one));
  told.point(std::make_shared<CancelTarget>(CancelTarget{"/a", {1, 2}}));
  told_two->point(std::make_shared<CancelTarget>(CancelTarget{"/b", {3, 4}}));
  EXPECT_FALSE(keys.begin({one.pid, two.secret}));
  EXPECT_FALSE(keys.begin({one.pid, one.secret.substr(0, 3)}));
  EXPECT_FALSE(keys.begin({one.pid, ""}));
  ASSERT_TRUE(keys.begin(one));
  EXPECT_FALSE(told.point_nowhere()) << "a request is on its way";
  keys.end(one);
  EXPECT_TRUE(told.point_nowhere());
  EXPECT_FALSE(keys.begin(one));
  EXPECT_EQ(keys.begin(two)->socket, "/b");
  EXPECT_EQ(keys.begin(two)->endpoint, "ep-b");
  keys.end(two);
  keys.end(two);
  told_two.reset();
  EXPECT_FALSE(keys.begin(two));
  EXPECT_FALSE(keys.waiting_client(two));
}

TEST(CancelKeys, ClientsOfTwoComputesMayBeToldOnePid) {
  CancelKeys keys;
  CancelKeys::Told a = keys.add(kShortSecret, "ep-a", {}, 77);
  {
    CancelKeys::Told b = keys.add(kShortSecret, "ep-b", {}, 77);
    EXPECT_EQ(keys.waiting_client(b.key())->endpoint, "ep-b");
    EXPECT_EQ(keys.waiting_client(a.key())->endpoint, "ep-a");
  }
  EXPECT_TRUE(keys.waiting_client(a.key())) << "only the other has gone";
}

TEST(LogLimit, LetsABurstThroughAndThenFewAndCountsTheOthers) {
  LogLimit limit;
  auto now = std::chrono::steady_clock::now();
  int lines = 0;
  for (int i = 0; i < 10'000; i++) lines += limit.admit(now) >= 0 ? 1 : 0;
  EXPECT_EQ(lines, 100);
  EXPECT_EQ(limit.admit(now + std::chrono::seconds(2)), 9900);
  EXPECT_EQ(limit.admit(now + std::chrono::seconds(3)), -1);
}

class CertificatesTest : public ::testing::Test {
 protected:
  CertificatesTest() { fs::create_directories(folder_); }
  ~CertificatesTest() override { fs::remove_all(folder_); }
  const fs::path folder_ = fs::temp_directory_path() / ("halogen-certificates-" + random_name(8));
};

TEST_F(CertificatesTest, CoverEndpointHostsAndAreSignedByTheCa) {
  CertificateFiles files = make_certificates(folder_, "example.org", "eu");
  FILE* in = fopen(files.certificate.c_str(), "r");
  X509* certificate = PEM_read_X509(in, nullptr, nullptr, nullptr);
  fclose(in);
  ASSERT_NE(certificate, nullptr);
  for (const char* host : {"ep-a.example.org", "ep-a-pooler.eu.example.org", "localhost"})
    EXPECT_EQ(X509_check_host(certificate, host, 0, 0, nullptr), 1) << host;
  EXPECT_EQ(X509_check_host(certificate, "ep-a.us.example.org", 0, 0, nullptr), 0);
  EXPECT_EQ(X509_check_ip_asc(certificate, "127.0.0.1", 0), 1);
  EXPECT_EQ(X509_check_ip_asc(certificate, "::1", 0), 1);
  X509_free(certificate);
  struct stat key{};
  ASSERT_EQ(stat(files.key.c_str(), &key), 0);
  EXPECT_EQ(key.st_mode & 0777, 0600u);
  struct stat ca{};
  ASSERT_EQ(stat(files.ca.c_str(), &ca), 0);
  EXPECT_EQ(ca.st_mode & 0777, 0644u);
}

TEST_F(CertificatesTest, AreKeptWhileGoodAndMadeAnewForOtherNames) {
  CertificateFiles files = make_certificates(folder_, "localhost", "");
  std::string ca = read_file(files.ca);
  std::string server = read_file(files.certificate);
  make_certificates(folder_, "localhost", "");
  EXPECT_EQ(read_file(files.certificate), server);
  make_certificates(folder_, "localhost", "eu");
  EXPECT_NE(read_file(files.certificate), server);
  EXPECT_EQ(read_file(files.ca), ca);
}

TEST_F(CertificatesTest, DamagedCaIsNotReplacedSilently) {
  CertificateFiles files = make_certificates(folder_, "localhost", "");
  write_file(files.ca, "rubbish");
  EXPECT_THROW(make_certificates(folder_, "localhost", ""), Error);
}

TEST_F(CertificatesTest, SecretIsMadeOnce) {
  std::string secret = keep_secret(folder_ / "secret");
  EXPECT_EQ(secret.size(), 32u);
  EXPECT_EQ(keep_secret(folder_ / "secret"), secret);
}

}  // namespace
}  // namespace halogen::proxy
