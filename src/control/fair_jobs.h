// fair_jobs.h: threads for jobs that may block, shared out fairly between keys (projects).
//
// Jobs of one key begin in the order they came, and at most `per_key` of them are under way at a
// time; keys take turns. `width` jobs work at a time; one that takes longer than `patience` waits
// for something rather than works, and makes way for another. So neither one project nor a few
// computes that are stuck keep others from being served, up to `most` threads.
//
// Threads: any may add. There are only as many as are needed; idle ones end.
#pragma once
#include <chrono>
#include <deque>
#include <functional>
#include <list>
#include <string>
#include <unordered_map>

#include "base/deadline.h"
#include "base/mutex.h"

namespace halogen::control {

class FairJobs {
 public:
  struct Options {
    size_t width = 16;
    size_t per_key = 8;
    size_t most = 256;
    std::chrono::milliseconds patience{1000};
    std::chrono::milliseconds idle_life{10'000};  // After so long without work a thread ends.
  };

  explicit FairJobs(Options options) : options_(options) {}
  ~FairJobs() { stop(); }
  FairJobs(const FairJobs&) = delete;
  FairJobs& operator=(const FairJobs&) = delete;

  // A job must catch its own errors. Returns false, and drops it, after stop().
  bool add(const std::string& key, std::function<void()> job);
  // Runs what has been added, then ends the threads.
  void stop();
  size_t threads() const;

 private:
  struct Lane {
    std::deque<std::function<void()>> jobs;
    size_t running = 0;
    bool has_turn = false;  // It is in turns_.
  };
  // When the jobs that count among the `width` began; the oldest first.
  using Begun = std::list<steady_clock::time_point>;

  void work();
  void run_next() REQUIRES(mutex_);
  bool can_begin() REQUIRES(mutex_);
  void let_slow_ones_go() REQUIRES(mutex_);
  // Waits until there may be something to do; false if this thread is to end.
  bool wait() REQUIRES(mutex_);
  void give_turn(const std::string& key, Lane& lane) REQUIRES(mutex_);
  void need_a_thread() REQUIRES(mutex_);

  const Options options_;
  mutable Mutex mutex_;
  CondVar changed_;
  CondVar ended_;
  std::unordered_map<std::string, Lane> lanes_ GUARDED_BY(mutex_);
  std::deque<std::string> turns_ GUARDED_BY(mutex_);  // Keys with a job that may begin.
  Begun working_ GUARDED_BY(mutex_);
  size_t running_ GUARDED_BY(mutex_) = 0;
  size_t threads_ GUARDED_BY(mutex_) = 0;
  size_t idle_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace halogen::control
