// loop.h: one thread's event loop: descriptors that become ready, timers, and what others post.
//
// Coroutines that wait are resumed by run() and from nowhere else: whoever makes one ready (an
// event, a signal, spawn()) goes on undisturbed, and it comes after him. All is for the loop's own
// thread, while it runs, but for post(), stop() and what says otherwise. A loop ends the coroutines
// that still wait when it is destroyed, which is after its thread; no Event, Timer or Watch of it
// may be used after that.
//
// Why not a library: epoll is asked level-triggered, and a descriptor stays registered while nobody
// waits, so waiting for it again costs no system call. See docs/performance.md.
#pragma once
#include <sys/epoll.h>

#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "base/deadline.h"
#include "base/file.h"
#include "base/mutex.h"
#include "proxy/io/task.h"

namespace halogen::proxy {

class Loop;
class Watch;

// An element of a ring; one alone, or the ring's own, is linked to itself.
class Link {
 public:
  Link() = default;
  ~Link() { leave(); }
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  Link* next() const { return next_; }
  bool alone() const { return next_ == this; }
  void leave() {
    previous_->next_ = next_;
    next_->previous_ = previous_;
    previous_ = next_ = this;
  }
  // Of `ring` the last.
  void join(Link& ring) {
    leave();
    previous_ = ring.previous_;
    next_ = &ring;
    previous_->next_ = ring.previous_ = this;
  }

 private:
  Link* previous_ = this;
  Link* next_ = this;
};

// A coroutine that waits. Destroyed with it.
class Sleeper : public Link {
 public:
  static bool await_ready() { return false; }
  // False if it was interrupted.
  bool await_resume() const { return ready_; }

 protected:
  void sleep(std::coroutine_handle<> coroutine, Link& ring) {
    coroutine_ = coroutine;
    join(ring);
  }

 private:
  friend class Loop;
  std::coroutine_handle<> coroutine_;
  bool ready_ = false;
};

// One that waits in a ring, until that is woken.
class RingWait : public Sleeper {
 public:
  explicit RingWait(Link& ring) : ring_(ring) {}
  void await_suspend(std::coroutine_handle<> coroutine) { sleep(coroutine, ring_); }

 private:
  Link& ring_;
};

// What a simulation has in place of the machine (simulation/README.md).
class SimulatedMachine {
 public:
  virtual ~SimulatedMachine() = default;
  // Nothing is ready. Lets time pass until `next`, when a timer fires; max(): there is none.
  virtual void idle(steady_clock::time_point next) = 0;
  // A connection begins; its buffers may be made small.
  virtual void opened(int socket) = 0;
  // How many of so many bytes are read or written by one call; 0: none, try again.
  virtual size_t at_once(size_t size) = 0;
};

class Loop {
 public:
  using Work = std::function<void()>;

  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Before run(); `machine` outlives the loop. All is then decided by it and by what is ready.
  void simulate(SimulatedMachine& machine) { machine_ = &machine; }
  // nullptr on a real one.
  SimulatedMachine* machine() const { return machine_; }

  // Until stop(). Must not be called again.
  void run();
  void stop();  // From any thread.
  // Has `work` done on the loop's thread, in order. From any thread. What is not done by the end is
  // destroyed with the loop.
  void post(Work work);
  // Runs a task of its own accord; then `done`, with what it threw. What the task needs must be
  // kept by its arguments, or by `done`.
  void spawn(Task<void> task, std::function<void(std::exception_ptr)> done = {});

  // To be awaited by who has more to do, but not before others: goes on after the next look at what
  // is ready.
  RingWait next_round() { return RingWait(next_round_); }

 private:
  friend class Event;
  friend class Timer;
  friend class Watch;
  using Timers = std::multimap<steady_clock::time_point, class Timer*>;
  struct Root;

  Root run_alone(Task<void> task, std::function<void(std::exception_ptr)> done);
  bool is_mine() const;
  void wake_all(Link& sleepers, bool ready);
  void do_posted();
  void resume_woken();
  void fire_timers();
  void wait();
  int longest_wait() const;

  UniqueFd epoll_;
  UniqueFd doorbell_;  // An eventfd: something is posted.
  Link woken_;
  Link next_round_;
  Link roots_;
  Timers timers_;
  SimulatedMachine* machine_ = nullptr;
  std::atomic<std::thread::id> thread_{};  // Of run().
  bool stopped_ = false;
  std::atomic<bool> has_posted_ = false;
  Mutex mutex_;
  std::vector<Work> posted_ GUARDED_BY(mutex_);
};

// Something that happens, again and again. Those that wait at that moment go on.
class Event {
 public:
  explicit Event(Loop& loop) : loop_(loop) {}

  RingWait operator co_await() { return RingWait(sleepers_); }
  void signal() { loop_.wake_all(sleepers_, true); }

 private:
  Loop& loop_;
  Link sleepers_;
};

// Calls back once, unless it is cancelled or destroyed before.
class Timer {
 public:
  explicit Timer(Loop& loop) : loop_(loop) {}
  ~Timer() { cancel(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // In place of what was set before. time_point::max() is never.
  void set(steady_clock::time_point when, Loop::Work then);
  void cancel();
  // When it is going to; max() if it is not set.
  steady_clock::time_point when() const;

 private:
  friend class Loop;

  Loop& loop_;
  bool set_ = false;
  Loop::Timers::iterator place_;
  Loop::Work then_;
};

// So long.
Task<void> pause(Loop& loop, steady_clock::duration time);

// What becomes ready inside the process, and has no descriptor: an end of a pipe (pipe.h).
class Source {
 public:
  virtual bool is_ready(bool to_write) const = 0;
  // Which is told from now on (Watch::became_ready); nullptr: none.
  virtual void tell(Watch* watch) = 0;

 protected:
  ~Source() = default;
};

// Says when a descriptor, or a source, can be read or written. It is the caller's, and must be open
// until this is released.
class Watch {
 public:
  class Wait : public Sleeper {
   public:
    Wait(Watch& watch, bool to_write) : watch_(watch), to_write_(to_write) {}
    void await_suspend(std::coroutine_handle<> coroutine);

   private:
    Watch& watch_;
    const bool to_write_;
  };
  // Any number may wait; all go on. Also at the peer's end, or an error.
  Wait readable() { return {*this, false}; }
  Loop& loop() const { return loop_; }
  // Those that wait go on, with false.
  void interrupt();

  // Any thread may have it released, as the last who has to do with it.
  struct Release {
    void operator()(Watch* watch) const;
  };
  // For any thread, if the loop's gets to it by what orders them.
  static std::unique_ptr<Watch, Release> start(Loop& loop, int fd);
  // For the loop's thread, to its end.
  static std::unique_ptr<Watch, Release> start(Loop& loop, Source& source);
  // Its source is, perhaps: those that wait look.
  void became_ready();
  // Stream::undisturbed().
  bool undisturbed() const { return loop_.is_mine() && (registered_ & EPOLLIN) != 0; }

 private:
  friend class Loop;

  Watch(Loop& loop, int fd, Source* source) : loop_(loop), fd_(fd), source_(source) {}
  ~Watch() = default;
  void register_for(uint32_t events);
  void happened(uint32_t events);

  Loop& loop_;
  const int fd_;
  Source* const source_;     // In place of `fd_`.
  uint32_t registered_ = 0;  // What epoll is asked for.
  bool released_ = false;    // Under the loop's mutex.
  Link readers_;
  Link writers_;
};
using WatchPtr = std::unique_ptr<Watch, Watch::Release>;

}  // namespace halogen::proxy
