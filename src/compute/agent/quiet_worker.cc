#include "compute/agent/quiet_worker.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <future>

namespace halogen::compute {
namespace {

// A wake posts early, well before Postgres is ready. Under wakes without end the work comes too.
constexpr std::chrono::seconds kQuiet{1};
constexpr std::chrono::seconds kLongestWait{20};
constexpr int kLowestPriority = 19;

}  // namespace

QuietWorker::QuietWorker(std::string name) : worker_(std::move(name)) {
  worker_.post([] { ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kLowestPriority); });
}

QuietWorker::~QuietWorker() {
  MutexLock lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
}

void QuietWorker::post(std::function<void()> job) {
  {
    MutexLock lock(mutex_);
    last_use_ = std::chrono::steady_clock::now();
  }
  worker_.post([this, job = std::move(job)] {
    wait_for_quiet();
    if (!stopping()) job();
  });
}

void QuietWorker::post_now(std::function<void()> job) {
  worker_.post([this, job = std::move(job)] {
    if (!stopping()) job();
  });
}

bool QuietWorker::stopping() {
  MutexLock lock(mutex_);
  return stopping_;
}

void QuietWorker::wait_for_quiet() {
  MutexLock lock(mutex_);
  const auto latest = std::chrono::steady_clock::now() + kLongestWait;
  while (!stopping_ && settling_ == 0) {
    auto until = std::min(last_use_ + kQuiet, latest);
    if (std::chrono::steady_clock::now() >= until) return;
    changed_.wait_until(mutex_, until);
  }
}

void QuietWorker::settle() {
  {
    MutexLock lock(mutex_);
    ++settling_;
    changed_.notify_all();
  }
  std::promise<void> done;
  worker_.post([&done] { done.set_value(); });
  done.get_future().wait();
  MutexLock lock(mutex_);
  --settling_;
}

}  // namespace halogen::compute
