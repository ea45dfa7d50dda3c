#include "control/api/bounded_server.h"

#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string_view>

#include "base/deadline.h"
#include "base/ip_address.h"

namespace halogen::control::api {
namespace {

constexpr std::chrono::seconds kWriteTime{5};
constexpr char kTlsHandshake = 0x16;
constexpr size_t kMostInARow = 100'000;  // Requests on a connection, as clients are told.

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

bool is_loopback(socket_t socket) {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  std::array<char, NI_MAXHOST> host{};
  auto* address = reinterpret_cast<sockaddr*>(&peer);
  if (::getpeername(socket, address, &size) != 0 ||
      ::getnameinfo(address, size, host.data(), host.size(), nullptr, 0, NI_NUMERICHOST) != 0)
    return false;
  std::optional<IpAddress> parsed = IpAddress::parse(host.data());
  return parsed && parsed->is_loopback();
}

// In the clear: it does not speak TLS.
void refuse_insecure(socket_t socket) {
  constexpr std::string_view kBody =
      R"x({"code":"","message":"connection is insecure (use https)"})x";
  const std::string text =
      "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n"
      "Content-Length: " +
      std::to_string(kBody.size()) + "\r\n\r\n" + std::string(kBody);
  (void)!::send(socket, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  // What it has said is read, or a reset would overtake these words.
  ::shutdown(socket, SHUT_WR);
  std::array<char, 4096> unwanted;
  while (::recv(socket, unwanted.data(), unwanted.size(), MSG_DONTWAIT) > 0) {
  }
}

}  // namespace

// One connection: reads no more, and waits no longer, than the bounds allow.
class BoundedServer::BoundedStream : public httplib::Stream {
 public:
  explicit BoundedStream(socket_t socket) : socket_(socket) {}
  ~BoundedStream() override { SSL_free(tls_); }
  BoundedStream(const BoundedStream&) = delete;
  BoundedStream& operator=(const BoundedStream&) = delete;

  // From here on all is encrypted, once hands are shaken. Takes `tls`.
  void begin_tls(ssl_st* tls) { tls_ = tls; }
  bool is_encrypted() const { return tls_ != nullptr; }
  ssl_st* take_tls() { return std::exchange(tls_, nullptr); }

  // ---- Without waiting ----
  enum class Look { ready, nothing, end };
  Look shake_hands() {
    ERR_clear_error();
    const int done = SSL_accept(tls_);
    if (done == 1) return Look::ready;
    return SSL_get_error(tls_, done) == SSL_ERROR_WANT_READ ? Look::nothing : Look::end;
  }
  // Reads what there is of the next request: ready if that is its whole head, or more than may be
  // one.
  Look look_for_head() {
    while (!head_is_there()) {
      std::array<char, 4096> bytes;
      const ssize_t got = read_now(bytes);
      if (got == 0) return Look::end;
      if (got < 0) return Look::nothing;
      if (!has_buffered()) head_since_ = steady_clock::now();
      input_.append(bytes.data(), static_cast<size_t>(got));
    }
    return Look::ready;
  }
  // The head of a request has begun to come, and has had its time.
  bool is_slow() const { return has_buffered() && steady_clock::now() - head_since_ > kHeaderTime; }
  void finish() {
    ERR_clear_error();
    if (tls_ != nullptr) SSL_shutdown(tls_);
    ::shutdown(socket_, SHUT_RDWR);
  }

  // Call before each request.
  void begin_request() {
    header_time_ = Deadline::after(kHeaderTime);
    request_time_ = Deadline::after(kRequestTime);
    header_bytes_ = 0;
    line_is_empty_ = false;
    in_headers_ = true;
    headers_.clear();
  }
  bool has_read_head() const { return !in_headers_; }
  // Call after each. What has come of the next is looked at anew.
  void end_request() {
    input_ = input_.substr(std::exchange(at_, 0));  // One that rests keeps no memory for it.
    headers_ = std::string();
    looked_at_ = 0;
    looks_empty_ = head_is_there_ = false;
    head_since_ = steady_clock::now();
  }
  // All that has been read since the request began. Its body has not been asked for yet.
  std::string heard() const { return headers_ + input_.substr(at_); }
  bool has_buffered() const { return at_ < input_.size(); }

