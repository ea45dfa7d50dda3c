// books.h: what the catalog is told of computes when nobody waits for that, in the order in which
// it happened. What fails for want of the catalog is tried again until it works; entries that can
// never work (what they are about is gone) are dropped.
//
// Threads: any may add; one of ours writes. An entry must throw Errc::io or unavailable for what is
// to be tried again.
#pragma once
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/deadline.h"
#include "base/mutex.h"

namespace halogen::control {

class Books {
 public:
  static constexpr size_t kMostEntries = 20'000;  // More, and the oldest are dropped.

  explicit Books(std::chrono::milliseconds retry = std::chrono::seconds(1));
  ~Books() { stop(); }
  Books(const Books&) = delete;
  Books& operator=(const Books&) = delete;

  // `over` is called, by the thread, when it is written, or dropped. `what` is for log lines.
  void add(std::string what, std::function<void()> write, std::function<void()> over = [] {});
  // Tries once more what there is, and ends the thread.
  void stop();

 private:
  struct Entry {
    std::string what;
    std::function<void()> write;
    std::function<void()> over;
  };
  enum class Outcome { written, dropped, owed };

  void run();
  bool write(const Entry& entry) REQUIRES(mutex_);
  Outcome attempt(const Entry& entry);

  const std::chrono::milliseconds retry_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<Entry> entries_ GUARDED_BY(mutex_);
  std::vector<std::function<void()>> dropped_ GUARDED_BY(mutex_);  // What is to be called for them.
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool failing_ = false;  // Only the thread's.
  std::thread thread_;
};

}  // namespace halogen::control
