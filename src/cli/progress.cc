#include "cli/progress.h"

#include <fmt/core.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <utility>

namespace halogen::cli {

using std::chrono::steady_clock;

Progress::Progress(std::string what)
    : what_(std::move(what)), terminal_(::isatty(STDERR_FILENO) == 1), thread_([this] { run(); }) {}

Progress::~Progress() {
  {
    MutexLock lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void Progress::say(int seconds) {
  if (terminal_)
    fmt::print(stderr, "\r{}... {} s", what_, seconds);
  else
    fmt::print(stderr, "{}, {} s so far\n", what_, seconds);
  std::fflush(stderr);
}

void Progress::run() {
  const auto began = steady_clock::now();
  bool said = false;
  int next = terminal_ ? 1 : 5;  // Seconds.
  MutexLock lock(mutex_);
  while (!over_) {
    if (changed_.wait_until(mutex_, began + std::chrono::seconds(next))) continue;
    say(next);
    said = true;
    next = terminal_ ? next + 1 : next * 2;
  }
  if (said && terminal_) fmt::print(stderr, "\r\033[K");
}

}  // namespace halogen::cli
