#include "control/api/connections.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"

namespace halogen::control::api {
namespace {

using std::chrono::seconds;

// Echoes what it is told; "slow" takes its time.
class ConnectionsTest : public testing::Test {
 protected:
  void start(Connections::Options options) {
    listener_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* any = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof address;
    ASSERT_EQ(::bind(listener_.get(), any, size), 0);
    ASSERT_EQ(::listen(listener_.get(), 1000), 0);
    ASSERT_EQ(::getsockname(listener_.get(), any, &size), 0);
    address_ = address;
    connections_ = std::make_unique<Connections>(
        options,
        [](UniqueFd fd) { return std::make_unique<Connections::Connection>(std::move(fd)); },
        [this](Connections::Connection& connection) { return echo(connection); });
    thread_ = std::thread([this] { connections_->run(listener_.get()); });
  }
  void end() {
    connections_->end();
    if (thread_.joinable()) thread_.join();
  }
  ~ConnectionsTest() override {
    if (connections_) end();
  }
  Connections::Then echo(Connections::Connection& connection) {
    char bytes[100];
    ssize_t size = ::recv(connection.socket.get(), bytes, sizeof bytes, 0);
    if (size <= 0) return Connections::Then::close;
    std::string_view heard(bytes, static_cast<size_t>(size));
    if (heard == "slow") {
      slow_++;
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
    }
    EXPECT_EQ(::send(connection.socket.get(), bytes, heard.size(), MSG_NOSIGNAL), size);
    return Connections::Then::wait;
  }
  UniqueFd connect() const {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address_), sizeof address_),
              0);
    return fd;
  }
  static void say(const UniqueFd& to, std::string_view text) {
    EXPECT_EQ(::send(to.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  // "" at the end, "nothing" if nothing comes.
  static std::string hear(const UniqueFd& from, int milliseconds = 10'000) {
    pollfd wanted{from.get(), POLLIN, 0};
    if (::poll(&wanted, 1, milliseconds) != 1) return "nothing";
    char bytes[100];
    ssize_t size = ::recv(from.get(), bytes, sizeof bytes, 0);
    return {bytes, size > 0 ? static_cast<size_t>(size) : 0};
  }
  static std::string ask(const UniqueFd& whom, std::string_view text) {
    say(whom, text);
    return hear(whom);
  }

  UniqueFd listener_;
  sockaddr_in address_{};
  std::unique_ptr<Connections> connections_;
  std::thread thread_;
  std::atomic<int> slow_ = 0;
};

TEST_F(ConnectionsTest, ThoseThatWaitHoldNoThread) {
  start({.threads = 2});
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 200; i++) {
    clients.push_back(connect());
    ASSERT_EQ(ask(clients.back(), "hello"), "hello");
  }
  clients.push_back(connect());  // Says nothing, ever.
  for (int round = 0; round < 2; round++)
    for (int i = 0; i < 200; i++) ASSERT_EQ(ask(clients[static_cast<size_t>(i)], "again"), "again");
}

TEST_F(ConnectionsTest, OneThatWaitsForTooLongIsClosed) {
  start({.threads = 1, .idle_time = seconds(1)});
  UniqueFd idle = connect(), silent = connect();
  EXPECT_EQ(ask(idle, "hello"), "hello");
  EXPECT_EQ(hear(idle), "");
  EXPECT_EQ(hear(silent), "");
}

TEST_F(ConnectionsTest, AboveTheMostTheOneThatHasWaitedForLongestGoes) {
  start({.threads = 1, .most = 3});
  UniqueFd first = connect(), second = connect(), third = connect();
  for (const UniqueFd* one : {&first, &second, &third}) EXPECT_EQ(ask(*one, "x"), "x");
  EXPECT_EQ(ask(first, "y"), "y") << "so it is the second that has";
  UniqueFd fourth = connect();
  EXPECT_EQ(ask(fourth, "x"), "x");
  EXPECT_EQ(hear(second), "");
  for (const UniqueFd* one : {&first, &third, &fourth}) EXPECT_EQ(ask(*one, "z"), "z");
}

TEST_F(ConnectionsTest, WhatIsBeingServedIsServedToItsEnd) {
  start({.threads = 2});
  UniqueFd idle = connect(), busy = connect();
  EXPECT_EQ(ask(idle, "x"), "x");
  say(busy, "slow");
  while (slow_ == 0) std::this_thread::yield();
  end();
  EXPECT_EQ(hear(busy), "slow");
  EXPECT_EQ(hear(busy), "");
  EXPECT_EQ(hear(idle), "");
}

TEST_F(ConnectionsTest, AnEndBeforeItsBeginningIsNotLost) {
  start({.threads = 1});
  end();
  connections_.reset();
}

}  // namespace
}  // namespace halogen::control::api
