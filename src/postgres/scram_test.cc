#include "postgres/scram.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace halogen::scram {
namespace {

// RFC 7677, section 3: user "user", password "pencil".
constexpr std::string_view kClientFirst = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
constexpr std::string_view kServerNonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
constexpr std::string_view kServerFirst =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
constexpr std::string_view kClientFinal =
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
constexpr std::string_view kServerFinal = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

Verifier pencil() { return make_verifier("pencil", *base64_decode("W22ZaJ0SNY7soEsUEjb6gQ==")); }

TEST(Scram, SpeaksTheExchangeOfRfc7677) {
  Exchange exchange(pencil(), "", std::string(kServerNonce));
  EXPECT_EQ(exchange.begin(kMechanism, kClientFirst), kServerFirst);
  EXPECT_EQ(exchange.finish(kClientFinal), kServerFinal);
}

TEST(Scram, AnotherPasswordFails) {
  Exchange exchange(make_verifier("pencils", pencil().salt), "", std::string(kServerNonce));
  exchange.begin(kMechanism, kClientFirst);
  EXPECT_EQ(exchange.finish(kClientFinal), std::nullopt);
}

TEST(Scram, VerifierTextRoundTrips) {
  // As Postgres 15 makes it for 'pencil' with that salt.
  Verifier verifier = pencil();
  EXPECT_TRUE(verifier.str().starts_with("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"));
  auto parsed = parse_verifier(verifier.str());
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->str(), verifier.str());
  EXPECT_TRUE(check_password(*parsed, "pencil"));
  EXPECT_FALSE(check_password(*parsed, "Pencil"));
  EXPECT_FALSE(check_password(*parsed, ""));
}

TEST(Scram, WhatIsNoVerifierIsRefused) {
  std::string good = pencil().str();
  for (std::string bad : {std::string(), std::string("md5abc"), std::string("SCRAM-SHA-256$"),
                          good.substr(0, good.size() - 1), "x" + good, good + "=",
                          std::string("SCRAM-SHA-256$0:AAAA$AAAA:AAAA")})
    EXPECT_FALSE(parse_verifier(bad)) << bad;
}

TEST(Scram, MockVerifierIsStablePerUserAndFitsNoPassword) {
  Verifier mock = mock_verifier("secret", "ep-a/alice");
  EXPECT_EQ(mock.str(), mock_verifier("secret", "ep-a/alice").str());
  EXPECT_NE(mock.salt, mock_verifier("secret", "ep-a/bob").salt);
  EXPECT_NE(mock.salt, mock_verifier("other", "ep-a/alice").salt);
  EXPECT_TRUE(parse_verifier(mock.str()));
  EXPECT_FALSE(check_password(mock, ""));
}

TEST(Scram, ClientThatCouldBindAndWasNotToldIsStopped) {
  std::string first = "y,,n=,r=abc";
  EXPECT_NO_THROW(Exchange(pencil(), "").begin(kMechanism, first));
  EXPECT_THROW(Exchange(pencil(), "hash").begin(kMechanism, first), Error);
}

TEST(Scram, BindingIsToTheCertificateServed) {
  auto bound = [](std::string_view hash) {
    return fmt::format("c={},r=abcdef,p={}",
                       base64_encode(fmt::format("p=tls-server-end-point,,{}", hash)),
                       base64_encode(std::string(32, 'x')));
  };
  Exchange right(pencil(), "hash", "def");
  right.begin(kMechanismPlus, "p=tls-server-end-point,,n=,r=abc");
  EXPECT_EQ(right.finish(bound("hash")), std::nullopt);  // Binding is fine, the proof is not.
  Exchange wrong(pencil(), "hash", "def");
  wrong.begin(kMechanismPlus, "p=tls-server-end-point,,n=,r=abc");
  EXPECT_THROW(wrong.finish(bound("other")), Error);
}

TEST(Scram, MalformedMessagesThrow) {
  for (std::string_view bad : {"", "n", "n,", "n,,", "n,,n=user", "n,,n=user,r=", "x,,n=,r=a",
                               "n,a=me,n=,r=a", "n,,m=x,n=,r=a", "p=tls-unique,,n=,r=a"})
    EXPECT_THROW(Exchange(pencil(), "hash").begin(kMechanism, bad), Error) << bad;
  EXPECT_THROW(Exchange(pencil(), "").begin(kMechanismPlus, "p=tls-server-end-point,,n=,r=a"),
               Error);
  EXPECT_THROW(Exchange(pencil(), "hash").begin(kMechanismPlus, "n,,n=,r=a"), Error);
  EXPECT_THROW(Exchange(pencil(), "").begin("PLAIN", "n,,n=,r=a"), Error);
  for (std::string_view bad : {"", ",p=", "c=biws,r=ab,p=AAAA", "r=ab,c=biws,p=AAAA"}) {
    Exchange exchange(pencil(), "", "b");
    exchange.begin(kMechanism, "n,,n=,r=a");
    EXPECT_THROW(exchange.finish(bad), Error) << bad;
  }
}

TEST(Scram, AnInitialResponseSaysHowLongItIs) {
  using namespace std::string_literals;
  const std::string name = "SCRAM-SHA-256\0"s;
  const std::string whole = name + "\0\0\0\3n,,"s;
  auto [mechanism, client_first] = parse_initial_response(whole);
  EXPECT_EQ(mechanism, "SCRAM-SHA-256");
  EXPECT_EQ(client_first, "n,,");
  // The last two are lengths that overflow when something is added to them.
  for (const std::string& size :
       {"\0\0\0\2"s, "\0\0\0\4"s, "\0\0\3"s, "\xff\xff\xff\xff"s, "\x7f\xff\xff\xff"s})
    EXPECT_THROW(parse_initial_response(name + size + "n,,"), Error);
  EXPECT_THROW(parse_initial_response("SCRAM-SHA-256"), Error);
}

TEST(Base64, StrictBothWays) {
  EXPECT_EQ(base64_encode(""), "");
  EXPECT_EQ(base64_encode("ab"), "YWI=");
  EXPECT_EQ(base64_decode("YWI="), "ab");
  EXPECT_EQ(base64_decode("YWJj"), "abc");
  for (std::string_view bad : {"YWI", "Y WI", "YW=I", "====", "YW\n=", "YW-="})
    EXPECT_FALSE(base64_decode(bad)) << bad;
}

}  // namespace
}  // namespace halogen::scram
