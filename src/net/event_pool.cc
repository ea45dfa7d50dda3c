#include "net/event_pool.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/error.h"
#include "base/log.h"

namespace halogen::net {
namespace {

const log::Logger logger("net");

constexpr int kSpareThreadMs = 5000;  // How long a thread that is not needed waits for work.
constexpr size_t kMostWaiting = 8;
constexpr std::chrono::milliseconds kNoFiles{200};

}  // namespace

EventPool::EventPool(Options options)
    : options_(std::move(options)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wakeup_(::eventfd(0, EFD_CLOEXEC)) {
  if (!epoll_.valid() || !wakeup_.valid()) throw system_error(errno, "epoll");
  const int fd = options_.socket.get();
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  // What is neither a connection nor null is the listening socket.
  if (!watch(EPOLL_CTL_ADD, wakeup_.get(), EPOLLIN, nullptr) ||
      !watch(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLONESHOT, this))
    throw system_error(errno, "epoll");
  start_thread();
}

bool EventPool::watch(int operation, int fd, uint32_t events, void* data) {
  epoll_event event{.events = events, .data = {.ptr = data}};
  if (::epoll_ctl(epoll_.get(), operation, fd, &event) == 0) return true;
  // The kernel has no room for another; what it has, it keeps.
  if (operation == EPOLL_CTL_ADD && (errno == ENOMEM || errno == ENOSPC)) return false;
  die("epoll_ctl failed");
}

void EventPool::park(Connection& connection, For what) {
  const uint32_t events = what == For::reading ? EPOLLIN | EPOLLRDHUP : EPOLLOUT;
  const int operation = std::exchange(connection.watched_, true) ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  if (!watch(operation, connection.socket().fd(), events | EPOLLONESHOT, &connection))
    end(connection);
}

void EventPool::end(Connection& connection) {
  std::unique_ptr<Connection> over;  // Destroyed after the lock.
  MutexLock lock(mutex_);
  newcomers_.erase(connection.number_);
  auto found = connections_.find(connection.number_);
  over = std::move(found->second);
  connections_.erase(found);
}

void EventPool::admit(Connection& connection) {
  MutexLock lock(mutex_);
  newcomers_.erase(connection.number_);
}

size_t EventPool::connections() const {
  MutexLock lock(mutex_);
  return connections_.size();
}

size_t EventPool::threads() const {
  MutexLock lock(mutex_);
  return threads_.size();
}

void EventPool::stop() {
  {
    MutexLock lock(mutex_);
    if (std::exchange(stopping_, true)) return;
    for (auto& [number, connection] : connections_) connection->socket().shutdown();
  }
  uint64_t one = 1;
  if (::write(wakeup_.get(), &one, sizeof one) < 0) die("eventfd write failed");
  for (;;) {
    Threads left;
    {
      MutexLock lock(mutex_);
      left.splice(left.end(), over_);
      if (left.empty() && !threads_.empty()) left.splice(left.end(), threads_, threads_.begin());
    }
    if (left.empty()) break;
    for (std::thread& thread : left) thread.join();
  }
  std::map<uint64_t, std::unique_ptr<Connection>> rest;
  MutexLock lock(mutex_);
  newcomers_.clear();
  rest.swap(connections_);
}

void EventPool::start_thread() {
  Threads over;
  {
    MutexLock lock(mutex_);
    over.splice(over.end(), over_);
    if (!stopping_) {
      auto self = threads_.emplace(threads_.end());
      try {
        *self = std::thread([this, self] { work(self); });
        ++waiting_;
      } catch (const std::system_error& error) {
        // Those that there are come back; with none waiting, the next to come back starts one.
        threads_.erase(self);
        logger.error("{}: cannot start a thread: {}", options_.name, error.what());
      }
    }
  }
  for (std::thread& thread : over) thread.join();
}

void EventPool::work(Threads::iterator self) {
  while (wait_and_serve()) {
  }
  MutexLock lock(mutex_);
  if (!stopping_) over_.splice(over_.end(), threads_, self);  // Else stop() has it.
}

// False: this thread ends, and does not count as waiting any more.
bool EventPool::wait_and_serve() {
  epoll_event event{};
  const int ready = ::epoll_wait(epoll_.get(), &event, 1, kSpareThreadMs);
  if (ready < 0 && errno != EINTR) die("epoll_wait failed");
  bool last = false;
  {
    MutexLock lock(mutex_);
    if (ready <= 0 && waiting_ == 1 && !stopping_) return true;
    last = --waiting_ == 0;
    if (ready <= 0 || stopping_) return false;
  }
  if (last) start_thread();
  serve(event.data.ptr);
  MutexLock lock(mutex_);
  if (waiting_ >= kMostWaiting) return false;
  ++waiting_;
  return true;
}

void EventPool::serve(void* data) {
  if (data == this)
    accept_all();
  else if (data != nullptr)
    options_.ready(*static_cast<Connection*>(data));
}

void EventPool::accept_all() {
  for (;;) {
    UniqueFd fd(::accept4(options_.socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (fd.valid()) {
      take(std::move(fd));
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
      logger.error("{}: cannot accept a connection: {}; raise the limit of open files",
                   options_.name, system_error(errno, "accept").what());
      std::this_thread::sleep_for(kNoFiles);
    }
    break;
  }
  watch(EPOLL_CTL_MOD, options_.socket.get(), EPOLLIN | EPOLLONESHOT, this);
}

void EventPool::take(UniqueFd fd) {
  std::unique_ptr<Connection> made = options_.accepted(Socket(std::move(fd)));
  Connection& connection = *made;
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    if (connections_.size() >= options_.max_connections) return refuse();
    limit_newcomers();
    connection.number_ = accepted_++;
    newcomers_[connection.number_] = &connection;
    connections_[connection.number_] = std::move(made);
  }
  park(connection, For::reading);
}

void EventPool::refuse() {
  if (refusal_lines_.allow())
    logger.warn("{}: refused a connection: {} are open, which is the limit", options_.name,
                options_.max_connections);
}

// Makes room for one more.
void EventPool::limit_newcomers() {
  const size_t waiting = newcomers_.size();
  if (waiting < options_.max_newcomers) return;
  newcomers_.begin()->second->socket().shutdown();
  newcomers_.erase(newcomers_.begin());
  if (refusal_lines_.allow())
    logger.info("{}: closed a connection that said nothing: {} wait", options_.name, waiting);
}

}  // namespace halogen::net
