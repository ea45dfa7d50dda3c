#include "proxy/io/loop.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ctime>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"

namespace halogen::proxy {
namespace {

// A pair of connected sockets; one end watched.
struct Pair {
  explicit Pair(Loop& loop) {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    near = UniqueFd(fds[0]);
    far = UniqueFd(fds[1]);
    watch = Watch::start(loop, fds[0]);
  }
  void say(std::string_view text) const { write_all(far.get(), as_bytes(text)); }
  std::string heard() const {
    char piece[100];
    ssize_t size = ::read(near.get(), piece, sizeof piece);
    return {piece, size > 0 ? static_cast<size_t>(size) : 0};
  }

  UniqueFd near, far;
  WatchPtr watch;
};

// Counts how many are alive.
struct Counted {
  explicit Counted(int& the_count) : count(the_count) { count++; }
  Counted(const Counted& other) : count(other.count) { count++; }
  ~Counted() { count--; }
  int& count;
};

class LoopTest : public testing::Test {
 protected:
  Task<void> note(std::string text) {
    said_ += text;
    co_return;
  }
  Task<int> answer() { co_return 42; }
  Task<void> fail() {
    throw Error(Errc::corrupt, "on purpose");
    co_return;
  }
  Task<void> wait_for(Event& event, std::string text) {
    co_await event;
    said_ += text;
  }
  Task<void> hear_once(Pair& pair) {
    if (!co_await pair.watch->readable()) said_ += "interrupted;";
    said_ += pair.heard() + ";";
  }
  Task<void> hear(Pair& pair, int times) {
    for (int i = 0; i < times; i++) co_await hear_once(pair);
    loop_.stop();
  }
  // Each is said while it is waited for.
  Task<void> hear_each(Pair& pair, std::vector<std::string> texts) {
    for (const std::string& text : texts) {
      Timer soon(loop_);
      soon.set(steady_clock::now(), [&] { pair.say(text); });
      co_await hear_once(pair);
    }
    loop_.stop();
  }
  Task<void> work_on(int rounds) {
    for (int i = 1; i <= rounds; i++) {
      co_await loop_.next_round();
      said_ += std::to_string(i);
    }
  }
  Task<void> ask() {
    depth_ = co_await answer();
    loop_.stop();
  }
  Task<void> hold(Event& event, Counted counted) {
    co_await event;
    ADD_FAILURE() << counted.count;
  }
  Task<void> nest(int depth, Event& event) {
    if (depth == 0)
      co_await event;
    else
      co_await nest(depth - 1, event);
    depth_++;
  }

