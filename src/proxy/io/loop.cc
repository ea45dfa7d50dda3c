#include "proxy/io/loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error.h"

namespace halogen::proxy {
namespace {

constexpr int kMostEvents = 128;  // Of one look.

}  // namespace

// ---- Coroutines that nobody awaits ----

struct Loop::Root {
  struct promise_type : Link {
    Root get_return_object() noexcept { return {*this}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { die("an exception left a coroutine's end"); }
  };
  promise_type& promise;
};

void Loop::spawn(Task<void> task, std::function<void(std::exception_ptr)> done) {
  run_alone(std::move(task), std::move(done)).promise.join(roots_);
}

Loop::Root Loop::run_alone(Task<void> task, std::function<void(std::exception_ptr)> done) {
  co_await RingWait(woken_);  // At the end of the line.
  std::exception_ptr failure;
  try {
    co_await task;
  } catch (...) {
    failure = std::current_exception();
  }
  task = Task<void>();
  if (done) done(failure);
}

// ---- The loop ----

Loop::Loop()
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)), doorbell_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!epoll_.valid() || !doorbell_.valid()) throw system_error(errno, "make an event loop");
  epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, doorbell_.get(), &event) != 0)
    throw system_error(errno, "epoll_ctl");
}

Loop::~Loop() {
  while (!roots_.alone()) {
    auto& root = static_cast<Root::promise_type&>(*roots_.next());
    std::coroutine_handle<Root::promise_type>::from_promise(root).destroy();
  }
}

// Before run(), and after it, the thread that makes or ends the loop.
bool Loop::is_mine() const {
  std::thread::id thread = thread_;
  return thread == std::thread::id() || thread == std::this_thread::get_id();
}

void Loop::run() {
  thread_ = std::this_thread::get_id();
  while (true) {
    do {
      do_posted();
      resume_woken();
    } while (has_posted_);
    if (stopped_) break;
    wait();
    fire_timers();
  }
  thread_ = std::thread::id();
}

void Loop::stop() {
  post([this] { stopped_ = true; });
}

void Loop::post(Work work) {
  bool was_empty;
  {
    MutexLock lock(mutex_);
    was_empty = posted_.empty();
    posted_.push_back(std::move(work));
    has_posted_ = true;
  }
  if (!was_empty || thread_.load() == std::this_thread::get_id()) return;
  uint64_t one = 1;
  if (::write(doorbell_.get(), &one, sizeof one) < 0 && errno != EAGAIN)
    die("eventfd write failed");
}

void Loop::do_posted() {
  if (!has_posted_) return;
  std::vector<Work> posted;
  {
    MutexLock lock(mutex_);
    posted.swap(posted_);
    has_posted_ = false;
  }
  for (Work& work : posted) {
    work();
    work = nullptr;
  }
}

void Loop::wake_all(Link& sleepers, bool ready) {
  CHECK(is_mine(), "invariant 2: a loop's coroutines are woken by another thread");
  while (!sleepers.alone()) {
    auto& sleeper = static_cast<Sleeper&>(*sleepers.next());
    sleeper.ready_ = ready;
    sleeper.join(woken_);
  }
}

void Loop::resume_woken() {
  while (!woken_.alone()) {
    auto& sleeper = static_cast<Sleeper&>(*woken_.next());
    sleeper.leave();
    sleeper.coroutine_.resume();
  }
}

// Nobody else's code runs in here: what an event is for is still there when it is looked at.
void Loop::wait() {
  epoll_event events[kMostEvents];
  int count = ::epoll_wait(epoll_.get(), events, kMostEvents, longest_wait());
  if (count < 0 && errno != EINTR) die("epoll_wait failed");
  if (count == 0 && machine_ != nullptr && next_round_.alone())
    machine_->idle(timers_.empty() ? steady_clock::time_point::max() : timers_.begin()->first);
  for (int i = 0; i < count; i++) {
    if (auto* watch = static_cast<Watch*>(events[i].data.ptr)) {
      watch->happened(events[i].events);
    } else {
      uint64_t rung;
      [[maybe_unused]] ssize_t size = ::read(doorbell_.get(), &rung, sizeof rung);
    }
  }
  wake_all(next_round_, true);
}

// In milliseconds, rounded up; -1 for ever.
int Loop::longest_wait() const {
  if (!next_round_.alone() || machine_ != nullptr) return 0;
  if (timers_.empty()) return -1;
  auto left =
      std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first - steady_clock::now());
  constexpr int64_t kMost = 3'600'000;
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, kMost));
}

