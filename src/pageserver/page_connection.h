// page_connection.h: one connection of the page service: requests out of what it has sent, answers
// to it. While nothing happens on it, it costs a file descriptor and some 200 bytes.
//
// Threads: one at a time, but for asked.
#pragma once
#include <atomic>

#include "net/event_pool.h"
#include "pageserver/page_request.h"

namespace halogen::pageserver {

class PageConnection : public net::EventPool::Connection {
 public:
  explicit PageConnection(net::Socket socket);

  // Until there is something to read, the connection ends, or for a few milliseconds: a compute
  // that reads goes on reading. False: nothing has come. Throws unavailable at the end.
  bool receive_soon();
  // What has arrived. False: nothing has. Throws unavailable at the end.
  bool receive();

  // The hello, once it is there whole.
  std::optional<PageHello> take_hello();
  // The next request that is there whole. Throws as parse_page_request does.
  std::optional<ParsedPageRequest> take_request();
  bool has_input() const { return begin_ != end_; }
  // The id to answer with when take_request() has thrown.
  uint64_t bad_request_id() const { return page_request_id(received()); }
  // All requests there are incomplete: gives memory back. Call before it is idle.
  void rest();

  // Sends as much of the answer as there is room for, and keeps the rest. Fills in head.body.
  // Requires: nothing unsent.
  void send(const PageReply& head, std::string body);
  // Goes on with that; `soon`: waits for a few milliseconds for a client that takes it.
  void send_rest(bool soon);
  size_t unsent() const { return sizeof head_ + body_.size() - sent_; }

  std::atomic<steady_clock::time_point> asked = steady_clock::now();  // Last.

 private:
  Bytes received() const { return Bytes(buffer_.get() + begin_, end_ - begin_); }
  void consume(size_t bytes);
  bool receive_with(int flags);
  void push(int flags);

  std::unique_ptr<std::byte[]> buffer_;  // Null while it is idle.
  uint32_t begin_ = 0;                   // What is unparsed is [begin_, end_) of it.
  uint32_t end_ = 0;
  PageReply head_;  // The answer that is on its way.
  std::string body_;
  size_t sent_ = sizeof head_;  // Of both.
};

}  // namespace halogen::pageserver
