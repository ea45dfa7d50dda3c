#include "control/fair_jobs.h"

#include <system_error>
#include <thread>
#include <utility>

#include "base/log.h"

namespace halogen::control {
namespace {

const log::Logger logger("control");

}  // namespace

bool FairJobs::add(const std::string& key, std::function<void()> job) {
  MutexLock lock(mutex_);
  if (stopping_) return false;
  Lane& lane = lanes_[key];
  lane.jobs.push_back(std::move(job));
  give_turn(key, lane);
  need_a_thread();
  return true;
}

void FairJobs::give_turn(const std::string& key, Lane& lane) {
  if (lane.has_turn || lane.jobs.empty() || lane.running >= options_.per_key) return;
  lane.has_turn = true;
  turns_.push_back(key);
}

// One that waits is enough: whoever takes a job and leaves others calls this again.
void FairJobs::need_a_thread() {
  if (turns_.empty()) return;
  if (idle_ > 0) {
    changed_.notify_one();
    return;
  }
  if (threads_ >= options_.most) return;
  try {
    std::thread([this] { work(); }).detach();
    ++threads_;
  } catch (const std::system_error& error) {
    logger.error("no thread for jobs: {}", error.what());
  }
}

void FairJobs::let_slow_ones_go() {
  const auto limit = steady_clock::now() - options_.patience;
  while (!working_.empty() && working_.front() <= limit) working_.pop_front();
}

bool FairJobs::can_begin() {
  let_slow_ones_go();
  return !turns_.empty() && working_.size() < options_.width;
}

bool FairJobs::wait() {
  if (stopping_ && lanes_.empty()) return false;
  const bool crowded = !turns_.empty();
  const auto until =
      crowded ? working_.front() + options_.patience : steady_clock::now() + options_.idle_life;
  ++idle_;
  const bool told = changed_.wait_until(mutex_, until);
  --idle_;
  return told || crowded || !turns_.empty();
}

void FairJobs::run_next() {
  const std::string key = std::move(turns_.front());
  turns_.pop_front();
  Lane& lane = lanes_.at(key);
  std::function<void()> job = std::move(lane.jobs.front());
  lane.jobs.pop_front();
  lane.has_turn = false;
  ++lane.running;
  give_turn(key, lane);
  const auto began = steady_clock::now();
  working_.push_back(began);
  ++running_;
  need_a_thread();
  mutex_.unlock();
  job();
  job = nullptr;  // What it holds may take locks when it goes.
  mutex_.lock();
  --running_;
  // Any of the same moment will do.
  for (auto at = working_.begin(); at != working_.end() && *at <= began; ++at)
    if (*at == began) {
      working_.erase(at);
      break;
    }
  Lane& after = lanes_.at(key);
  --after.running;
  give_turn(key, after);
  if (after.jobs.empty() && after.running == 0) lanes_.erase(key);
  if (stopping_ && lanes_.empty()) changed_.notify_all();
}

void FairJobs::work() {
  MutexLock lock(mutex_);
  for (;;) {
    if (can_begin())
      run_next();
    else if (!wait())
      break;
  }
  --threads_;
  if (threads_ == 0) ended_.notify_all();
}

void FairJobs::stop() {
  MutexLock lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
  while (threads_ > 0) ended_.wait(mutex_);
}

size_t FairJobs::threads() const {
  MutexLock lock(mutex_);
  return threads_;
}

}  // namespace halogen::control
