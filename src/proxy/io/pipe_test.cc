#include "proxy/io/pipe.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "base/error.h"

namespace halogen::proxy {
namespace {

class PipeTest : public testing::Test {
 protected:
  PipeTest() {
    auto [one, other] = make_pipe(loop_);
    near_ = std::make_unique<Stream>(loop_, std::move(one));
    far_ = std::make_unique<Stream>(loop_, std::move(other));
  }
  // Runs `tasks` until all have ended.
  void run(std::vector<Task<void>> tasks) {
    size_t left = tasks.size();
    for (Task<void>& task : tasks)
      loop_.spawn(std::move(task), [this, &left](const std::exception_ptr& failure) {
        if (failure) failures_++;
        if (--left == 0) loop_.stop();
      });
    loop_.run();
  }
  template <typename... Tasks>
  void run_all(Tasks... tasks) {
    std::vector<Task<void>> all;
    (all.push_back(std::move(tasks)), ...);
    run(std::move(all));
  }
  static Task<void> write(Stream& to, std::string text) { co_await to.write(text); }
  static Task<void> write_and_end(Stream& to, std::string text) {
    co_await to.write(text);
    to.shutdown_send();
  }
  // To the end, in pieces of this size.
  Task<void> read_all(Stream& from, size_t piece) {
    std::string bytes(piece, '\0');
    while (size_t size = co_await from.read_some(bytes)) heard_.append(bytes, 0, size);
  }
  Task<void> read_once(Stream& from) {
    char bytes[100];
    size_t size = co_await from.read_some(bytes);
    heard_.append(bytes, size);
  }
  static Task<void> cancel(Stream& stream) {
    stream.cancel();
    co_return;
  }
  Task<void> drop_far() {
    far_.reset();
    co_return;
  }
  Task<void> await_readable(Stream& stream) {
    if (co_await stream.readable()) heard_ += "ready";
  }

  Loop loop_;
  std::unique_ptr<Stream> near_, far_;
  std::string heard_;
  int failures_ = 0;
};

TEST_F(PipeTest, HasNoDescriptorAndIsPrivate) {
  size_t before = Stream::count();
  auto [one, other] = make_pipe(loop_);
  Stream stream(loop_, std::move(one));
  EXPECT_EQ(Stream::count(), before);
  EXPECT_TRUE(stream.is_private());
  EXPECT_FALSE(stream.encrypted());
}

TEST_F(PipeTest, WhatIsWrittenIsReadInOrderBothWays) {
  run_all(write(*near_, "there"), read_once(*far_), write(*far_, ", and back"), read_once(*near_));
  EXPECT_EQ(heard_, "there, and back");
}

TEST_F(PipeTest, AReaderThatCameFirstIsWoken) {
  run_all(read_once(*far_), write(*near_, "late"));
  EXPECT_EQ(heard_, "late");
}

TEST_F(PipeTest, WhoWaitsWhereThereIsSomethingGoesOn) {
  EXPECT_EQ(near_->write_what_fits("x"), 1U);
  EXPECT_TRUE(far_->has_unread());
  run_all(await_readable(*far_));
  EXPECT_EQ(heard_, "ready");
}

TEST_F(PipeTest, AWriterWaitsForAReader) {
  std::string much(PipeEnd::kMostBytes * 3 + 17, '\0');
  for (size_t i = 0; i < much.size(); i++) much[i] = static_cast<char>(i * 7919 >> 3);
  EXPECT_EQ(near_->write_what_fits(much), PipeEnd::kMostBytes);
  run_all(write_and_end(*near_, much.substr(PipeEnd::kMostBytes)), read_all(*far_, 1000));
  EXPECT_TRUE(heard_ == much);
  EXPECT_EQ(failures_, 0);
}

TEST_F(PipeTest, TheEndComesBehindTheBytesAndIsToldAhead) {
  near_->write_what_fits("last words");
  EXPECT_FALSE(far_->gone());
  near_.reset();
  EXPECT_TRUE(far_->gone());
  EXPECT_TRUE(far_->has_unread());
  run_all(read_all(*far_, 3));
  EXPECT_EQ(heard_, "last words");
}

TEST_F(PipeTest, AnEndOfOneSideLeavesTheOther) {
  near_->shutdown_send();
  run_all(read_all(*far_, 10), write(*far_, "still"), read_once(*near_));
  EXPECT_EQ(heard_, "still");
  EXPECT_EQ(failures_, 0);
}

TEST_F(PipeTest, NothingIsWrittenToWhoIsGone) {
  near_->write_what_fits(std::string(PipeEnd::kMostBytes, 'x'));
  run_all(write(*near_, "more"), drop_far());
  EXPECT_EQ(failures_, 1);
}

TEST_F(PipeTest, ACancelledWaitEnds) {
  run_all(read_once(*far_), cancel(*far_));
  EXPECT_EQ(failures_, 1);
}

}  // namespace
}  // namespace halogen::proxy
