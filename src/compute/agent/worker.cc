#include "compute/agent/worker.h"

#include <pthread.h>

#include "base/log.h"

namespace halogen::compute {
namespace {
const log::Logger logger("compute");
}

Worker::Worker(std::string name) : name_(std::move(name)), thread_([this] { run(); }) {}

Worker::~Worker() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Worker::post(std::function<void()> job) {
  {
    MutexLock lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  changed_.notify_one();
}

void Worker::every(std::chrono::milliseconds period, std::function<void()> job) {
  {
    MutexLock lock(mutex_);
    period_ = period;
    periodic_ = std::move(job);
  }
  changed_.notify_one();
}

std::function<void()> Worker::next() {
  MutexLock lock(mutex_);
  while (jobs_.empty()) {
    if (stopping_) return {};
    if (!periodic_)
      changed_.wait(mutex_);
    else if (!changed_.wait_until(mutex_, std::chrono::steady_clock::now() + period_))
      return periodic_;
  }
  std::function<void()> job = std::move(jobs_.front());
  jobs_.pop_front();
  return job;
}

void Worker::run() {
  ::pthread_setname_np(::pthread_self(), name_.c_str());
  while (std::function<void()> job = next()) {
    try {
      job();
    } catch (const std::exception& error) {
      logger.warn("background job: {}", error.what());
    }
  }
}

}  // namespace halogen::compute