void Loop::fire_timers() {
  if (timers_.empty()) return;
  auto now = steady_clock::now();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    Timer& timer = *timers_.begin()->second;
    Work then = std::move(timer.then_);
    timer.cancel();
    then();  // After which the timer may be gone.
  }
}

// ---- What coroutines wait for ----

void Timer::set(steady_clock::time_point when, Loop::Work then) {
  cancel();
  if (when == steady_clock::time_point::max()) return;
  place_ = loop_.timers_.emplace(when, this);
  then_ = std::move(then);
  set_ = true;
}

void Timer::cancel() {
  if (!std::exchange(set_, false)) return;
  loop_.timers_.erase(place_);
  then_ = nullptr;
}

steady_clock::time_point Timer::when() const {
  return set_ ? place_->first : steady_clock::time_point::max();
}

Task<void> pause(Loop& loop, steady_clock::duration time) {
  Event over(loop);
  Timer timer(loop);
  timer.set(steady_clock::now() + time, [&over] { over.signal(); });
  co_await over;
}

WatchPtr Watch::start(Loop& loop, int fd) { return WatchPtr(new Watch(loop, fd, nullptr)); }

WatchPtr Watch::start(Loop& loop, Source& source) {
  WatchPtr watch(new Watch(loop, -1, &source));
  source.tell(watch.get());
  return watch;
}

void Watch::Wait::await_suspend(std::coroutine_handle<> coroutine) {
  Link& ring = to_write_ ? watch_.writers_ : watch_.readers_;
  if (watch_.source_ == nullptr)
    watch_.register_for(watch_.registered_ | static_cast<uint32_t>(to_write_ ? EPOLLOUT : EPOLLIN));
  sleep(coroutine, ring);
  if (watch_.source_ != nullptr && watch_.source_->is_ready(to_write_))
    watch_.loop_.wake_all(ring, true);
}

void Watch::became_ready() {
  if (!readers_.alone() && source_->is_ready(false)) loop_.wake_all(readers_, true);
  if (!writers_.alone() && source_->is_ready(true)) loop_.wake_all(writers_, true);
}

void Watch::interrupt() {
  loop_.wake_all(readers_, false);
  loop_.wake_all(writers_, false);
}

void Watch::register_for(uint32_t events) {
  if (events == registered_) return;
  int change = registered_ == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
  epoll_event event{.events = events, .data = {.ptr = this}};
  if (::epoll_ctl(loop_.epoll_.get(), change, fd_, &event) != 0)
    throw system_error(errno, "epoll_ctl");
  registered_ = events;
}

// What nobody waits for is not asked for any more, or it would be told again at once. An error is
// told unasked, so with nobody there the descriptor goes altogether.
void Watch::happened(uint32_t events) {
  bool over = (events & (EPOLLERR | EPOLLHUP)) != 0;
  uint32_t unwanted = 0;
  if ((events & EPOLLIN) != 0 || over) {
    if (readers_.alone()) unwanted |= EPOLLIN;
    loop_.wake_all(readers_, true);
  }
  if ((events & EPOLLOUT) != 0 || over) {
    if (writers_.alone()) unwanted |= EPOLLOUT;
    loop_.wake_all(writers_, true);
  }
  if ((registered_ & unwanted) == 0) return;
  MutexLock lock(loop_.mutex_);
  if (!released_) register_for(registered_ & ~unwanted);
}

// On another thread the loop may be about to tell it of an event, which it has fetched already: so
// the loop has the last look at it.
void Watch::Release::operator()(Watch* watch) const {
  if (watch->source_ != nullptr) {
    CHECK(watch->loop_.is_mine(), "invariant 2: a source's watch is released by another thread");
    watch->source_->tell(nullptr);
  }
  if (watch->loop_.is_mine()) {
    watch->interrupt();
    watch->register_for(0);
    delete watch;
    return;
  }
  {
    MutexLock lock(watch->loop_.mutex_);
    watch->released_ = true;
    ::epoll_ctl(watch->loop_.epoll_.get(), EPOLL_CTL_DEL, watch->fd_, nullptr);
  }
  watch->loop_.post([kept = std::shared_ptr<Watch>(watch, [](Watch* last) { delete last; })] {});
}

}  // namespace halogen::proxy
