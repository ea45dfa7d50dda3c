// turns.h: operations that take turns, however long each one waits for I/O.
//
// Not a mutex, which is never held across I/O: waiting for a turn has a deadline.
#pragma once
#include "base/deadline.h"
#include "base/error.h"
#include "base/mutex.h"

namespace halogen::compute {

class Turns {
 public:
  class Hold {
   public:
    // Throws timed_out.
    explicit Hold(Turns& turns, Deadline deadline = Deadline::never()) : turns_(turns) {
      MutexLock lock(turns_.mutex_);
      while (turns_.taken_) {
        if (deadline.passed())
          throw Error(Errc::timed_out, "another operation on this compute takes too long");
        turns_.over_.wait_until(turns_.mutex_, deadline.at());
      }
      turns_.taken_ = true;
    }
    ~Hold() {
      MutexLock lock(turns_.mutex_);
      turns_.taken_ = false;
      turns_.over_.notify_one();
    }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    Turns& turns_;
  };

 private:
  Mutex mutex_;
  CondVar over_;
  bool taken_ GUARDED_BY(mutex_) = false;
};

}  // namespace halogen::compute
