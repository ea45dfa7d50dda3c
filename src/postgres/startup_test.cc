#include "postgres/startup.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace halogen::startup {
namespace {

using Words = std::vector<std::string>;

std::string body_of(const std::string& packet) { return packet.substr(4); }

std::string start(std::string_view text, uint32_t version = wire::kProtocol3) {
  Writer out;
  out.be_put(version).text(text);
  return out.take();
}

Packet parse(std::string_view body) { return startup::parse(as_bytes(body)); }

TEST(Startup, TellsTheFourRequestsApart) {
  EXPECT_EQ(parse(body_of(wire::ssl_request())).kind, Kind::ssl_request);
  Writer gss;
  gss.be_put(wire::kGssRequest);
  EXPECT_EQ(parse(gss.view()).kind, Kind::gss_request);
  Packet cancel = parse(body_of(wire::cancel_request(7, 0xdeadbeef)));
  EXPECT_EQ(cancel.kind, Kind::cancel_request);
  EXPECT_EQ(cancel.cancel_pid, 7u);
  EXPECT_EQ(cancel.cancel_key, "\xde\xad\xbe\xef");
  Packet packet = parse(body_of(wire::startup_packet({{"user", "me"}, {"database", "db"}})));
  EXPECT_EQ(packet.kind, Kind::start);
  EXPECT_EQ(packet.parameter("user"), "me");
  EXPECT_EQ(packet.parameter("database"), "db");
  EXPECT_EQ(packet.parameter("options"), "");
  EXPECT_EQ(parse(start("", 2u << 16)).kind, Kind::unsupported);
}

// Who is authenticated must be who Postgres takes: it goes by the last value and cuts names.
TEST(Startup, LastValueOfANameCountsAndNamesAreCut) {
  using namespace std::string_literals;
  Packet packet =
      parse(start("user\0alice\0user\0bob\0database\0"s + std::string(70, 'd') + "\0\0"s));
  EXPECT_EQ(packet.parameters.size(), 2u);
  EXPECT_EQ(packet.parameter("user"), "bob");
  EXPECT_EQ(packet.parameter("database"), std::string(63, 'd'));
}

TEST(Startup, MinorVersionAndProtocolOptionsAreSetApart) {
  using namespace std::string_literals;
  Packet packet = parse(start("user\0u\0_pq_.x\0001\0\0"s, wire::kProtocol3 + 2));
  EXPECT_EQ(packet.minor, 2);
  EXPECT_EQ(packet.protocol_options, Words{"_pq_.x"});
  EXPECT_EQ(packet.parameters.size(), 1u);
}

TEST(Startup, CancelKeysMayBeLongSinceProtocol32) {
  Writer body;
  body.be_put(wire::kCancelRequest).be_put<uint32_t>(7).text(std::string(256, 'k'));
  EXPECT_EQ(parse(body.view()).cancel_key, std::string(256, 'k'));
  body.text("x");
  EXPECT_THROW(parse(body.view()), Error);
}

TEST(Startup, MalformedPacketsThrow) {
  using namespace std::string_literals;
  for (const std::string& bad :
       {""s, "abc"s, start(""), start("user"), start("user\0me"s), start("user\0me\0"s),
        start("user\0me\0\0x"s), body_of(wire::ssl_request()) + "x",
        body_of(wire::cancel_request(1, 2)).substr(0, 11)})
    EXPECT_THROW(parse(bad), Error);
  for (uint32_t bad : {0u, 4u, 7u, 10005u, 0x47455420u}) EXPECT_THROW(body_size(bad), Error) << bad;
  EXPECT_EQ(body_size(8), 4u);
  EXPECT_EQ(body_size(10004), 10000u);
}

TEST(StartupOptions, AreSplitAsPostgresSplitsThem) {
  EXPECT_EQ(split_options(""), Words{});
  EXPECT_EQ(split_options("  -c\ta=b\n --x=y "), (Words{"-c", "a=b", "--x=y"}));
  EXPECT_EQ(split_options(R"(-c a=b\ c\\d e\)"), (Words{"-c", "a=b c\\d", "e"}));
}

TEST(StartupOptions, JoinIsTheInverseOfSplit) {
  Words words{"-c", "a=b c\\d", "--x=\t", "\\"};
  EXPECT_EQ(split_options(join_options(words)), words);
  EXPECT_EQ(join_options({}), "");
}

TEST(StartupOptions, SettingsInTheirThreeSpellings) {
  auto settings = option_settings({"-c", "a=1", "-cb=2", "--c-d=3=4"});
  EXPECT_EQ(settings, (wire::Parameters{{"a", "1"}, {"b", "2"}, {"c_d", "3=4"}}));
}

// As Postgres takes and refuses them: tests/proxy/test_startup_options.py compares with it.
TEST(StartupOptions, ShortSwitchesAreSettings) {
  EXPECT_EQ(option_settings({"-S", "2048", "-f", "s", "-fh", "-e", "-tpl"}),
            (wire::Parameters{{"work_mem", "2048"},
                              {"enable_seqscan", "false"},
                              {"enable_hashjoin", "false"},
                              {"datestyle", "euro"},
                              {"log_planner_stats", "true"}}));
  EXPECT_EQ(option_settings({"-eS", "64", "-D", "/x", "-E"}),
            (wire::Parameters{{"datestyle", "euro"}, {"work_mem", "64"}}));
}

TEST(StartupOptions, WhatPostgresRefusesIsRefused) {
  for (const Words& words :
       {Words{"rubbish"}, Words{"-c"}, Words{"-c", "work_mem"}, Words{"--work_mem"}, Words{"-S"},
        Words{"-f", "x"}, Words{"-t", "x"}, Words{"-Z"}, Words{"-"}, Words{""}, Words{"--", "a"}})
    EXPECT_THROW(option_settings(words), Error) << words[0];
}

}  // namespace
}  // namespace halogen::startup
