// mutex.h: std::mutex and friends with clang's thread-safety annotations, so that the compiler
// checks that a GUARDED_BY member is touched under its lock. A mutex is never held across I/O.
#pragma once
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <shared_mutex>

#define HALOGEN_ATTRIBUTE(x) __attribute__((x))
#define GUARDED_BY(x) HALOGEN_ATTRIBUTE(guarded_by(x))
#define REQUIRES(...) HALOGEN_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define REQUIRES_SHARED(...) HALOGEN_ATTRIBUTE(requires_shared_capability(__VA_ARGS__))
#define EXCLUDES(...) HALOGEN_ATTRIBUTE(locks_excluded(__VA_ARGS__))

namespace halogen {

class HALOGEN_ATTRIBUTE(capability("mutex")) Mutex {
 public:
  void lock() HALOGEN_ATTRIBUTE(acquire_capability()) { mutex_.lock(); }
  void unlock() HALOGEN_ATTRIBUTE(release_capability()) { mutex_.unlock(); }
  bool try_lock() HALOGEN_ATTRIBUTE(try_acquire_capability(true)) { return mutex_.try_lock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class HALOGEN_ATTRIBUTE(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) HALOGEN_ATTRIBUTE(acquire_capability(mutex)) : mutex_(mutex) {
    mutex_.lock();
  }
  ~MutexLock() HALOGEN_ATTRIBUTE(release_capability()) { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

class HALOGEN_ATTRIBUTE(capability("mutex")) SharedMutex {
 public:
  void lock() HALOGEN_ATTRIBUTE(acquire_capability()) { mutex_.lock(); }
  void unlock() HALOGEN_ATTRIBUTE(release_capability()) { mutex_.unlock(); }
  void lock_shared() HALOGEN_ATTRIBUTE(acquire_shared_capability()) { mutex_.lock_shared(); }
  void unlock_shared() HALOGEN_ATTRIBUTE(release_shared_capability()) { mutex_.unlock_shared(); }

 private:
  std::shared_mutex mutex_;
};

class HALOGEN_ATTRIBUTE(scoped_lockable) WriterLock {
 public:
  explicit WriterLock(SharedMutex& mutex) HALOGEN_ATTRIBUTE(acquire_capability(mutex))
      : mutex_(mutex) {
    mutex_.lock();
  }
  ~WriterLock() HALOGEN_ATTRIBUTE(release_capability()) { mutex_.unlock(); }
  WriterLock(const WriterLock&) = delete;
  WriterLock& operator=(const WriterLock&) = delete;

 private:
  SharedMutex& mutex_;
};

class HALOGEN_ATTRIBUTE(scoped_lockable) ReaderLock {
 public:
  explicit ReaderLock(SharedMutex& mutex) HALOGEN_ATTRIBUTE(acquire_shared_capability(mutex))
      : mutex_(mutex) {
    mutex_.lock_shared();
  }
  ~ReaderLock() HALOGEN_ATTRIBUTE(release_generic_capability()) { mutex_.unlock_shared(); }
  ReaderLock(const ReaderLock&) = delete;
  ReaderLock& operator=(const ReaderLock&) = delete;

 private:
  SharedMutex& mutex_;
};

// Wait in a loop: `while (!ready_) ready_cv_.wait(mutex_);`.
class CondVar {
 public:
  void wait(Mutex& mutex) REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    cv_.wait(lock);
    lock.release();
  }
  // False when the time has passed.
  bool wait_until(Mutex& mutex, std::chrono::steady_clock::time_point until) REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    bool in_time = cv_.wait_until(lock, until) == std::cv_status::no_timeout;
    lock.release();
    return in_time;
  }
  void notify_one() { cv_.notify_one(); }
  void notify_all() { cv_.notify_all(); }

 private:
  std::condition_variable cv_;
};

}  // namespace halogen
