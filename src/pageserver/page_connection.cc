#include "pageserver/page_connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "base/error.h"

namespace halogen::pageserver {
namespace {

constexpr uint32_t kBuffer = 16 << 10;  // Many pipelined requests; the largest has 1.5 KB.
// How long a thread waits for a connection's next request, or for its client to take an answer,
// before it goes and has the epoll set wait.
constexpr std::chrono::microseconds kSoon{5000};

void limit_calls(int fd) {
  timeval soon{.tv_sec = 0, .tv_usec = kSoon.count()};
  if (::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon) != 0 ||
      ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon) != 0)
    throw system_error(errno, "setsockopt");
}

}  // namespace

PageConnection::PageConnection(net::Socket socket) : Connection(std::move(socket)) {
  limit_calls(this->socket().fd());
}

bool PageConnection::receive_soon() { return receive_with(0); }
bool PageConnection::receive() { return receive_with(MSG_DONTWAIT); }

bool PageConnection::receive_with(int flags) {
  if (!buffer_) buffer_.reset(new std::byte[kBuffer]);
  if (begin_ > 0) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  for (;;) {
    ssize_t got = ::recv(socket().fd(), buffer_.get() + end_, kBuffer - end_, flags);
    if (got > 0) {
      end_ += static_cast<uint32_t>(got);
      return true;
    }
    if (got == 0) throw Error(Errc::unavailable, "connection closed by the peer");
    if (errno == EAGAIN) return false;
    if (errno != EINTR) throw Error(Errc::unavailable, "connection lost");
  }
}

void PageConnection::consume(size_t bytes) {
  begin_ += static_cast<uint32_t>(bytes);
  if (begin_ == end_) begin_ = end_ = 0;
}

std::optional<PageHello> PageConnection::take_hello() {
  if (received().size() < sizeof(PageHello)) return std::nullopt;
  PageHello hello = load<PageHello>(received().data());
  consume(sizeof hello);
  return hello;
}

std::optional<ParsedPageRequest> PageConnection::take_request() {
  if (begin_ == end_) return std::nullopt;
  auto request = parse_page_request(received());
  if (request) consume(request->size);
  return request;
}

void PageConnection::rest() {
  if (begin_ == end_) buffer_.reset();
}

void PageConnection::send(const PageReply& head, std::string body) {
  head_ = head;
  body_ = std::move(body);
  sent_ = 0;
  head_.body = static_cast<uint32_t>(body_.size());
  push(MSG_DONTWAIT);
}

void PageConnection::send_rest(bool soon) { push(soon ? 0 : MSG_DONTWAIT); }

void PageConnection::push(int flags) {
  while (unsent() > 0) {
    const size_t of_body = sent_ < sizeof head_ ? 0 : sent_ - sizeof head_;
    iovec parts[2] = {{.iov_base = reinterpret_cast<std::byte*>(&head_) + sent_,
                       .iov_len = sizeof head_ - std::min(sent_, sizeof head_)},
                      {.iov_base = body_.data() + of_body, .iov_len = body_.size() - of_body}};
    msghdr message{};
    message.msg_iov = parts[0].iov_len > 0 ? parts : parts + 1;
    message.msg_iovlen = parts[0].iov_len > 0 ? 2 : 1;
    const ssize_t sent = ::sendmsg(socket().fd(), &message, MSG_NOSIGNAL | flags);
    if (sent >= 0)
      sent_ += static_cast<size_t>(sent);
    else if (errno == EAGAIN)
      return;
    else if (errno != EINTR)
      throw Error(Errc::unavailable, "connection lost");
  }
  body_ = std::string();
  sent_ = sizeof head_;
}

}  // namespace halogen::pageserver
