#include "proxy/io/channel.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <cerrno>

#include "proxy/io/loop.h"

namespace halogen::proxy {
namespace {

IoResult plain_result(ssize_t returned, Io wanted) {
  if (returned > 0) return {Io::done, static_cast<size_t>(returned)};
  if (returned == 0) return {Io::closed};
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return {wanted};
  return {Io::failed};
}

}  // namespace

// Of so many bytes.
size_t PlainChannel::at_once(size_t size) const {
  SimulatedMachine* machine = loop_->machine();
  return machine == nullptr ? size : machine->at_once(size);
}

IoResult PlainChannel::read(std::span<char> to) {
  size_t size = at_once(to.size());
  if (size == 0) return {Io::want_read};
  return plain_result(::recv(socket_, to.data(), size, 0), Io::want_read);
}

IoResult PlainChannel::write(std::string_view from) {
  size_t size = at_once(from.size());
  if (size == 0) return {Io::want_write};
  return plain_result(::send(socket_, from.data(), size, MSG_NOSIGNAL), Io::want_write);
}

IoResult PlainChannel::peek(char& byte) {
  return plain_result(::recv(socket_, &byte, 1, MSG_PEEK), Io::want_read);
}

TlsChannel::~TlsChannel() { SSL_free(ssl_); }

IoResult TlsChannel::result(int returned) {
  if (returned > 0) return {Io::done, static_cast<size_t>(returned)};
  switch (SSL_get_error(ssl_, returned)) {
    case SSL_ERROR_WANT_READ:
      return {Io::want_read};
    case SSL_ERROR_WANT_WRITE:
      return {Io::want_write};
    case SSL_ERROR_ZERO_RETURN:
      return {Io::closed};
    default:
      broken_ = true;
      return {Io::failed};
  }
}

IoResult TlsChannel::read_result(int returned) {
  IoResult read = result(returned);
  starved_ = read.state == Io::want_read;
  return read;
}

IoResult TlsChannel::accept() {
  ERR_clear_error();
  return result(SSL_accept(ssl_));
}

IoResult TlsChannel::read(std::span<char> to) {
  ERR_clear_error();
  return read_result(SSL_read(ssl_, to.data(), static_cast<int>(to.size())));
}

IoResult TlsChannel::write(std::string_view from) {
  ERR_clear_error();
  return result(SSL_write(ssl_, from.data(), static_cast<int>(from.size())));
}

IoResult TlsChannel::peek(char& byte) {
  ERR_clear_error();
  return read_result(SSL_peek(ssl_, &byte, 1));
}

bool TlsChannel::buffered() const { return !starved_ && SSL_has_pending(ssl_) == 1; }

void TlsChannel::finish() {
  if (broken_) return;
  ERR_clear_error();
  SSL_shutdown(ssl_);
}

}  // namespace halogen::proxy
