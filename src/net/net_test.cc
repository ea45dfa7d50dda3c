#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "net/event_pool.h"
#include "net/replication_client.h"
#include "net/socket.h"

namespace halogen::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class NetTest : public testing::Test {
 protected:
  NetTest() : folder_(fs::temp_directory_path() / ("hnet-" + random_name())) {
    fs::create_directories(folder_);
  }
  ~NetTest() override { fs::remove_all(folder_); }
  static std::string random_name() {
    return std::to_string(::getpid()) + "-" + std::to_string(counter_++);
  }
  std::string socket_path() const { return (folder_ / "s").string(); }

  template <typename Call>
  static Errc code_of(Call call) {
    try {
      call();
    } catch (const Error& error) {
      return error.code();
    }
    return Errc::internal;
  }

  static inline int counter_ = 0;
  fs::path folder_;
};

using Socket_ = NetTest;
using Listener_ = NetTest;
using ReplicationClient_ = NetTest;

void echo(Socket& socket, const std::function<void()>&) {
  std::byte buffer[1000];
  for (;;) socket.send_all(Bytes(buffer, socket.recv_some(buffer)));
}

TEST_F(Socket_, BytesArriveWholeAndInOrder) {
  Listener listener({.name = "test", .socket = listen_unix(socket_path())}, echo);
  Socket socket = connect_unix(socket_path(), Deadline::after(seconds(5)));
  std::string sent(1'000'000, '\0');
  for (size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 7919 >> 3);
  std::thread sender([&] { socket.send_all(sent); });
  std::string got(sent.size(), '\0');
  socket.recv_exact(std::as_writable_bytes(std::span(got)), Deadline::after(seconds(20)));
  sender.join();
  EXPECT_EQ(got, sent);
}

TEST_F(Socket_, DeadlineAndEndOfStreamAreToldApart) {
  Listener listener({.name = "test", .socket = listen_unix(socket_path())},
                    [](Socket& socket, const auto&) { socket.wait_readable(Deadline::never()); });
  Socket socket = connect_unix(socket_path(), Deadline::after(seconds(5)));
  std::byte buffer[10];
  EXPECT_EQ(code_of([&] { socket.recv_some(buffer, Deadline::after(milliseconds(20))); }),
            Errc::timed_out);
  EXPECT_FALSE(socket.wait_readable(Deadline::after(milliseconds(5))));
  EXPECT_EQ(socket.recv_available(buffer), 0u);
  listener.stop();
  EXPECT_EQ(code_of([&] { socket.recv_some(buffer); }), Errc::unavailable);
  EXPECT_EQ(code_of([&] {
              for (;;) socket.send_all("x");
            }),
            Errc::unavailable);
}

TEST_F(Socket_, TooLongAPathIsReportedClearly) {
  std::string path = "/tmp/" + std::string(kMaxUnixPath, 'x');
  try {
    listen_unix(path);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::invalid_argument);
    EXPECT_NE(std::string(error.what()).find("at most 107"), std::string::npos) << error.what();
  }
}

TEST_F(Socket_, AStaleSocketFileIsReplacedAndALiveOneIsNot) {
  {
    UniqueFd dead = listen_unix(socket_path());
  }
  EXPECT_EQ(code_of([&] { connect_unix(socket_path(), Deadline::after(seconds(1))); }),
            Errc::unavailable);
  UniqueFd live = listen_unix(socket_path());
  EXPECT_EQ(code_of([&] { listen_unix(socket_path()); }), Errc::already_exists);
}

TEST_F(Listener_, ServesTcpOnAPortOfTheKernelsChoice) {
  UniqueFd listening = listen_tcp("127.0.0.1", 0);
  int port = local_port(listening.get());
  Listener listener({.name = "test", .socket = std::move(listening)}, echo);
  Socket socket = connect_tcp("localhost", port, Deadline::after(seconds(5)));
  socket.send_all("hello");
  std::byte got[5];
  socket.recv_exact(got, Deadline::after(seconds(5)));
  EXPECT_EQ(as_text(got), "hello");
}

TEST_F(Listener_, RefusesConnectionsBeyondItsCap) {
  Listener listener({.name = "test", .socket = listen_unix(socket_path()), .max_connections = 1},
                    echo);
  Socket first = connect_unix(socket_path(), Deadline::after(seconds(5)));
  first.send_all("x");
  std::byte got[1];
  first.recv_exact(got, Deadline::after(seconds(5)));
  Socket second = connect_unix(socket_path(), Deadline::after(seconds(5)));
  EXPECT_EQ(code_of([&] { second.recv_some(got, Deadline::after(seconds(5))); }),
            Errc::unavailable);
  EXPECT_EQ(listener.connections(), 1u);
}

