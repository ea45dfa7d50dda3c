// http2.h: a connection that speaks HTTP/2. Each of its requests is answered as one over HTTP/1.1
// is: by a WebClient, at the other end of a pipe, whose answer is put into frames as fast as the
// client takes it. Frames are read and written by nghttp2, which does no I/O.
//
// On the worker's thread; what waits keeps it.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "proxy/http/http_request.h"
#include "proxy/io/stream.h"
#include "proxy/io/worker.h"
#include "proxy/session/byte_budget.h"

struct nghttp2_session;

namespace halogen::proxy {

class Http2 : public std::enable_shared_from_this<Http2> {
 public:
  // What a connection may ask of us.
  static constexpr size_t kMostAtOnce = 100;  // Requests.
  static constexpr size_t kMostHead = 64 * 1024;
  static constexpr double kResetBurst = 200;  // Requests given up by the client at once,
  static constexpr double kResetRate = 20;    // and in each second.

  struct Options {
    size_t max_body = 0;
    ByteBudget& bodies;
    std::string network;  // Whose bodies they are.
    // Answers a request at this end of a pipe, and keeps `keepsake` as long as it is at work on
    // it. False if there is no room for it.
    std::function<bool(HttpRequest request, Connection connection, std::shared_ptr<void> keepsake)>
        answer;
    // state() may be another.
    std::function<void()> changed;
  };
  Http2(Worker& worker, Stream& stream, Options options);
  ~Http2();
  Http2(const Http2&) = delete;
  Http2& operator=(const Http2&) = delete;

  // Until one of both ends it. Throws unavailable, cancelled.
  Task<void> serve();
  // Takes no more requests, and ends once those that there are have been answered.
  void retire();
  // Nothing is asked; something is, but not all of it has come; answers are under way.
  enum class State { idle, receiving, answering };
  State state() const;

 private:
  struct Exchange;  // A request and its answer.
  struct Calls;     // Which nghttp2 makes.

  Task<void> read_all();
  Task<void> write_all();
  Task<void> pump(std::shared_ptr<Exchange> exchange);
  void begin(Exchange& exchange);
  void refuse(Exchange& exchange, int status, const std::string& why);
  void answer_head(Exchange& exchange);
  void give_up(int32_t stream, uint32_t code);
  void forget(int32_t stream);
  bool may_reset();
  void stop();
  bool has_ended() const;

  Worker& worker_;
  Stream& stream_;
  const Options options_;
  nghttp2_session* session_ = nullptr;
  std::map<int32_t, std::shared_ptr<Exchange>> exchanges_;
  std::shared_ptr<void> at_work_;  // A copy for each that is being answered.
  double resets_ = kResetBurst;    // That are still forgiven.
  steady_clock::time_point resets_at_ = steady_clock::now();
  Event to_write_;
  Event ended_;
  int running_ = 0;  // Coroutines of ours.
  bool stopped_ = false;
};

}  // namespace halogen::proxy
