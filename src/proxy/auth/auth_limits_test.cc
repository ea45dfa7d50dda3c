#include "proxy/auth/auth_limits.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "base/error.h"
#include "proxy/auth/password_checks.h"

namespace halogen::proxy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Result = AuthLimits::Result;

constexpr auto kNone = AuthLimits::Clock::duration::zero();

class AuthLimitsTest : public ::testing::Test {
 protected:
  static AuthLimits::Attempt from(std::string_view address, std::string endpoint = "ep-a",
                                  std::string role = "alice") {
    return {IpAddress::parse(address).value(), std::move(endpoint), std::move(role)};
  }
  AuthLimits::Answer begin(const AuthLimits::Attempt& attempt) {
    return limits_.begin(attempt, now_);
  }
  // One attempt from beginning to end; what was said to it.
  AuthLimits::Answer attempt(const AuthLimits::Attempt& attempt, Result result) {
    AuthLimits::Answer answer = begin(attempt);
    if (answer.admitted()) limits_.end(attempt, result, now_);
    return answer;
  }
  int failures_until_refused(const AuthLimits::Attempt& who, int at_most = 1000) {
    int count = 0;
    while (count < at_most && attempt(who, Result::wrong).admitted()) count++;
    return count;
  }

  AuthLimits::Clock::time_point now_{std::chrono::hours(1)};
  AuthLimits limits_{{.address = {20, 2}, .login = {5, 1}, .endpoint = {40, 4}, .max_buckets = 64}};
};

TEST_F(AuthLimitsTest, OnlyFailuresCount) {
  for (int i = 0; i < 1000; i++) {
    EXPECT_TRUE(attempt(from("192.0.2.1"), Result::right).admitted());
    EXPECT_TRUE(attempt(from("192.0.2.2"), Result::unknown).admitted());
  }
}

TEST_F(AuthLimitsTest, ALoginIsRefusedAfterItsBurstAndSaysForHowLong) {
  EXPECT_EQ(failures_until_refused(from("192.0.2.1")), 5);
  AuthLimits::Answer answer = attempt(from("192.0.2.1"), Result::right);
  EXPECT_EQ(answer.verdict, AuthLimits::Verdict::refused);
  EXPECT_EQ(answer.wait, seconds(1));
  now_ += answer.wait;
  EXPECT_TRUE(attempt(from("192.0.2.1"), Result::right).admitted());
}

TEST_F(AuthLimitsTest, OthersAreNotRefusedWithIt) {
  failures_until_refused(from("192.0.2.1"));
  EXPECT_TRUE(attempt(from("192.0.2.2"), Result::right).admitted());
  EXPECT_TRUE(attempt(from("192.0.2.1", "ep-b"), Result::right).admitted());
  EXPECT_TRUE(attempt(from("192.0.2.1", "ep-a", "bob"), Result::right).admitted());
}

TEST_F(AuthLimitsTest, AnAddressIsRefusedWhateverItsRolesAndEndpoints) {
  int count = 0;
  while (count < 100 &&
         attempt(from("192.0.2.1", "ep-" + std::to_string(count % 7), std::to_string(count)),
                 Result::wrong)
             .admitted())
    count++;
  EXPECT_EQ(count, 20);
  EXPECT_FALSE(attempt(from("192.0.2.1", "ep-new", "new"), Result::right).admitted());
  EXPECT_TRUE(attempt(from("192.0.2.3", "ep-new", "new"), Result::right).admitted());
}

TEST_F(AuthLimitsTest, WhoHasBeenLetInIsNotRefusedForWhatOthersFailAtFromThere) {
  attempt(from("192.0.2.1", "ep-good"), Result::right);
  for (int i = 0; i < 100; i++) attempt(from("192.0.2.1", "", std::to_string(i)), Result::wrong);
  EXPECT_FALSE(attempt(from("192.0.2.1", "ep-bad"), Result::right).admitted());
  EXPECT_TRUE(attempt(from("192.0.2.1", "ep-good"), Result::right).admitted());
}

