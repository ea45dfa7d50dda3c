#include "proxy/io/stream.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "base/error.h"

namespace halogen::proxy {
namespace {

[[noreturn]] void peer_gone() { throw Error(Errc::unavailable, "the connection is broken"); }

IoResult plain_result(ssize_t returned, Io wanted) {
  if (returned > 0) return {Io::done, static_cast<size_t>(returned)};
  if (returned == 0) return {Io::closed};
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return {wanted};
  return {Io::failed};
}

}  // namespace

Stream::Stream(Loop& loop, UniqueFd socket)
    : socket_(std::move(socket)), watch_(Watch::start(loop, socket_.get())) {
  if (SimulatedMachine* machine = loop.machine()) machine->opened(socket_.get());
  count_++;
}

Stream::~Stream() {
  SSL_free(ssl_);
  count_--;
}

IoResult Stream::tls_result(int returned) {
  if (returned > 0) return {Io::done, static_cast<size_t>(returned)};
  switch (SSL_get_error(ssl_, returned)) {
    case SSL_ERROR_WANT_READ:
      return {Io::want_read};
    case SSL_ERROR_WANT_WRITE:
      return {Io::want_write};
    case SSL_ERROR_ZERO_RETURN:
      return {Io::closed};
    default:
      intact_ = false;
      return {Io::failed};
  }
}

IoResult Stream::tls_read_result(int returned) {
  IoResult result = tls_result(returned);
  starved_ = result.state == Io::want_read;
  return result;
}

// Of so many bytes.
size_t Stream::at_once(size_t size) const {
  SimulatedMachine* machine = watch_->loop().machine();
  return machine == nullptr ? size : machine->at_once(size);
}

bool Stream::is_private() const {
  sockaddr_storage ours{};
  socklen_t size = sizeof ours;
  return encrypted() ||
         (::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&ours), &size) == 0 &&
          ours.ss_family == AF_UNIX);
}

IoResult Stream::read_now(std::span<char> to) {
  if (ssl_ == nullptr) {
    size_t size = at_once(to.size());
    if (size == 0) return {Io::want_read};
    return plain_result(::recv(socket_.get(), to.data(), size, 0), Io::want_read);
  }
  ERR_clear_error();
  return tls_read_result(SSL_read(ssl_, to.data(), static_cast<int>(to.size())));
}

IoResult Stream::write_now(std::string_view from) {
  if (ssl_ == nullptr) {
    size_t size = at_once(from.size());
    if (size == 0) return {Io::want_write};
    return plain_result(::send(socket_.get(), from.data(), size, MSG_NOSIGNAL), Io::want_write);
  }
  ERR_clear_error();
  return tls_result(SSL_write(ssl_, from.data(), static_cast<int>(from.size())));
}

size_t Stream::write_what_fits(std::string_view from) {
  size_t size = 0;
  while (size < from.size()) {
    IoResult result = write_now(from.substr(size));
    if (result.state != Io::done) break;
    size += result.size;
  }
  return size;
}

bool Stream::buffered() const { return ssl_ != nullptr && !starved_ && SSL_has_pending(ssl_) == 1; }

bool Stream::gone() {
  pollfd peer{socket_.get(), POLLRDHUP, 0};
  if (::poll(&peer, 1, 0) == 1) return true;
  char byte;
  IoResult result;
  if (ssl_ == nullptr) {
    result = plain_result(::recv(socket_.get(), &byte, 1, MSG_PEEK), Io::want_read);
  } else {
    ERR_clear_error();
    result = tls_read_result(SSL_peek(ssl_, &byte, 1));
  }
  return result.state == Io::closed || result.state == Io::failed;
}

bool Stream::has_unread() { return ssl_ != nullptr ? buffered() : has_arrived(); }

bool Stream::quiet() {
  char byte;
  ssize_t size = ::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

void Stream::move_to(Loop& loop) { watch_ = Watch::start(loop, socket_.get()); }

char Stream::peek_first() {
  char byte = 0;
  return ::recv(socket_.get(), &byte, 1, MSG_PEEK) == 1 ? byte : '\0';
}

bool Stream::has_arrived() {
  char byte;
  return ::recv(socket_.get(), &byte, 1, MSG_PEEK) == 1;
}

void Stream::shutdown_send() {
  if (ssl_ != nullptr && intact_) {
    ERR_clear_error();
    SSL_shutdown(ssl_);
  }
  ::shutdown(socket_.get(), SHUT_WR);
}

bool Stream::Wait::await_ready() const {
  if (stream_.cancelled_) throw Error(Errc::cancelled, "cancelled");
  return false;
}

void Stream::Wait::await_resume() const {
  if (!Watch::Wait::await_resume() || stream_.cancelled_) throw Error(Errc::cancelled, "cancelled");
}

Task<size_t> Stream::read_some(std::span<char> to) {
  while (true) {
    IoResult result = read_now(to);
    if (result.state == Io::done) co_return result.size;
    if (result.state == Io::closed) co_return 0;
    if (result.state == Io::failed) peer_gone();
    co_await wait(result.state);
  }
}

Task<void> Stream::read_exactly(std::span<char> to) {
  while (!to.empty()) {
    size_t size = co_await read_some(to);
    if (size == 0) peer_gone();
    to = to.subspan(size);
  }
}

Task<void> Stream::write(std::string_view from) {
  while (!from.empty()) {
    IoResult result = write_now(from);
    if (result.state == Io::done) {
      from.remove_prefix(result.size);
      continue;
    }
    if (result.state == Io::closed || result.state == Io::failed) peer_gone();
    intact_ = false;  // For whoever finds us cancelled.
    co_await wait(result.state);
    intact_ = true;
  }
}

Task<void> Stream::accept_tls(const TlsContext& tls) {
  ssl_ = tls.accept(socket_.get());
  intact_ = false;
  while (true) {
    ERR_clear_error();
    IoResult result = tls_result(SSL_accept(ssl_));
    if (result.state == Io::done) break;
    if (result.state == Io::closed || result.state == Io::failed)
      throw Error(Errc::unavailable, "TLS handshake failed: {}", tls_error());
    co_await wait(result.state);
  }
  intact_ = true;
}

void Stream::interrupt() { watch_->interrupt(); }

void Stream::cancel() {
  cancelled_ = true;
  interrupt();
}

}  // namespace halogen::proxy
