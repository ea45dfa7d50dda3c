#include "control/api/connections.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/log.h"

namespace halogen::control::api {
namespace {

const log::Logger logger("api");

constexpr std::chrono::milliseconds kAcceptPause{100};  // Out of descriptors or memory.
constexpr uint32_t kOnce = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT;

}  // namespace

Connections::Connections(Options options, std::function<ConnectionPtr(UniqueFd)> make,
                         std::function<Then(Connection&)> serve)
    : options_(options),
      make_(std::move(make)),
      serve_(std::move(serve)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      doorbell_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!epoll_.valid() || !doorbell_.valid()) throw system_error(errno, "make a server");
  epoll_event event{.events = EPOLLIN, .data = {.ptr = this}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, doorbell_.get(), &event) != 0)
    throw system_error(errno, "epoll_ctl");
}

Connections::~Connections() = default;

void Connections::ring() {
  const uint64_t one = 1;
  if (::write(doorbell_.get(), &one, sizeof one) < 0 && errno != EAGAIN)
    die("eventfd write failed");
}

void Connections::end() {
  MutexLock lock(mutex_);
  ending_ = true;
  changed_.notify_all();
  ring();
}

UniqueFd Connections::take_socket(Connection& connection) const {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection.socket.get(), nullptr);
  return std::move(connection.socket);
}

void Connections::run(int listener) {
  epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, listener, &event) != 0)
    throw system_error(errno, "epoll_ctl");
  std::vector<std::thread> threads;
  for (size_t i = 0; i < options_.threads; i++) threads.emplace_back([this] { serve_all(); });
  std::array<epoll_event, 64> events;
  while (true) {
    int count =
        ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), longest_wait());
    if (count < 0 && errno != EINTR) die("epoll_wait failed");
    for (int i = 0; i < count; i++) {
      void* of = events[static_cast<size_t>(i)].data.ptr;
      uint64_t rung;
      if (of == nullptr)
        accept_all(listener);
      else if (of == this)
        (void)!::read(doorbell_.get(), &rung, sizeof rung);
      else
        became_readable(*static_cast<Connection*>(of));
    }
    MutexLock lock(mutex_);
    if (ending_) break;
  }
  for (std::thread& thread : threads) thread.join();
  MutexLock lock(mutex_);
  waiting_.clear();
  ready_.clear();
}

// What waits is only ever taken out by the thread of run(), so what an event is for is still there;
// room is made after the events of a look at the earliest.
void Connections::accept_all(int listener) {
  while (true) {
    UniqueFd socket(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.valid()) {
      const int error = errno;
      if (error == EINTR || error == ECONNABORTED) continue;
      if (error == EAGAIN || error == EWOULDBLOCK) return;
      logger.warn("cannot accept clients: {}", system_error(error, "accept").what());
      std::this_thread::sleep_for(kAcceptPause);
      return;
    }
    bool is_full = false;
    {
      MutexLock lock(mutex_);
      is_full = count_ >= options_.most && waiting_.empty();
      if (!is_full) count_++;
    }
    if (is_full) continue;  // All are being served: it is closed.
    wait_for(make_(std::move(socket)), true);
  }
}

void Connections::wait_for(ConnectionPtr connection, bool is_new) {
  Connection& waits = *connection;
  waits.waits_since_ = steady_clock::now();
  MutexLock lock(mutex_);
  const bool was_empty = waiting_.empty();
  waits.place_ = waiting_.insert(waiting_.end(), std::move(connection));
  epoll_event event{.events = kOnce, .data = {.ptr = &waits}};
  const int change = is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (::epoll_ctl(epoll_.get(), change, waits.socket.get(), &event) != 0) {
    waiting_.erase(waits.place_);
    count_--;
    return;
  }
  if (was_empty && !is_new) ring();  // Nobody looks at the time.
}

void Connections::became_readable(Connection& connection) {
  MutexLock lock(mutex_);
  ready_.push_back(std::move(*connection.place_));
  waiting_.erase(connection.place_);
  changed_.notify_one();
}

void Connections::close_idle() {
  const auto now = steady_clock::now();
  MutexLock lock(mutex_);
  while (!waiting_.empty() &&
         (count_ > options_.most || now - waiting_.front()->waits_since_ >= options_.idle_time)) {
    waiting_.pop_front();
    count_--;
  }
}

// In milliseconds, rounded up; -1 for ever.
int Connections::longest_wait() {
  close_idle();
  MutexLock lock(mutex_);
  if (ending_) return 0;
  if (waiting_.empty()) return -1;
  auto left = waiting_.front()->waits_since_ + options_.idle_time - steady_clock::now();
  return static_cast<int>(
      std::max<int64_t>(0, std::chrono::ceil<std::chrono::milliseconds>(left).count()));
}

// nullptr: we are to end.
Connections::ConnectionPtr Connections::next() {
  MutexLock lock(mutex_);
  while (ready_.empty() && !ending_) changed_.wait(mutex_);
  if (ending_) return nullptr;
  ConnectionPtr connection = std::move(ready_.front());
  ready_.pop_front();
  return connection;
}

// One request each, so that those that ask much at once do not keep others waiting.
void Connections::serve_all() {
  while (ConnectionPtr connection = next()) {
    Then then = Then::close;
    try {
      then = serve_(*connection);
    } catch (const std::exception& error) {
      logger.error("serving a connection: {}", error.what());
    }
    if (then == Then::wait) {
      wait_for(std::move(connection), false);
      continue;
    }
    if (then == Then::close) connection.reset();
    MutexLock lock(mutex_);
    if (connection)
      ready_.push_back(std::move(connection));
    else
      count_--;
  }
}

}  // namespace halogen::control::api
