// parallel.h: independent pieces of work by several threads.
#pragma once
#include <algorithm>
#include <atomic>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace halogen {

// Calls work(0) to work(count - 1), up to `threads` at a time, in that order. The first exception
// ends it: what has not begun is left out, and the exception is thrown here.
inline void in_parallel(size_t threads, size_t count, const std::function<void(size_t)>& work) {
  std::atomic<size_t> next = 0;
  Mutex mutex;
  std::exception_ptr failure;
  auto run = [&] {
    try {
      for (size_t at = next++; at < count; at = next++) work(at);
    } catch (...) {
      next = count;
      MutexLock lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  std::vector<std::thread> helpers;
  for (size_t i = 1; i < std::min(threads, count); i++) helpers.emplace_back(run);
  run();
  for (std::thread& helper : helpers) helper.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace halogen
