// job_pool.h: a few threads that help a caller with the parts of its work.
//
// Threads: any may call. The caller works too, so a busy pool delays nobody.
#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace halogen::pageserver {

class JobPool {
 public:
  explicit JobPool(size_t threads);
  ~JobPool();
  JobPool(const JobPool&) = delete;
  JobPool& operator=(const JobPool&) = delete;

  // Calls work(0) ... work(parts - 1), each once, in any order and partly at the same time; returns
  // when all are over. Throws what the first that failed threw; parts not begun are then left out.
  void run(size_t parts, const std::function<void(size_t)>& work);

 private:
  struct Job;
  void help();
  static void work_on(Job& job);

  Mutex mutex_;
  CondVar more_;
  std::deque<std::shared_ptr<Job>> wanted_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace halogen::pageserver