TEST_F(Listener_, NewcomersThatSayNothingMakeWayForThoseThatDo) {
  Listener listener({.name = "test", .socket = listen_unix(socket_path()), .max_newcomers = 2},
                    [](Socket& socket, const auto& admitted) {
                      std::byte first;
                      socket.recv_exact({&first, 1});
                      admitted();
                      echo(socket, admitted);
                    });
  auto join = [&] { return connect_unix(socket_path(), Deadline::after(seconds(5))); };
  auto is_served = [](Socket& socket) {
    std::byte got[1];
    socket.send_all("xy");
    socket.recv_exact(got, Deadline::after(seconds(5)));
  };
  Socket known = join();
  is_served(known);
  std::list<Socket> silent;
  for (int i = 0; i < 20; ++i) silent.push_back(join());
  Socket one_more = join();
  is_served(one_more);
  is_served(known);
  std::byte got[1];
  EXPECT_EQ(code_of([&] { silent.front().recv_some(got, Deadline::after(seconds(5))); }),
            Errc::unavailable);
}

// Answers as a walsender would, with two WAL messages in one send and a third cut in two.
void small_walsender(Socket& socket, const std::function<void()>&) {
  std::byte buffer[10000];
  socket.recv_some(buffer);
  std::string out;
  wire::put_authentication_ok(out);
  wire::put_parameter_status(out, "server_version", "15.0");
  wire::put_ready_for_query(out);
  socket.send_all(out);
  socket.recv_some(buffer);
  out.clear();
  wire::put_copy_both_response(out);
  uint64_t at = 1000;
  for (std::string_view wal : {"first", "second", "third"}) {
    wire::put_wal_header(out, Lsn(at), Lsn(5000), 1, wal.size());
    out.append(wal);
    at += wal.size();
  }
  socket.send_all(std::string_view(out).substr(0, out.size() - 2));
  std::this_thread::sleep_for(milliseconds(20));
  socket.send_all(std::string_view(out).substr(out.size() - 2));
  out.clear();
  wire::put_error(out, {.severity = "FATAL", .sqlstate = "57P01", .message = "shutting down"});
  socket.send_all(out);
  socket.wait_readable(Deadline::never());
}

TEST_F(ReplicationClient_, HandsOutEveryMessageInOrderWhereverTheStreamIsCut) {
  Listener listener({.name = "test", .socket = listen_unix((folder_ / ".s.PGSQL.7").string())},
                    small_walsender);
  ReplicationClient client({.host = folder_.string(), .port = 7, .user = "u"});
  client.connect(Deadline::after(seconds(5)));
  client.start_replication(Lsn(1000), "", Deadline::after(seconds(5)));
  std::string got;
  while (got.size() < 16) {
    while (auto message = client.next()) {
      EXPECT_EQ(message->start.value, 1000 + got.size());
      got += as_text(message->data);
      if (got.size() == 16) break;
    }
    if (got.size() < 16) client.receive(Deadline::after(seconds(5)));
  }
  EXPECT_EQ(got, "firstsecondthird");
  EXPECT_EQ(code_of([&] {
              while (!client.next()) client.receive(Deadline::after(seconds(5)));
            }),
            Errc::unavailable);
}

TEST_F(ReplicationClient_, InterruptEndsABlockedReceive) {
  Listener listener({.name = "test", .socket = listen_unix((folder_ / ".s.PGSQL.7").string())},
                    [](Socket& socket, const auto&) {
                      std::byte buffer[10000];
                      socket.recv_some(buffer);
                      std::string out;
                      wire::put_authentication_ok(out);
                      wire::put_ready_for_query(out);
                      socket.send_all(out);
                      socket.wait_readable(Deadline::never());
                    });
  ReplicationClient client({.host = folder_.string(), .port = 7, .user = "u"});
  client.connect(Deadline::after(seconds(5)));
  std::thread other([&] {
    std::this_thread::sleep_for(milliseconds(30));
    client.interrupt();
  });
  EXPECT_EQ(code_of([&] { client.receive(); }), Errc::cancelled);
  other.join();
  EXPECT_EQ(code_of([&] { client.connect(Deadline::after(seconds(1))); }), Errc::cancelled);
}

// ---- EventPool ----

