#include "pageserver/job_pool.h"

#include <algorithm>
#include <atomic>
#include <exception>

namespace halogen::pageserver {

// Outlives the caller's run() where a helper comes too late: it then finds no part left, and so
// never touches `work`.
struct JobPool::Job {
  const size_t parts;
  const std::function<void(size_t)>& work;
  std::atomic<size_t> next = 0;
  std::atomic<bool> failed = false;
  Mutex mutex;
  CondVar finished;
  size_t over GUARDED_BY(mutex) = 0;
  std::exception_ptr error GUARDED_BY(mutex);
};

JobPool::JobPool(size_t threads) {
  for (size_t i = 0; i < threads; i++) threads_.emplace_back([this] { help(); });
}

JobPool::~JobPool() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    more_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
}

void JobPool::work_on(Job& job) {
  for (;;) {
    size_t part = job.next++;
    if (part >= job.parts) return;
    std::exception_ptr error;
    try {
      if (!job.failed) job.work(part);
    } catch (...) {
      error = std::current_exception();
      job.failed = true;
    }
    MutexLock lock(job.mutex);
    if (error && !job.error) job.error = error;
    if (++job.over == job.parts) job.finished.notify_all();
  }
}

void JobPool::help() {
  for (;;) {
    std::shared_ptr<Job> job;
    {
      MutexLock lock(mutex_);
      while (wanted_.empty() && !stopping_) more_.wait(mutex_);
      if (stopping_) return;
      job = std::move(wanted_.front());
      wanted_.pop_front();
    }
    work_on(*job);
  }
}

void JobPool::run(size_t parts, const std::function<void(size_t)>& work) {
  auto job = std::make_shared<Job>(parts, work);
  if (parts > 1) {
    MutexLock lock(mutex_);
    for (size_t i = 0; i < std::min(parts - 1, threads_.size()); i++) wanted_.push_back(job);
    more_.notify_all();
  }
  work_on(*job);
  MutexLock lock(job->mutex);
  while (job->over < parts) job->finished.wait(job->mutex);
  if (job->error) std::rethrow_exception(job->error);
}

}  // namespace halogen::pageserver
