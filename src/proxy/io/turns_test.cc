#include "proxy/io/turns.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace halogen::proxy {
namespace {

// However many one address asks for, another waits for one of them.
TEST(Turns, GoRoundTheAddresses) {
  Loop loop;
  Turns turns(loop);
  std::string order;
  std::vector<std::unique_ptr<Turns::Ticket>> tickets;
  loop.post([&] {
    for (std::string key : {"a", "a", "a", "a", "b", "b", "c"})
      tickets.push_back(std::make_unique<Turns::Ticket>(turns, key, [&, key] {
        order += key;
        if (turns.waiting() == 0) loop.stop();
      }));
    EXPECT_TRUE(tickets[0]->come()) << "the first does not wait";
    EXPECT_FALSE(tickets[1]->come());
    EXPECT_EQ(turns.waiting(), 6u);
    tickets.erase(tickets.begin() + 3);  // It has left.
  });
  loop.run();
  EXPECT_EQ(order, "bcaba");
}

}  // namespace
}  // namespace halogen::proxy