// Sends back what arrives; waits for `gate`, if there is one, before it does.
std::unique_ptr<EventPool> echo_pool(const std::string& path,
                                     const std::function<void()>& gate = {},
                                     size_t max_newcomers = SIZE_MAX) {
  EventPool::Options options;
  options.name = "test";
  options.socket = listen_unix(path);
  options.max_newcomers = max_newcomers;
  options.accepted = [](Socket socket) {
    return std::make_unique<EventPool::Connection>(std::move(socket));
  };
  auto pool = std::make_shared<EventPool*>(nullptr);
  options.ready = [pool, gate](EventPool::Connection& connection) {
    while (*pool == nullptr) std::this_thread::yield();
    try {
      std::byte bytes[100];
      size_t got = connection.socket().recv_available(bytes);
      if (gate) gate();
      connection.socket().send_all(Bytes(bytes, got));
      (*pool)->admit(connection);
      (*pool)->park(connection, EventPool::For::reading);
    } catch (const Error&) {
      (*pool)->end(connection);
    }
  };
  auto made = std::make_unique<EventPool>(std::move(options));
  *pool = made.get();
  return made;
}

bool echoes(const Socket& socket, const std::string& text) {
  std::string got(text.size(), '\0');
  socket.send_all(text);
  socket.recv_exact(std::as_writable_bytes(std::span(got)), Deadline::after(seconds(20)));
  return got == text;
}

using EventPool_ = NetTest;

TEST_F(EventPool_, IdleConnectionsCostNoThread) {
  auto pool = echo_pool(socket_path());
  std::vector<Socket> sockets;
  for (int i = 0; i < 200; i++) {
    sockets.push_back(connect_unix(socket_path(), Deadline::after(seconds(20))));
    EXPECT_TRUE(echoes(sockets.back(), "hello"));
  }
  for (int round = 0; round < 3; round++)
    for (Socket& socket : sockets) EXPECT_TRUE(echoes(socket, "again"));
  EXPECT_EQ(pool->connections(), 200u);
  EXPECT_LE(pool->threads(), 9u);
}

TEST_F(EventPool_, OneIsStartedForEachThatIsBusy) {
  std::atomic<int> busy = 0;
  std::atomic<bool> go_on = false;
  auto pool = echo_pool(socket_path(), [&] {
    ++busy;
    while (!go_on) std::this_thread::sleep_for(milliseconds(1));
  });
  std::vector<Socket> sockets;
  for (int i = 0; i < 20; i++) {
    sockets.push_back(connect_unix(socket_path(), Deadline::after(seconds(20))));
    sockets.back().send_all("x");
  }
  while (busy < 20) std::this_thread::sleep_for(milliseconds(1));  // None waits for another.
  EXPECT_EQ(pool->threads(), 21u);
  go_on = true;
  std::byte byte;
  for (Socket& socket : sockets) socket.recv_exact({&byte, 1}, Deadline::after(seconds(20)));
}

TEST_F(EventPool_, WhatEndsIsForgottenAndStopEndsTheRest) {
  auto pool = echo_pool(socket_path());
  Socket one = connect_unix(socket_path(), Deadline::after(seconds(5)));
  Socket other = connect_unix(socket_path(), Deadline::after(seconds(5)));
  EXPECT_TRUE(echoes(one, "1") && echoes(other, "2"));
  one.close();
  while (pool->connections() > 1) std::this_thread::sleep_for(milliseconds(1));
  pool->stop();
  EXPECT_EQ(pool->connections(), 0u);
  EXPECT_EQ(pool->threads(), 0u);
  std::byte byte;
  EXPECT_EQ(code_of([&] { other.recv_some({&byte, 1}, Deadline::after(seconds(5))); }),
            Errc::unavailable);
}

TEST_F(EventPool_, NewcomersMakeWayForThoseAdmitted) {
  auto pool = echo_pool(socket_path(), {}, 3);
  Socket admitted = connect_unix(socket_path(), Deadline::after(seconds(5)));
  EXPECT_TRUE(echoes(admitted, "1"));
  std::vector<Socket> silent;
  for (int i = 0; i < 5; i++)
    silent.push_back(connect_unix(socket_path(), Deadline::after(seconds(5))));
  std::byte byte;
  for (int i = 0; i < 2; i++)
    EXPECT_EQ(code_of([&] { silent[i].recv_some({&byte, 1}, Deadline::after(seconds(5))); }),
              Errc::unavailable);
  EXPECT_TRUE(echoes(silent[4], "5"));
  EXPECT_TRUE(echoes(admitted, "1"));
}

}  // namespace
}  // namespace halogen::net
