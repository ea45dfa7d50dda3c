#include "control/books.h"

#include <utility>

#include "base/error.h"
#include "base/log.h"

namespace halogen::control {
namespace {

const log::Logger logger("control");

}  // namespace

Books::Books(std::chrono::milliseconds retry) : retry_(retry), thread_([this] { run(); }) {}

void Books::add(std::string what, std::function<void()> write, std::function<void()> over) {
  MutexLock lock(mutex_);
  if (entries_.size() >= kMostEntries) {
    dropped_.push_back(std::move(entries_.front().over));
    entries_.pop_front();
  }
  entries_.push_back({std::move(what), std::move(write), std::move(over)});
  changed_.notify_one();
}

void Books::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void Books::run() {
  MutexLock lock(mutex_);
  for (;;) {
    while (entries_.empty() && !stopping_) changed_.wait(mutex_);
    if (entries_.empty()) return;
    const Entry entry = std::move(entries_.front());
    entries_.pop_front();
    if (!write(entry)) {
      logger.error("{} events of computes are not in the catalog", entries_.size() + 1);
      return;
    }
  }
}

// As often as it takes, but after stop() only once; false: that was not enough.
bool Books::write(const Entry& entry) {
  for (;;) {
    const bool last = stopping_;
    mutex_.unlock();
    const Outcome outcome = attempt(entry);
    if (outcome != Outcome::owed) entry.over();
    mutex_.lock();
    const std::vector<std::function<void()>> dropped = std::exchange(dropped_, {});
    mutex_.unlock();
    for (const auto& over : dropped) over();
    mutex_.lock();
    if (outcome != Outcome::owed) return true;
    if (last) return false;
    const auto until = steady_clock::now() + retry_;
    while (!stopping_ && steady_clock::now() < until) changed_.wait_until(mutex_, until);
  }
}

Books::Outcome Books::attempt(const Entry& entry) {
  try {
    entry.write();
    if (std::exchange(failing_, false)) logger.info("the catalog can be written to again");
    return Outcome::written;
  } catch (const Error& error) {
    const bool again = error.code() == Errc::io || error.code() == Errc::unavailable;
    if (!again) {
      logger.info("{}: not recorded: {}", entry.what, error.what());
      return Outcome::dropped;
    }
    if (!std::exchange(failing_, true))
      logger.error("{}: not recorded yet, computes go on without the catalog: {}", entry.what,
                   error.what());
    return Outcome::owed;
  }
}

}  // namespace halogen::control
