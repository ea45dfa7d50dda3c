// progress.h: says on standard error what is waited for, once that takes longer than people like to
// look at nothing.
//
// On a terminal it is one line that counts seconds and is wiped away at the end; elsewhere a line
// of its own, at growing intervals.
#pragma once
#include <string>
#include <thread>

#include "base/mutex.h"

namespace halogen::cli {

class Progress {
 public:
  explicit Progress(std::string what);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

 private:
  void run();
  void say(int seconds);

  const std::string what_;
  const bool terminal_;
  Mutex mutex_;
  CondVar changed_;
  bool over_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace halogen::cli
