#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "base/error.h"
#include "base/log.h"
#include "net/socket.h"

namespace halogen::net {
namespace {

const log::Logger logger("net");

}  // namespace

Listener::Listener(Options options, Handler handler)
    : name_(std::move(options.name)),
      max_connections_(options.max_connections),
      max_newcomers_(options.max_newcomers),
      handler_(std::move(handler)),
      listening_(std::move(options.socket)),
      wakeup_(::eventfd(0, EFD_CLOEXEC)) {
  if (!wakeup_.valid()) throw system_error(errno, "eventfd");
  accepter_ = std::thread([this] { accept_loop(); });
}

void Listener::stop() {
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
    for (Connection& connection : connections_) connection.socket.shutdown();
  }
  uint64_t one = 1;
  if (::write(wakeup_.get(), &one, sizeof one) < 0) die("eventfd write failed");
  accepter_.join();
  // Nobody adds to the list any more, so it can be walked while the handlers end.
  std::list<Connection>* rest;
  {
    MutexLock lock(mutex_);
    rest = &connections_;
  }
  for (Connection& connection : *rest) connection.thread.join();
  MutexLock lock(mutex_);
  connections_.clear();
}

size_t Listener::connections() const {
  MutexLock lock(mutex_);
  size_t live = 0;
  for (const Connection& connection : connections_) live += connection.done ? 0 : 1;
  return live;
}

void Listener::accept_loop() {
  for (;;) {
    pollfd entries[2] = {{.fd = listening_.get(), .events = POLLIN, .revents = 0},
                         {.fd = wakeup_.get(), .events = POLLIN, .revents = 0}};
    // Connections that have ended are joined within a second even if nobody connects.
    int ready = ::poll(entries, 2, 1000);
    if (ready < 0 && errno != EINTR) die("poll failed in a listener");
    reap();
    if (entries[1].revents) return;
    if (ready <= 0 || !entries[0].revents) continue;
    UniqueFd fd(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (fd.valid()) {
      start_connection(std::move(fd));
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
      logger.error("{}: cannot accept a connection: {}; raise the limit of open files", name_,
                   system_error(errno, "accept").what());
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
  }
}

void Listener::start_connection(UniqueFd fd) {
  MutexLock lock(mutex_);
  if (stopping_) return;
  if (connections_.size() >= max_connections_) {
    if (refusal_lines_.allow())
      logger.warn("{}: refused a connection: {} are open, which is the limit", name_,
                  connections_.size());
    return;
  }
  limit_newcomers();
  Connection& connection = connections_.emplace_back();
  connection.socket = Socket(std::move(fd));
  try {
    connection.thread = std::thread([this, &connection] { run(connection); });
  } catch (const std::system_error& error) {
    logger.error("{}: cannot start a thread: {}", name_, error.what());
    connections_.pop_back();
  }
}

// Makes room for one more. The list is in the order of arrival.
void Listener::limit_newcomers() {
  auto waits = [](const Connection& connection) { return connection.newcomer && !connection.done; };
  size_t waiting = static_cast<size_t>(std::ranges::count_if(connections_, waits));
  if (waiting < max_newcomers_) return;
  auto oldest = std::ranges::find_if(connections_, waits);
  oldest->newcomer = false;
  oldest->socket.shutdown();
  if (refusal_lines_.allow())
    logger.info("{}: closed a connection that said nothing: {} wait", name_, waiting);
}

void Listener::run(Connection& connection) {
  try {
    handler_(connection.socket, [this, &connection] {
      MutexLock lock(mutex_);
      connection.newcomer = false;
    });
  } catch (const Error& error) {
    if (error.code() == Errc::unavailable)
      logger.debug("{}: {}", name_, error.what());
    else if (end_lines_.allow())
      logger.info("{}: connection ended: {}", name_, error.what());
  } catch (const std::exception& error) {
    logger.error("{}: connection ended unexpectedly: {}", name_, error.what());
  }
  connection.socket.shutdown();  // The peer sees the end now; the reaper closes it.
  MutexLock lock(mutex_);
  connection.done = true;
}

void Listener::reap() {
  std::list<Connection> ended;
  {
    MutexLock lock(mutex_);
    for (auto at = connections_.begin(); at != connections_.end();) {
      auto next = std::next(at);
      if (at->done) ended.splice(ended.end(), connections_, at);
      at = next;
    }
  }
  for (Connection& connection : ended) connection.thread.join();
}

}  // namespace halogen::net
