#include "proxy/pubsub/notification.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/error.h"
#include "postgres/wire.h"
#include "protocol/session_state.h"

namespace halogen::proxy {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string notification(uint32_t pid, std::string_view channel, std::string_view payload) {
  std::string body;
  for (int shift = 24; shift >= 0; shift -= 8) body += static_cast<char>(pid >> shift);
  body.append(channel).append(1, '\0').append(payload).append(1, '\0');
  std::string message;
  wire::put_message(message, 'A', body);
  return message;
}

class NotificationOrderTest : public ::testing::Test {
 protected:
  using Time = NotificationOrder::Time;

  void arrives(uint32_t pid, std::string_view channel, std::string_view payload) {
    order.arrived(notification(pid, channel, payload), now);
  }
  void begins(uint32_t pid, int number) {
    arrives(pid, kNotifyChannel, "begin " + std::to_string(number));
  }
  void ends(uint32_t pid, int number) {
    arrives(pid, kNotifyChannel, "end " + std::to_string(number));
  }
  // "pid channel payload", or "pid ended number".
  std::vector<std::string> told() {
    std::vector<std::string> words;
    for (const NotificationOrder::Heard& one : order.take(now)) {
      if (one.ended) {
        words.push_back(std::to_string(one.ended->backend) + " ended " +
                        std::to_string(one.ended->number));
        continue;
      }
      Reader body(as_bytes(*one.message).subspan(5));
      std::string pid = std::to_string(body.be_get<uint32_t>());
      std::string channel(body.cstring());
      EXPECT_EQ(channel, one.channel);
      words.push_back(pid + " " + channel + " " + std::string(body.cstring()));
    }
    return words;
  }

  NotificationOrder order;
  Time now{std::chrono::seconds(1000)};
};

TEST_F(NotificationOrderTest, AClientsNotificationsHaveThePidThatItWasTold) {
  order.attribute({7, 1}, 70);
  begins(7, 1);
  arrives(7, "c", "x");
  ends(7, 1);
  arrives(7, "c", "y");  // Of no client.
  EXPECT_THAT(told(), ElementsAre("70 c x", "7 ended 1", "7 c y"));
}

TEST_F(NotificationOrderTest, WhatIsNobodysYetWaitsAndSoDoesAllBehindIt) {
  begins(7, 1);
  arrives(7, "c", "x");
  ends(7, 1);
  arrives(8, "c", "y");
  EXPECT_THAT(told(), IsEmpty());
  order.attribute({7, 1}, 70);
  EXPECT_THAT(told(), ElementsAre("70 c x", "7 ended 1", "8 c y"));
  EXPECT_EQ(order.patience_ends(), std::nullopt);
}

TEST_F(NotificationOrderTest, ItIsNotWaitedForForEver) {
  begins(7, 1);
  arrives(7, "c", "x");
  EXPECT_THAT(told(), IsEmpty());
  ASSERT_TRUE(order.patience_ends().has_value());
  now = *order.patience_ends();
  EXPECT_THAT(told(), ElementsAre("7 c x"));
}

TEST_F(NotificationOrderTest, TransactionsOfOneBackendAreOfTheClientThatHadItThen) {
  order.attribute({7, 2}, 72);
  order.attribute({7, 1}, 71);
  for (int number : {1, 2}) {
    begins(7, number);
    arrives(7, "c", std::to_string(number));
    ends(7, number);
  }
  EXPECT_THAT(told(), ElementsAre("71 c 1", "7 ended 1", "72 c 2", "7 ended 2"));
  EXPECT_TRUE(order.has_ended({7, 2}));
  EXPECT_FALSE(order.has_ended({7, 3}));
  EXPECT_FALSE(order.has_ended({8, 1}));
}

TEST_F(NotificationOrderTest, MarksThatAreNoneChangeNothing) {
  for (const char* payload : {"", "begin", "begin ", "begin x", "end 1x", "begin -1", "end 0"})
    arrives(7, kNotifyChannel, payload);
  EXPECT_THAT(told(), IsEmpty());
  EXPECT_EQ(order.patience_ends(), std::nullopt);
}

TEST_F(NotificationOrderTest, AMessageThatIsCutIsCorrupt) {
  std::string whole = notification(7, "c", "x");
  for (size_t size = 5; size < whole.size() - 2; ++size)
    EXPECT_THROW(order.arrived(whole.substr(0, size), now), Error) << size;
}

TEST(NotificationInboxTest, GivesWholeMessagesInOrderAHelpingAtATime) {
  NotificationInbox inbox;
  auto small = std::make_shared<const std::string>(40'000, 'a');
  auto large = std::make_shared<const std::string>(100'000, 'b');
  EXPECT_TRUE(inbox.put({small, large, small, small}));
  for (size_t size : {40'000u, 100'000u, 40'000u, 40'000u}) EXPECT_EQ(inbox.take().size(), size);
  EXPECT_TRUE(inbox.empty());
}

TEST(NotificationInboxTest, SaysWhenItIsTooMuch) {
  NotificationInbox inbox;
  std::vector<MessagePtr> half(
      1, std::make_shared<const std::string>(NotificationInbox::kMostBytes / 2, 'x'));
  EXPECT_TRUE(inbox.put(half));
  EXPECT_TRUE(inbox.put(half));
  EXPECT_FALSE(inbox.put(half));
}

}  // namespace
}  // namespace halogen::proxy