TEST_F(AuthLimitsTest, ManyAtOnceAreNoWayAroundTheLimit) {
  attempt(from("192.0.2.1"), Result::wrong);  // Four tokens are left.
  int admitted = 0;
  for (int i = 0; i < 100; i++) admitted += begin(from("192.0.2.1")).admitted() ? 1 : 0;
  EXPECT_EQ(admitted, 4);
  EXPECT_EQ(begin(from("192.0.2.1")).verdict, AuthLimits::Verdict::busy);
  for (int i = 0; i < 4; i++) limits_.end(from("192.0.2.1"), Result::right, now_);
  EXPECT_TRUE(begin(from("192.0.2.1")).admitted());
}

TEST_F(AuthLimitsTest, AStormOfGoodClientsIsServedAndOneOfBadOnesIsPaidFor) {
  for (int i = 0; i < 10'000; i++) ASSERT_TRUE(begin(from("192.0.2.1")).admitted());
  for (int i = 0; i < 10'000; i++) limits_.end(from("192.0.2.1"), Result::wrong, now_);
  AuthLimits::Answer answer = begin(from("192.0.2.1"));
  EXPECT_FALSE(answer.admitted());
  EXPECT_EQ(answer.wait, AuthLimits::kMaxWait);
  now_ += AuthLimits::kMaxWait;
  EXPECT_TRUE(begin(from("192.0.2.1")).admitted());
}

TEST_F(AuthLimitsTest, Ipv6CountsByItsNetwork) {
  EXPECT_EQ(failures_until_refused(from("2001:db8:0:1::1")), 5);
  EXPECT_FALSE(attempt(from("2001:db8:0:1:ffff::9"), Result::right).admitted());
  EXPECT_TRUE(attempt(from("2001:db8:0:2::1"), Result::right).admitted());
  EXPECT_FALSE(failures_until_refused(from("192.0.2.1")) == 0);
}

TEST_F(AuthLimitsTest, AnEndpointGuessedAtFromEverywhereIsSlowedDownAndNeverRefused) {
  attempt(from("192.0.2.200"), Result::right);
  for (int i = 0; i < 60; i++) {
    AuthLimits::Answer answer = attempt(from(fmt::format("198.51.100.{}", i)), Result::wrong);
    EXPECT_TRUE(answer.admitted());
    EXPECT_EQ(answer.wait > kNone, i >= 40) << i;
  }
  EXPECT_EQ(attempt(from("192.0.2.7"), Result::right).wait, milliseconds(500));
  EXPECT_EQ(attempt(from("192.0.2.7"), Result::right).wait, kNone);  // Trusted by now.
  EXPECT_EQ(attempt(from("192.0.2.200"), Result::right).wait, kNone);
  EXPECT_EQ(attempt(from("192.0.2.8", "ep-b"), Result::right).wait, kNone);
}

TEST_F(AuthLimitsTest, MemoryIsBoundedAndTheOldestGoFirst) {
  failures_until_refused(from("192.0.2.1"));
  for (int i = 0; i < 10'000; i++) {
    attempt(from(fmt::format("10.0.{}.{}", i / 256, i % 256), std::to_string(i)), Result::wrong);
    if (i % 32 == 0) attempt(from("192.0.2.1"), Result::wrong);  // Refused, but used.
  }
  EXPECT_LE(limits_.buckets(), 3u * 64);
  EXPECT_FALSE(attempt(from("192.0.2.1"), Result::right).admitted());
}

TEST_F(AuthLimitsTest, MerelyConnectingPushesNobodyOut) {
  failures_until_refused(from("192.0.2.1"));
  for (int i = 0; i < 1000; i++)
    attempt(from(fmt::format("10.0.{}.{}", i / 256, i % 256)), Result::unknown);
  EXPECT_FALSE(attempt(from("192.0.2.1"), Result::right).admitted());
}

TEST_F(AuthLimitsTest, WhoDoesNotListenIsNotWorthAHandshake) {
  IpAddress address = IpAddress::parse("192.0.2.1").value();
  EXPECT_FALSE(limits_.is_worn_out(address, now_));
  for (int i = 0; i < 40; i++) attempt(from("192.0.2.1", "", std::to_string(i)), Result::wrong);
  int told = 0;
  while (told < 100 && !limits_.is_worn_out(address, now_)) told++;
  EXPECT_EQ(told, 20);
  EXPECT_FALSE(limits_.is_worn_out(IpAddress::parse("192.0.2.2").value(), now_));
  now_ += seconds(1);
  EXPECT_FALSE(limits_.is_worn_out(address, now_));
}

// A check that takes long enough for others to arrive meanwhile.
const scram::Verifier& slow_verifier() {
  static const scram::Verifier verifier = scram::make_verifier("right", "salt", 50'000);
  return verifier;
}

TEST(PasswordChecks, TellRightFromWrong) {
  PasswordChecks checks({});
  for (std::string password : {"right", "wrong"}) {
    std::promise<bool> answer;
    checks.check("ep-a", slow_verifier(), password,
                 [&](Outcome<bool> outcome) { answer.set_value(outcome.value.value()); });
    EXPECT_EQ(answer.get_future().get(), password == "right");
  }
}

TEST(PasswordChecks, AFloodForOneEndpointLeavesRoomAndTurnsForOthers) {
  std::atomic<int> refused = 0;
  std::atomic<int> done = 0;
  PasswordChecks checks({.threads = 1, .max_waiting = 8, .max_waiting_in_all = 100});
  for (int i = 0; i < 50; i++) {
    checks.check("ep-flooded", slow_verifier(), fmt::format("guess {}", i),
                 [&](Outcome<bool> outcome) {
                   if (outcome.value)
                     done++;
                   else
                     refused++;
                 });
  }
  EXPECT_GE(refused, 50 - 8 - 1);
  std::promise<int> before;
  checks.check("ep-quiet", slow_verifier(), "right",
               [&](Outcome<bool>) { before.set_value(done); });
  EXPECT_LE(before.get_future().get(), 3);  // The one at work and at most one turn more.
}

// More than may wait: they are one check, and later ones none.
TEST(PasswordChecks, ManyThatShowTheSamePasswordAtOnceAreAllAnswered) {
  PasswordChecks checks({.threads = 1, .max_waiting = 2, .max_waiting_in_all = 2});
  std::atomic<int> right = 0;
  std::promise<void> all;
  for (int i = 0; i < 200; i++)
    checks.check("ep-a", slow_verifier(), "right", [&](Outcome<bool> outcome) {
      if (outcome.value.value() && ++right == 200) all.set_value();
    });
  all.get_future().get();
  bool at_once = false;
  checks.check("ep-a", slow_verifier(), "right", [&](Outcome<bool>) { at_once = true; });
  EXPECT_TRUE(at_once);
}

TEST(KnownPasswords, AreOfOneVerifierAndTheLeastRecentlyUsedGoes) {
  KnownPasswords known(2);
  scram::Verifier changed = scram::make_verifier("right", "other salt", 4096);
  std::string right = known.digest(slow_verifier(), "right");
  EXPECT_FALSE(known.contains(right));
  known.add(right);
  EXPECT_TRUE(known.contains(right));
  EXPECT_FALSE(known.contains(known.digest(slow_verifier(), "wrong")));
  EXPECT_FALSE(known.contains(known.digest(changed, "right")));
  EXPECT_NE(KnownPasswords(2).digest(slow_verifier(), "right"), right);
  known.add("second");
  EXPECT_TRUE(known.contains(right));
  known.add("third");
  EXPECT_TRUE(known.contains(right));
  EXPECT_FALSE(known.contains("second"));
}

TEST(PasswordChecks, WhatWaitsAtTheEndIsAnswered) {
  std::atomic<int> answers = 0;
  {
    PasswordChecks checks({});
    for (int i = 0; i < 20; i++)
      checks.check("ep-a", slow_verifier(), fmt::format("guess {}", i / 2),
                   [&](Outcome<bool>) { answers++; });
  }
  EXPECT_EQ(answers, 20);
}

}  // namespace
}  // namespace halogen::proxy
