#include "net/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace halogen::net {
namespace {

bool is_disconnect(int error) {
  return error == EPIPE || error == ECONNRESET || error == ENOTCONN || error == ESHUTDOWN;
}

[[noreturn]] void throw_errno(int error, const std::string& what) {
  if (is_disconnect(error)) throw Error(Errc::unavailable, "connection lost");
  throw system_error(error, what);
}

// False at the deadline.
bool wait_for(int fd, short events, Deadline deadline) {
  for (;;) {
    pollfd entry{.fd = fd, .events = events, .revents = 0};
    int ready = ::poll(&entry, 1, static_cast<int>(deadline.left().count()));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) throw system_error(errno, "poll");
    if (ready == 0 && deadline.passed()) return false;
  }
}

void wait_or_throw(int fd, short events, Deadline deadline) {
  if (!wait_for(fd, events, deadline)) throw Error(Errc::timed_out, "network deadline passed");
}

bool has_limit(Deadline deadline) { return deadline.at() != Deadline::never().at(); }

sockaddr_un unix_address(const std::string& path) {
  if (path.size() > kMaxUnixPath) {
    throw Error(Errc::invalid_argument,
                "unix socket path is {} bytes long, but at most {} are possible (use a shorter "
                "folder name): {}",
                path.size(), kMaxUnixPath, path);
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, path.size());
  return address;
}

bool means_nobody_there(int error) {
  return error == ECONNREFUSED || error == ENOENT || error == ETIMEDOUT || error == EHOSTUNREACH ||
         error == ENETUNREACH || error == ECONNRESET;
}

[[noreturn]] void throw_connect_error(int error, const std::string& what) {
  std::string message = system_error(error, "connect to " + what).what();
  throw Error(means_nobody_there(error) ? Errc::unavailable : Errc::io, "{}", message);
}

// Connects `fd`, within the deadline.
void connect_fd(int fd, const sockaddr* address, socklen_t size, const std::string& what,
                Deadline deadline) {
  int flags = fcntl(fd, F_GETFL);
  fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  int error = ::connect(fd, address, size) == 0 ? 0 : errno;
  if (error == EINPROGRESS || error == EINTR) {
    wait_or_throw(fd, POLLOUT, deadline);
    socklen_t error_size = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_size);
  }
  if (error != 0) throw_connect_error(error, what);
  fcntl(fd, F_SETFL, flags);
}

struct AddressListFree {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};

std::unique_ptr<addrinfo, AddressListFree> resolve(const std::string& host, int port, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  int failed = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (failed)
    throw Error((flags & AI_NUMERICHOST) != 0 ? Errc::invalid_argument : Errc::unavailable,
                "resolve {}: {}", host, gai_strerror(failed));
  return std::unique_ptr<addrinfo, AddressListFree>(found);
}

Errc why_not_bound(int error) {
  switch (error) {
    case EADDRINUSE:
      return Errc::already_exists;
    case EACCES:
      return Errc::permission_denied;
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
      return Errc::not_found;
    default:
      return Errc::io;
  }
}

UniqueFd make_socket(int family) {
  UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) throw system_error(errno, "socket");
  return fd;
}

void start_listening(int fd, const sockaddr* address, socklen_t size, int backlog,
                     const std::string& what) {
  if (::bind(fd, address, size) != 0) {
    int error = errno;
    throw Error(why_not_bound(error), "bind {}: {}", what, std::strerror(error));
  }
  if (::listen(fd, backlog) != 0) throw system_error(errno, "listen on " + what);
}

}  // namespace

void Socket::send_all(Bytes bytes, Deadline deadline) const {
  const int flags = MSG_NOSIGNAL | (has_limit(deadline) ? MSG_DONTWAIT : 0);
  while (!bytes.empty()) {
    ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), flags);
    if (sent >= 0) {
      bytes = bytes.subspan(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      wait_or_throw(fd_.get(), POLLOUT, deadline);
    } else if (errno != EINTR) {
      throw_errno(errno, "send");
    }
  }
}

