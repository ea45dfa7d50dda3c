#include "control/settings/allow_list.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace halogen::control {
namespace {

IpAddress ip(std::string_view text) { return IpAddress::parse(text).value(); }

TEST(IpAddress, OnlyAddressesAreParsed) {
  for (std::string_view good : {"0.0.0.0", "192.0.2.1", "::", "2001:db8::1", "::1"})
    EXPECT_EQ(ip(good).str(), good);
  EXPECT_EQ(ip("2001:DB8:0:0:0:0:0:1").str(), "2001:db8::1");
  for (std::string_view bad : {"", "localhost", "1.2.3", "1.2.3.4.5", "256.0.0.1", "1.2.3.4 ", "01",
                               "fe80::1%lo", "[::1]", "::g", "1.2.3.4:5432"})
    EXPECT_FALSE(IpAddress::parse(bad)) << bad;
  EXPECT_FALSE(IpAddress::parse(std::string_view("1.2.3.4\0", 8)));
  EXPECT_FALSE(IpAddress::parse(std::string(1000, '1')));
}

TEST(IpAddress, MappedOnesAreIpv4) {
  EXPECT_EQ(ip("::ffff:192.0.2.1"), ip("192.0.2.1"));
  EXPECT_NE(ip("::192.0.2.1"), ip("192.0.2.1"));
}

TEST(IpAddress, NetworksHaveTheirEnds) {
  EXPECT_EQ(ip("192.0.2.77").first_of(25).str(), "192.0.2.0");
  EXPECT_EQ(ip("192.0.2.77").last_of(25).str(), "192.0.2.127");
  EXPECT_EQ(ip("2001:db8:1:2:3:4:5:6").first_of(64).str(), "2001:db8:1:2::");
  EXPECT_EQ(ip("1.2.3.4").first_of(32), ip("1.2.3.4"));
  EXPECT_EQ(ip("1.2.3.4").last_of(0).str(), "255.255.255.255");
}

TEST(AllowList, AnEmptyOneAllowsEverybody) {
  EXPECT_TRUE(AllowList::parse({}).allows(ip("192.0.2.1")));
  EXPECT_TRUE(AllowList::parse({}).allows_everybody());
}

TEST(AllowList, AddressesNetworksAndRangesOfBothFamilies) {
  AllowList list = AllowList::parse({"192.0.2.1", "198.51.100.128/25", "203.0.113.5-203.0.113.9",
                                     "2001:db8:1::/48", "2001:db8:2::1-2001:db8:2::ff"});
  for (std::string_view inside :
       {"192.0.2.1", "198.51.100.128", "198.51.100.255", "203.0.113.5", "203.0.113.7",
        "203.0.113.9", "2001:db8:1:ffff::1", "2001:db8:2::80", "::ffff:192.0.2.1"})
    EXPECT_TRUE(list.allows(ip(inside))) << inside;
  for (std::string_view outside :
       {"192.0.2.0", "192.0.2.2", "198.51.100.127", "198.51.101.0", "203.0.113.4", "203.0.113.10",
        "2001:db8:2::", "2001:db8:2::100", "::1", "0.0.0.0", "255.255.255.255"})
    EXPECT_FALSE(list.allows(ip(outside))) << outside;
}

TEST(AllowList, OverlapsAndEverythingOfOneFamily) {
  AllowList list = AllowList::parse({"10.0.0.0/8", "10.1.2.3", "10.255.0.0-11.0.0.5", "::/0"});
  EXPECT_TRUE(list.allows(ip("10.200.0.1")));
  EXPECT_TRUE(list.allows(ip("11.0.0.5")));
  EXPECT_FALSE(list.allows(ip("11.0.0.6")));
  EXPECT_FALSE(list.allows(ip("9.255.255.255")));
  EXPECT_TRUE(list.allows(ip("::1")));
}

TEST(AllowList, BitsBehindThePrefixDoNotMatter) {
  EXPECT_TRUE(AllowList::parse({"192.0.2.77/24"}).allows(ip("192.0.2.1")));
}

TEST(AllowList, WhatIsNoEntryIsNamed) {
  for (const char* bad :
       {"", "x", "192.0.2.1/33", "192.0.2.1/", "192.0.2.1/-1", "192.0.2.1/8x", "::/129",
        "192.0.2.0/255.255.255.0", "192.0.2.9-192.0.2.1", "192.0.2.1-", "-192.0.2.1",
        "192.0.2.1-::1", "192.0.2.1 - 192.0.2.2", "example.com", "::ffff:192.0.2.0/120"}) {
    try {
      AllowList::parse({"192.0.2.1", bad});
      ADD_FAILURE() << bad << " was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Errc::invalid_argument);
      EXPECT_NE(std::string(error.what()).find(fmt::format("\"{}\"", bad)), std::string::npos);
    }
  }
  EXPECT_THROW(AllowList::parse(std::vector<std::string>(1001, "192.0.2.1")), Error);
}

}  // namespace
}  // namespace halogen::control
