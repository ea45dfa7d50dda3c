// alarms.h: calls that are to be made at a moment. Setting one costs the logarithm of how many
// there are; there is no taking back, so what is called looks whether it is still wanted.
//
// Threads: any may set. Calls are made on one thread of ours, one after another, without a lock.
#pragma once
#include <functional>
#include <queue>
#include <thread>
#include <vector>

#include "base/deadline.h"
#include "base/mutex.h"

namespace halogen::control {

class Alarms {
 public:
  Alarms() : thread_([this] { run(); }) {}
  ~Alarms() { stop(); }
  Alarms(const Alarms&) = delete;
  Alarms& operator=(const Alarms&) = delete;

  void set(steady_clock::time_point at, std::function<void()> call);
  // Makes no more calls; one that is being made is waited for.
  void stop();

 private:
  struct Alarm {
    steady_clock::time_point at;
    std::function<void()> call;
    bool operator<(const Alarm& other) const { return at > other.at; }  // The earliest on top.
  };
  void run();

  Mutex mutex_;
  CondVar changed_;
  std::priority_queue<Alarm> alarms_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace halogen::control
