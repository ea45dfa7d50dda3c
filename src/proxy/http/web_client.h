// web_client.h: a connection that speaks HTTP/1.1, with or without TLS: queries by POST to /sql,
// and WebSockets, which become ordinary sessions. Where HTTP/2 is agreed upon, each of its requests
// is answered by another of these, at the other end of a pipe (http2.h).
//
// A query's answer is held until it is complete, so that its status tells how it ended, as long as
// there is room for it (Options of ProxyOptions::web); from then on it is streamed, and one that
// fails after that has its connection cut. On the worker's thread; lives as long as its coroutine.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "proxy/auth/work_limits.h"
#include "proxy/http/http2.h"
#include "proxy/http/http_request.h"
#include "proxy/http/sql_answer.h"
#include "proxy/http/sql_session.h"
#include "proxy/session/byte_budget.h"

namespace halogen::proxy {

class WebClient : public std::enable_shared_from_this<WebClient> {
 public:
  // Of a request that somebody else began to read `heard` has been read: that one is answered, and
  // no other.
  WebClient(Shared& shared, Worker& worker, Connection connection, Origin origin,
            std::string heard = {});
  // One request of a connection that speaks HTTP/2, which is told when a right password was shown.
  WebClient(Shared& shared, Worker& worker, Connection connection, Origin origin,
            HttpRequest request, std::function<void()> admitted);
  ~WebClient();
  WebClient(const WebClient&) = delete;
  WebClient& operator=(const WebClient&) = delete;

  void start();
  // The proxy drains: ends if no request is under way, and after the one that is.
  void retire();
  // Ends at once.
  void terminate();

 private:
  struct Answering;  // A request whose answer is under way.
  struct Given {     // What there is besides the connection.
    std::string heard{};
    std::optional<HttpRequest> request{};
    std::function<void()> admitted{};
  };
  WebClient(Shared& shared, Worker& worker, Connection connection, Origin origin, Given given);

  Task<void> run(std::shared_ptr<WebClient> self);
  Task<void> serve();
  Task<void> wait_for_turn();
  Task<void> begin_tls();
  Task<void> serve_http2();
  bool answer_apart(HttpRequest request, Connection connection, std::shared_ptr<void> keepsake);
  void http2_changed();
  Task<bool> serve_one();
  Task<HttpRequest> receive();
  Task<void> hear();
  HttpRequest take_given();
  void hold_body(size_t size);
  Task<void> become_web_socket(const HttpRequest& request);
  Task<bool> answer_sql(HttpRequest request);
  Task<void> ask(Answering& answering);
  Task<void> hear_answer(Answering& answering);
  Task<void> stream(Answering& answering);
  bool must_stream(Answering& answering);
  Task<void> roll_back();
  Task<bool> finish(Answering& answering);
  Task<void> cancel_query(const SqlAnswer& answer);
  Task<void> close();
  static Task<void> watch(std::weak_ptr<WebClient> weak, Loop& loop, uint64_t number);
  void admit();
  void limit_time(std::chrono::milliseconds time);
  Origin origin(const std::string& host, bool pooled) const;

  Shared& shared_;
  Worker& worker_;
  const std::string peer_;
  const IpAddress address_;
  std::unique_ptr<Stream> stream_;
  Timer deadline_;
  Event called_;  // Its turn for TLS has come.
  WorkLimits::Charge charge_;
  bool admitted_ = false;  // It has shown a right password.
  bool idle_ = true;       // No request is under way.
  std::string input_;      // Not used yet.
  const bool lent_;        // The connection is somebody else's, and here for one request.
  std::optional<HttpRequest> given_;  // Which has been read.
  const std::function<void()> tell_admitted_;
  std::shared_ptr<Http2> http2_;
  Http2::State http2_was_ = Http2::State::idle;
  ByteBudget::Share body_;
  std::unique_ptr<SqlSession> session_;
  uint64_t watch_ = 0;  // The number of the watch for its end; 0: none is wanted.
  uint64_t watches_ = 0;
};

}  // namespace halogen::proxy
