#include "proxy/io/stream.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "base/error.h"

namespace halogen::proxy {
namespace {

[[noreturn]] void peer_gone() { throw Error(Errc::unavailable, "the connection is broken"); }

}  // namespace

Stream::Stream(Loop& loop, UniqueFd socket) : Stream(loop, {std::move(socket), nullptr}) {}

Stream::Stream(Loop& loop, Connection connection)
    : socket_(std::move(connection.socket)),
      channel_(std::move(connection.channel)),
      watch_(channel_ && channel_->source() != nullptr ? Watch::start(loop, *channel_->source())
                                                       : Watch::start(loop, socket_.get())) {
  if (!channel_) channel_ = std::make_unique<PlainChannel>(loop, socket_.get());
  if (over_source()) return;
  if (SimulatedMachine* machine = loop.machine()) machine->opened(socket_.get());
  count_++;
}

Stream::~Stream() {
  if (!over_source()) count_--;
}

bool Stream::is_private() const {
  sockaddr_storage ours{};
  socklen_t size = sizeof ours;
  return encrypted() || over_source() ||
         (::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&ours), &size) == 0 &&
          ours.ss_family == AF_UNIX);
}

IoResult Stream::read_now(std::span<char> to) {
  IoResult result = channel_->read(to);
  if (result.state == Io::failed) intact_ = false;
  return result;
}

IoResult Stream::write_now(std::string_view from) {
  IoResult result = channel_->write(from);
  if (result.state == Io::failed) intact_ = false;
  return result;
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

bool Stream::gone() {
  if (channel_->ended()) return true;
  pollfd peer{socket_.get(), POLLRDHUP, 0};
  if (!over_source() && ::poll(&peer, 1, 0) == 1) return true;
  char byte;
  const Io state = channel_->peek(byte).state;
  return state == Io::closed || state == Io::failed;
}

bool Stream::has_unread() { return buffered() || (!encrypted() && has_arrived()); }

bool Stream::quiet() {
  char byte;
  ssize_t size = ::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

bool Stream::undisturbed() const { return watch_ && watch_->undisturbed(); }

Connection Stream::leave() {
  watch_.reset();
  return {std::move(socket_), std::move(channel_)};
}

void Stream::move_to(Loop& loop) {
  watch_ = Watch::start(loop, socket_.get());
  channel_ = std::make_unique<PlainChannel>(loop, socket_.get());
}

char Stream::peek_first() {
  char byte = 0;
  return ::recv(socket_.get(), &byte, 1, MSG_PEEK) == 1 ? byte : '\0';
}

bool Stream::has_arrived() {
  char byte;
  if (over_source()) return channel_->peek(byte).state == Io::done;
  return ::recv(socket_.get(), &byte, 1, MSG_PEEK) == 1;
}

void Stream::shutdown_send() {
  if (intact_ || over_source()) channel_->finish();
  if (over_source()) return;
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
  auto channel = std::make_unique<TlsChannel>(tls.accept(socket_.get()));
  TlsChannel& accepting = *channel;
  channel_ = std::move(channel);
  intact_ = false;
  while (true) {
    IoResult result = accepting.accept();
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