size_t Socket::recv_some(std::span<std::byte> into, Deadline deadline) const {
  const int flags = has_limit(deadline) ? MSG_DONTWAIT : 0;
  for (;;) {
    ssize_t got = ::recv(fd_.get(), into.data(), into.size(), flags);
    if (got > 0) return static_cast<size_t>(got);
    if (got == 0) throw Error(Errc::unavailable, "connection closed by the peer");
    if (errno == EAGAIN) {
      wait_or_throw(fd_.get(), POLLIN, deadline);
    } else if (errno != EINTR) {
      throw_errno(errno, "receive");
    }
  }
}

size_t Socket::recv_available(std::span<std::byte> into) const {
  for (;;) {
    ssize_t got = ::recv(fd_.get(), into.data(), into.size(), MSG_DONTWAIT);
    if (got > 0) return static_cast<size_t>(got);
    if (got == 0) throw Error(Errc::unavailable, "connection closed by the peer");
    if (errno == EAGAIN) return 0;
    if (errno != EINTR) throw_errno(errno, "receive");
  }
}

void Socket::recv_exact(std::span<std::byte> into, Deadline deadline) const {
  while (!into.empty()) into = into.subspan(recv_some(into, deadline));
}

bool Socket::wait_readable(Deadline deadline) const {
  return wait_for(fd_.get(), POLLIN, deadline);
}

void Socket::shutdown() const noexcept {
  if (fd_.valid()) ::shutdown(fd_.get(), SHUT_RDWR);
}

std::string postgres_socket_path(const std::string& folder, int port) {
  return fmt::format("{}/.s.PGSQL.{}", folder, port);
}

Socket connect_unix(const std::string& path, Deadline deadline) {
  sockaddr_un address = unix_address(path);
  UniqueFd fd = make_socket(AF_UNIX);
  // A non-blocking connect fails when the backlog is full; a blocking one waits, as long as this.
  auto left = std::max<int64_t>(deadline.left().count(), 1);
  timeval limit{.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000};
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  while (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    int error = errno;
    if (error == EINTR) continue;
    if (error == EAGAIN) throw Error(Errc::timed_out, "connect to {}: its queue is full", path);
    throw_connect_error(error, path);
  }
  timeval none{};
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &none, sizeof none);
  return Socket(std::move(fd));
}

UniqueFd try_connect_unix(const std::string& path) {
  sockaddr_un address = unix_address(path);
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.valid() &&
      ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    int error = errno;
    fd.reset();
    errno = error;
  }
  return fd;
}

Socket connect_tcp(const std::string& host, int port, Deadline deadline) {
  auto list = resolve(host, port, 0);
  const std::string what = fmt::format("{}:{}", host, port);
  for (addrinfo* at = list.get(); at; at = at->ai_next) {
    UniqueFd fd = make_socket(at->ai_family);
    try {
      connect_fd(fd.get(), at->ai_addr, at->ai_addrlen, what, deadline);
    } catch (const Error&) {
      if (!at->ai_next) throw;
      continue;
    }
    int on = 1;
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return Socket(std::move(fd));
  }
  throw Error(Errc::unavailable, "{} has no address", what);
}

UniqueFd listen_unix(const std::string& path, int mode, int backlog) {
  sockaddr_un address = unix_address(path);
  try {
    connect_unix(path, Deadline::after(std::chrono::seconds(1)));
    throw Error(Errc::already_exists, "another process listens on {}", path);
  } catch (const Error& error) {
    if (error.code() != Errc::unavailable) throw;
  }
  struct stat status{};
  if (::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) ::unlink(path.c_str());
  UniqueFd fd = make_socket(AF_UNIX);
  start_listening(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address, backlog, path);
  if (::chmod(path.c_str(), static_cast<mode_t>(mode)) != 0)
    throw system_error(errno, "chmod " + path);
  return fd;
}

UniqueFd listen_tcp(const std::string& address, int port, int backlog) {
  auto list = resolve(address, port, AI_PASSIVE | AI_NUMERICHOST);
  const std::string what = fmt::format("{}:{}", address, port);
  UniqueFd fd(::socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) throw Error(why_not_bound(errno), "socket for {}: {}", what, strerror(errno));
  int on = 1;
  if (list->ai_family == AF_INET6) setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  start_listening(fd.get(), list->ai_addr, list->ai_addrlen, backlog, what);
  return fd;
}

int local_port(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    throw system_error(errno, "getsockname");
  if (address.ss_family == AF_INET6)
    return ntohs(reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
  return ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

}  // namespace halogen::net