  Loop loop_;
  std::string said_;
  int depth_ = 0;
};

TEST_F(LoopTest, WorkIsDoneInTheOrderItWasPosted) {
  for (char c : std::string("abc")) loop_.post([this, c] { said_ += c; });
  loop_.post([this] { loop_.post([this] { said_ += "e"; }); });
  loop_.post([this] { said_ += "d"; });
  loop_.stop();
  loop_.post([this] { loop_.stop(); });
  loop_.run();
  EXPECT_EQ(said_, "abcde");
}

TEST_F(LoopTest, OtherThreadsWakeIt) {
  std::thread other([this] {
    for (int i = 0; i < 1000; i++) loop_.post([this] { said_ += "x"; });
    loop_.stop();
  });
  loop_.run();
  other.join();
  EXPECT_EQ(said_.size(), 1000);
}

TEST_F(LoopTest, ASpawnedTaskBeginsLaterAndTellsHowItEnded) {
  loop_.post([&] {
    loop_.spawn(note("b"), [this](const std::exception_ptr& failure) {
      said_ += failure ? "?" : "c";
      loop_.spawn(fail(), [this](const std::exception_ptr& why) {
        try {
          std::rethrow_exception(why);
        } catch (const Error& error) {
          said_ += error.what();
        }
        loop_.stop();
      });
    });
    said_ += "a";
  });
  loop_.run();
  EXPECT_EQ(said_, "abcon purpose");
}

TEST_F(LoopTest, AWaitingTaskGoesOnWhereAnotherAwaitsIt) {
  Event event(loop_);
  loop_.spawn(nest(20, event), [this](const std::exception_ptr&) { loop_.stop(); });
  loop_.post([&] { event.signal(); });  // Too early: nobody waits yet.
  Timer timer(loop_);
  timer.set(steady_clock::now(), [&] {
    EXPECT_EQ(depth_, 0);
    event.signal();
    EXPECT_EQ(depth_, 0);  // Nobody is resumed in the midst of this.
  });
  loop_.run();
  EXPECT_EQ(depth_, 21);
}

TEST_F(LoopTest, ASignalIsForAllThatWait) {
  Event event(loop_);
  loop_.spawn(wait_for(event, "a"));
  loop_.spawn(wait_for(event, "b"), [this](const std::exception_ptr&) { loop_.stop(); });
  Timer timer(loop_);
  timer.set(steady_clock::now(), [&] { event.signal(); });
  loop_.run();
  EXPECT_EQ(said_, "ab");
}

TEST_F(LoopTest, TimersFireInTheirOrderOnceAndNotWhenCancelled) {
  auto now = steady_clock::now();
  Timer first(loop_), second(loop_), moved(loop_), cancelled(loop_), never(loop_);
  second.set(now + std::chrono::milliseconds(4), [this] { said_ += "b"; });
  first.set(now + std::chrono::milliseconds(2), [this] { said_ += "a"; });
  moved.set(now, [this] { said_ += "?"; });
  moved.set(now + std::chrono::milliseconds(6), [this] {
    said_ += "c";
    loop_.stop();
  });
  EXPECT_EQ(moved.when(), now + std::chrono::milliseconds(6));
  cancelled.set(now, [this] { said_ += "?"; });
  cancelled.cancel();
  never.set(steady_clock::time_point::max(), [this] { said_ += "?"; });
  EXPECT_EQ(never.when(), steady_clock::time_point::max());
  {
    Timer gone(loop_);
    gone.set(now, [this] { said_ += "?"; });
  }
  loop_.run();
  EXPECT_EQ(said_, "abc");
  EXPECT_GE(steady_clock::now(), now + std::chrono::milliseconds(6));
}

TEST_F(LoopTest, ATimerMayGoInItsOwnCallback) {
  auto timer = std::make_unique<Timer>(loop_);
  timer->set(steady_clock::now(), [&] {
    timer.reset();
    loop_.stop();
  });
  loop_.run();
  EXPECT_FALSE(timer);
}

TEST_F(LoopTest, ADescriptorIsToldOfEachTimeThereIsSomething) {
  Pair pair(loop_);
  loop_.spawn(hear_each(pair, {"one", "two", "three"}));
  loop_.run();
  EXPECT_EQ(said_, "one;two;three;");
}

TEST_F(LoopTest, WhatNobodyWaitedForIsToldToWhoWaitsLater) {
  Pair pair(loop_);
  loop_.spawn(hear_once(pair), [&](const std::exception_ptr&) { pair.say("more"); });
  pair.say("one");
  Timer later(loop_);
  later.set(steady_clock::now() + std::chrono::milliseconds(5),
            [&] { loop_.spawn(hear(pair, 1)); });
  loop_.run();
  EXPECT_EQ(said_, "one;more;");
}

TEST_F(LoopTest, TheEndAndAnErrorAreToldToWhoeverWaits) {
  Pair pair(loop_);
  loop_.spawn(hear(pair, 2));
  pair.far.reset();
  loop_.run();
  EXPECT_EQ(said_, ";;");
}

// A server that has ended is not given to a request that came after that.
TEST_F(LoopTest, WhatHasEndedBeforeAnEventIsKnownToWhoItWakes) {
  Pair server(loop_), client(loop_);
  std::string seen;
  auto see = [&] { seen += server.watch->undisturbed() ? "undisturbed;" : "disturbed;"; };
  see();  // Nobody has listened to it yet.
  loop_.spawn(hear_once(server), [&](const std::exception_ptr&) {
    see();
    server.far.reset();
    client.say("request");
  });
  loop_.spawn(hear(client, 1), [&](const std::exception_ptr&) { see(); });
  server.say("answer");
  loop_.run();
  EXPECT_EQ(seen, "disturbed;undisturbed;disturbed;");
  EXPECT_EQ(said_, "answer;request;");
}

// It would be told of that for ever.
TEST_F(LoopTest, AClosedPeerThatNobodyWaitsForDoesNotKeepItBusy) {
  Pair pair(loop_);
  loop_.spawn(hear_once(pair), [&](const std::exception_ptr&) { pair.far.reset(); });
  pair.say("one");
  constexpr std::chrono::milliseconds kLong{200};
  Timer end(loop_);
  end.set(steady_clock::now() + kLong, [&] { loop_.stop(); });
  std::clock_t before = std::clock();
  loop_.run();
  EXPECT_EQ(said_, "one;");
  EXPECT_LT(std::clock() - before, CLOCKS_PER_SEC * kLong.count() / 1000 / 2);
}

TEST_F(LoopTest, AnInterruptedWaitSaysSo) {
  Pair pair(loop_);
  loop_.spawn(hear(pair, 1));
  Timer timer(loop_);
  timer.set(steady_clock::now(), [&] { pair.watch->interrupt(); });
  loop_.run();
  EXPECT_EQ(said_, "interrupted;;");
}

TEST_F(LoopTest, WhoWaitsForWhatIsReleasedIsInterrupted) {
  Pair pair(loop_);
  loop_.spawn(hear(pair, 1));
  Timer timer(loop_);
  timer.set(steady_clock::now(), [&] { pair.watch = Watch::start(loop_, pair.near.get()); });
  loop_.run();
  EXPECT_EQ(said_, "interrupted;;");
}

TEST_F(LoopTest, EndsWhatStillWaits) {
  int alive = 0;
  {
    Loop loop;
    Event event(loop);
    loop.spawn(hold(event, Counted(alive)));
    loop.spawn(hold(event, Counted(alive)), [kept = Counted(alive)](const std::exception_ptr&) {});
    loop.post([kept = Counted(alive)] {});
    loop.stop();
    loop.post([kept = Counted(alive)] {});
    EXPECT_GT(alive, 3);
    loop.run();
  }
  EXPECT_EQ(alive, 0);
}

// A watch whose events its loop is looking at is released by another thread, which closes the
// descriptor, whose number comes again at once.
TEST_F(LoopTest, AnyThreadMayReleaseAWatch) {
  std::thread thread([this] { loop_.run(); });
  for (int i = 0; i < 2000; i++) {
    auto pair = std::make_shared<Pair>(loop_);
    std::atomic<bool> done = false;
    loop_.post([this, pair, &done] {
      loop_.spawn(hear_once(*pair), [pair, &done](const std::exception_ptr&) mutable {
        pair.reset();
        done = true;
      });
    });
    pair->say("x");
    while (!done) std::this_thread::yield();
    pair->say("y");
    pair.reset();
  }
  loop_.stop();
  thread.join();
}

// Nobody sleeps meanwhile.
TEST_F(LoopTest, WhoWaitsForTheNextRoundLetsOthersGoFirst) {
  Pair pair(loop_);
  loop_.spawn(work_on(3), [this](const std::exception_ptr&) { loop_.stop(); });
  loop_.spawn(hear_once(pair));
  pair.say("heard");
  loop_.run();
  EXPECT_EQ(said_, "heard;123");
}

TEST_F(LoopTest, ATaskGivesWhatItReturns) {
  loop_.spawn(ask());
  loop_.run();
  EXPECT_EQ(depth_, 42);
}

}  // namespace
}  // namespace halogen::proxy