  bool is_readable() const override { return has_buffered() || wait_for(socket_, POLLIN, now()); }
  bool is_writable() const override { return wait_for(socket_, POLLOUT, now()); }
  ssize_t read(char* to, size_t size) override {
    if (!has_buffered() && !fill()) return -1;
    size = std::min(size, input_.size() - at_);
    std::memcpy(to, input_.data() + at_, size);
    at_ += size;
    if (in_headers_) headers_.append(to, size);
    return count({to, size}) ? static_cast<ssize_t>(size) : -1;
  }
  ssize_t write(const char* from, size_t size) override {
    const Deadline deadline = Deadline::after(kWriteTime);
    for (size_t done = 0; done < size;) {
      const ssize_t sent = send(from + done, size - done, deadline);
      if (sent < 0) return -1;
      done += static_cast<size_t>(sent);
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
    const Deadline deadline = in_headers_ ? header_time_ : request_time_;
    std::array<char, 16384> bytes;
    ssize_t got = 0;
    while ((got = read_now(bytes)) < 0)
      if (!wait_for(socket_, POLLIN, deadline)) return false;
    if (got == 0) return false;
    input_.assign(bytes.data(), static_cast<size_t>(got));
    at_ = 0;
    return true;
  }

  // 0 at the end, -1 if there is nothing now. Of TLS no more is written here than a few bytes.
  ssize_t read_now(std::span<char> to) {
    if (tls_ != nullptr) {
      ERR_clear_error();
      const int got = SSL_read(tls_, to.data(), static_cast<int>(to.size()));
      if (got > 0) return got;
      return SSL_get_error(tls_, got) == SSL_ERROR_WANT_READ ? -1 : 0;
    }
    const ssize_t got = ::recv(socket_, to.data(), to.size(), MSG_DONTWAIT);
    if (got >= 0) return got;
    return errno == EAGAIN || errno == EINTR ? -1 : 0;
  }

  // Its end is an empty line.
  bool head_is_there() {
    for (; looked_at_ < input_.size() && !head_is_there_; looked_at_++) {
      const char c = input_[looked_at_];
      if (c == '\n') {
        head_is_there_ = looks_empty_;
        looks_empty_ = true;
      } else if (c != '\r') {
        looks_empty_ = false;
      }
    }
    return head_is_there_ || input_.size() > kMostHeaderBytes;
  }

  // As much as goes; -1 if nothing can be sent any more.
  ssize_t send(const char* from, size_t size, Deadline deadline) {
    while (tls_ != nullptr) {
      ERR_clear_error();
      const int sent = SSL_write(tls_, from, static_cast<int>(std::min<size_t>(size, 1 << 20)));
      if (sent > 0) return sent;
      if (!wait_as_told(sent, deadline)) return -1;
    }
    if (!wait_for(socket_, POLLOUT, deadline)) return -1;
    const ssize_t sent = ::send(socket_, from, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
    return sent;
  }

  // For what OpenSSL needs after it has returned this; false if nothing helps, or it does not come.
  bool wait_as_told(int returned, Deadline deadline) {
    const int error = SSL_get_error(tls_, returned);
    if (error == SSL_ERROR_WANT_READ) return wait_for(socket_, POLLIN, deadline);
    if (error == SSL_ERROR_WANT_WRITE) return wait_for(socket_, POLLOUT, deadline);
    return false;
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
  ssl_st* tls_ = nullptr;
  std::string input_;  // What has been read from the socket, and not taken since `at_`.
  size_t at_ = 0;
  // Of look_for_head():
  size_t looked_at_ = 0;
  bool looks_empty_ = false;  // The line, so far.
  bool head_is_there_ = false;
  steady_clock::time_point head_since_{};
  Deadline header_time_ = now();
  Deadline request_time_ = now();
  size_t header_bytes_ = 0;
  std::string headers_;
  bool in_headers_ = true;
  bool line_is_empty_ = false;
};

class BoundedServer::Client : public Connections::Connection {
 public:
  explicit Client(UniqueFd fd) : Connection(std::move(fd)), stream(socket.get()) {}

  enum class Stage { fresh, shaking_hands, open };
  BoundedStream stream;
  Stage stage = Stage::fresh;
  const steady_clock::time_point since = steady_clock::now();
};

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

BoundedServer::BoundedServer(size_t threads)
    : connections_(std::make_unique<Connections>(
          Connections::Options{.threads = threads, .idle_time = kIdleTime},
          [](UniqueFd socket) { return std::make_unique<Client>(std::move(socket)); },
          [this](Connections::Connection& client) {
            return serve_client(static_cast<Client&>(client));
          })) {
  // What clients are told: a little less, so that none asks as it is closed.
  set_keep_alive_timeout((kIdleTime - kHeaderTime).count());
  set_keep_alive_max_count(kMostInARow);
}

BoundedServer::~BoundedServer() { close_listener(); }

void BoundedServer::close_listener() { UniqueFd(svr_sock_.exchange(INVALID_SOCKET)).reset(); }

void BoundedServer::serve() {
  ::fcntl(svr_sock_, F_SETFL, O_NONBLOCK);
  ::listen(svr_sock_, SOMAXCONN);  // The library's are five.
  connections_->run(svr_sock_);
  close_listener();
}

void BoundedServer::end() { connections_->end(); }

// A first look at it; false if there is nothing to be said to it.
bool BoundedServer::begin(Client& client) const {
  client.stage = Client::Stage::open;
  char first = 0;
  if (::recv(client.socket.get(), &first, 1, MSG_PEEK | MSG_DONTWAIT) != 1) return false;
  if (first == kTlsHandshake) {
    client.stage = Client::Stage::shaking_hands;
    ssl_st* tls = begin_tls_ ? begin_tls_(client.socket.get()) : nullptr;
    client.stream.begin_tls(tls);
    return tls != nullptr;
  }
  if (is_loopback(client.socket.get())) return true;
  refuse_insecure(client.socket.get());
  return false;
}

// Nothing is waited for until there is the head of a request.
Connections::Then BoundedServer::serve_client(Client& client) {
  using Then = Connections::Then;
  using Look = BoundedStream::Look;
  if (client.stage == Client::Stage::fresh && !begin(client)) return Then::close;
  if (client.stage == Client::Stage::shaking_hands) {
    const Look hands = client.stream.shake_hands();
    const bool late = steady_clock::now() - client.since > kHandshakeTime;
    if (hands == Look::end || late) return Then::close;
    if (hands == Look::nothing) return Then::wait;
    client.stage = Client::Stage::open;
  }
  switch (client.stream.look_for_head()) {
    case Look::ready:
      return serve_request(client);
    case Look::nothing:
      return client.stream.is_slow() ? Then::close : Then::wait;
    case Look::end:
      break;
  }
  return Then::close;
}

Connections::Then BoundedServer::serve_request(Client& client) {
  using Then = Connections::Then;
  BoundedStream& stream = client.stream;
  stream.begin_request();
  bool closed = false;
  bool refused = false;
  auto look = [&](httplib::Request& request) {
    if (is_diverted_ && is_diverted_(request)) throw Diverted();
    // Without a length there is no body (RFC 9112, 6.3); the library would read to the end.
    if (!request.has_header("Content-Length")) request.set_header("Content-Length", "0");
    if (stream.is_encrypted()) {
      request.headers.erase("X-Forwarded-Proto");
      request.set_header("X-Forwarded-Proto", "https");
    }
    refused = judge_ && judge_(request).has_value();
  };
  try {
    closed = !process_request(stream, false, closed, look) || closed;
  } catch (const Diverted&) {
    std::string heard = stream.heard();
    ssl_st* tls = stream.take_tls();
    take_(connections_->take_socket(client), tls, std::move(heard));
    return Then::close;
  }
  // Where a head could not be read to its end nobody knows where the next begins.
  if (!closed && !refused && stream.has_read_head()) {
    stream.end_request();
    return Then::go_on;
  }
  stream.finish();
  return Then::close;
}

}  // namespace halogen::control::api
