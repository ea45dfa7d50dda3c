#include "control/api/bounded_server.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "base/deadline.h"

namespace halogen::control::api {
namespace {

constexpr std::chrono::seconds kWriteTime{5};
constexpr std::chrono::milliseconds kLookAtStop{50};

// Thrown through the library, which has no other way to let a request be.
struct Diverted {};

bool wait_for(socket_t socket, short events, Deadline deadline) {
  pollfd wanted{socket, events, 0};
  for (;;) {
    int ready = ::poll(&wanted, 1, static_cast<int>(deadline.left().count()));
    if (ready > 0) return true;
    if (deadline.passed()) return false;
  }
}

// One connection: reads no more, and waits no longer, than the bounds allow.
class BoundedStream : public httplib::Stream {
 public:
  explicit BoundedStream(socket_t socket) : socket_(socket) {}

  // Call before each request.
  void begin_request() {
    header_time_ = Deadline::after(kHeaderTime);
    request_time_ = Deadline::after(kRequestTime);
    header_bytes_ = 0;
    line_is_empty_ = false;
    in_headers_ = true;
    headers_.clear();
  }
  // All that has been read since the request began. Its body has not been asked for yet.
  std::string heard() const { return headers_ + std::string(buffer_.data() + at_, end_ - at_); }
  bool has_buffered() const { return at_ < end_; }

  bool is_readable() const override { return has_buffered() || wait_for(socket_, POLLIN, now()); }
  bool is_writable() const override { return wait_for(socket_, POLLOUT, now()); }
  ssize_t read(char* to, size_t size) override {
    if (!has_buffered() && !fill()) return -1;
    size = std::min(size, end_ - at_);
    std::memcpy(to, buffer_.data() + at_, size);
    at_ += size;
    if (in_headers_) headers_.append(to, size);
    return count({to, size}) ? static_cast<ssize_t>(size) : -1;
  }
  ssize_t write(const char* from, size_t size) override {
    const Deadline deadline = Deadline::after(kWriteTime);
    for (size_t done = 0; done < size;) {
      if (!wait_for(socket_, POLLOUT, deadline)) return -1;
      ssize_t sent = ::send(socket_, from + done, size - done, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && errno != EAGAIN && errno != EINTR) return -1;
      if (sent > 0) done += static_cast<size_t>(sent);
    }
    return static_cast<ssize_t>(size);
  }
  void get_remote_ip_and_port(std::string& ip, int& port) const override {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (::getpeername(socket_, reinterpret_cast<sockaddr*>(&address), &size) != 0) return;
    std::array<char, NI_MAXHOST> host;
    std::array<char, NI_MAXSERV> service;
    if (::getnameinfo(reinterpret_cast<sockaddr*>(&address), size, host.data(), host.size(),
                      service.data(), service.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
      return;
    ip = host.data();
    port = std::atoi(service.data());
  }
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return socket_; }

 private:
  static Deadline now() { return Deadline::after(std::chrono::milliseconds(0)); }

  bool fill() {
    if (!wait_for(socket_, POLLIN, in_headers_ ? header_time_ : request_time_)) return false;
    ssize_t got = ::recv(socket_, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (got <= 0) return false;
    at_ = 0;
    end_ = static_cast<size_t>(got);
    return true;
  }

  // Counts header bytes up to the empty line behind them. Returns false if they are too many.
  bool count(std::string_view bytes) {
    for (char c : bytes) {
      if (!in_headers_) return true;
      if (++header_bytes_ > kMostHeaderBytes) return false;
      if (c == '\n') {
        in_headers_ = !line_is_empty_;
        line_is_empty_ = true;
      } else if (c != '\r') {
        line_is_empty_ = false;
      }
    }
    return true;
  }

  const socket_t socket_;
  std::array<char, 4096> buffer_;
  size_t at_ = 0;
  size_t end_ = 0;
  Deadline header_time_ = now();
  Deadline request_time_ = now();
  size_t header_bytes_ = 0;
  std::string headers_;
  bool in_headers_ = true;
  bool line_is_empty_ = false;
};

}  // namespace

std::optional<Refusal> refusal(const httplib::Request& request) {
  if (request.path.size() > kMostPath) return Refusal{414, "the path is too long"};
  if (request.headers.size() > kMostHeaders) return Refusal{431, "there are too many headers"};
  if (request.has_header("Transfer-Encoding"))
    return Refusal{411, "a body needs a Content-Length; Transfer-Encoding is not supported"};
  if (request.has_header("Content-Encoding"))
    return Refusal{415, "compressed bodies are not supported"};
  if (request.get_header_value_count("Content-Length") > 1)
    return Refusal{400, "there are several Content-Length headers"};
  if (request.get_header_value<uint64_t>("Content-Length") > kMostBody)
    return Refusal{413, "the body is too large"};
  return std::nullopt;
}

bool BoundedServer::process_and_close_socket(socket_t socket) {
  UniqueFd owned(socket);
  BoundedStream stream(socket);
  bool closed = false;
  bool answered = true;
  while (answered && !closed) {
    const Deadline idle = Deadline::after(kIdleTime);
    bool begun = stream.has_buffered();
    while (!begun && svr_sock_ != INVALID_SOCKET && !idle.passed())
      begun = wait_for(socket, POLLIN, Deadline::after(kLookAtStop));
    if (!begun) break;
    stream.begin_request();
    bool refused = false;
    auto look = [&](httplib::Request& request) {
      if (is_diverted_ && is_diverted_(request)) throw Diverted();
      // Without a length there is no body (RFC 9112, 6.3); the library would read to the end.
      if (!request.has_header("Content-Length")) request.set_header("Content-Length", "0");
      refused = judge_ && judge_(request).has_value();
    };
    try {
      answered = process_request(stream, false, closed, look);
    } catch (const Diverted&) {
      take_(std::move(owned), stream.heard());
      return true;
    }
    closed = closed || refused;
  }
  ::shutdown(socket, SHUT_RDWR);
  return answered;
}

}  // namespace halogen::control::api
