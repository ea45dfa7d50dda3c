#include "control/books.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "base/error.h"

namespace halogen::control {
namespace {

TEST(Books, AreWrittenInOrderAndAgainUntilThatWorks) {
  std::string written;
  std::atomic<int> failures = 3;
  std::promise<void> done;
  Books books(std::chrono::milliseconds(1));
  books.add("a", [&] {
    if (failures-- > 0) throw Error(Errc::io, "the database is locked");
    written += "a";
  });
  books.add(
      "b", [&] { throw Error(Errc::not_found, "its branch is gone"); }, [&] { written += "-"; });
  books.add("c", [&] { written += "c"; }, [&] { done.set_value(); });
  done.get_future().wait();
  EXPECT_EQ(written, "a-c");
}

TEST(Books, AreTriedOnceMoreAtTheEnd) {
  std::atomic<bool> broken = true;
  std::atomic<int> tries = 0;
  std::atomic<int> written = 0;
  auto write = [&] {
    ++tries;
    if (broken) throw Error(Errc::io, "the disk is full");
    ++written;
  };
  Books books(std::chrono::hours(1));
  for (int i = 0; i < 3; ++i) books.add("one", write);
  while (tries == 0) std::this_thread::yield();
  broken = false;
  books.stop();
  EXPECT_EQ(written, 3);
  Books hopeless(std::chrono::hours(1));
  broken = true;
  hopeless.add("one", write);
  hopeless.stop();  // Returns.
  EXPECT_EQ(written, 3);
}

TEST(Books, AreBounded) {
  std::promise<void> go;
  std::shared_future<void> gate = go.get_future().share();
  std::atomic<size_t> written = 0, over = 0;
  Books books;
  std::promise<void> begun;
  books.add("first", [&] {
    begun.set_value();
    gate.wait();
  });
  begun.get_future().wait();
  for (size_t i = 0; i < Books::kMostEntries + 10; ++i)
    books.add("more", [&] { ++written; }, [&] { ++over; });
  go.set_value();
  books.stop();
  EXPECT_EQ(written, Books::kMostEntries);
  EXPECT_EQ(over, Books::kMostEntries + 10) << "of those that were dropped it is said, too";
}

}  // namespace
}  // namespace halogen::control
