#include "proxy/http/http2.h"

#include <http_parser.h>
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "base/error.h"
#include "proxy/http/sql_answer.h"
#include "proxy/io/pipe.h"

namespace halogen::proxy {
namespace {

constexpr size_t kSmall = 64 * 1024;       // Of a body: is held without asking for room.
constexpr size_t kHoldStep = 1024 * 1024;  // Room is asked for in such steps.
constexpr size_t kMostOut = 64 * 1024;     // Of an answer, that the client has not taken.
constexpr int32_t kWindow = 1024 * 1024;   // Of bodies on their way to us.
constexpr std::chrono::seconds kFarewellTime{2};

nghttp2_nv header_of(const std::string& name, const std::string& value) {
  auto bytes = [](const std::string& text) {
    return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

std::string in_lower_case(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return text;
}

// What HTTP/2 has other means for.
bool is_of_connection(std::string_view name) {
  return name == "connection" || name == "keep-alive" || name == "transfer-encoding";
}

}  // namespace

struct Http2::Exchange {
  Exchange(Loop& loop, ByteBudget& bodies, int32_t number) : id(number), body(bodies), taken(loop) {
    http_parser_init(&parser, HTTP_RESPONSE);
    parser.data = this;
  }

  // Takes what a WebClient has said; false if that is no answer.
  bool take(std::string_view bytes) {
    http_parser_execute(&parser, &settings(), bytes.data(), bytes.size());
    return HTTP_PARSER_ERRNO(&parser) == HPE_OK;
  }
  static const http_parser_settings& settings();

  const int32_t id;
  HttpRequest request;
  size_t head = 0;
  ByteBudget::Share body;
  bool asked = false;    // All of the request has come, or it has been refused.
  bool is_over = false;  // The client wants to hear no more.

  std::unique_ptr<Stream> stream;  // To the WebClient.
  http_parser parser{};
  HttpResponse response;
  bool head_is_there = false;
  bool head_is_sent = false;
  bool complete = false;
  std::string out;  // Of the answer's body.
  size_t sent = 0;  // Of `out`.
  Event taken;
};

const http_parser_settings& Http2::Exchange::settings() {
  static const http_parser_settings made = [] {
    http_parser_settings calls;
    http_parser_settings_init(&calls);
    calls.on_header_field = [](http_parser* parser, const char* at, size_t size) {
      auto& headers = static_cast<Exchange*>(parser->data)->response.headers;
      if (headers.empty() || !headers.back().second.empty()) headers.emplace_back();
      headers.back().first.append(at, size);
      return 0;
    };
    calls.on_header_value = [](http_parser* parser, const char* at, size_t size) {
      static_cast<Exchange*>(parser->data)->response.headers.back().second.append(at, size);
      return 0;
    };
    calls.on_headers_complete = [](http_parser* parser) {
      auto* exchange = static_cast<Exchange*>(parser->data);
      exchange->response.status = static_cast<int>(parser->status_code);
      exchange->head_is_there = true;
      return 0;
    };
    calls.on_body = [](http_parser* parser, const char* at, size_t size) {
      static_cast<Exchange*>(parser->data)->out.append(at, size);
      return 0;
    };
    calls.on_message_complete = [](http_parser* parser) {
      static_cast<Exchange*>(parser->data)->complete = true;
      return 0;
    };
    return calls;
  }();
  return made;
}

// ---- What nghttp2 tells ----

struct Http2::Calls {
  static Http2& of(void* user) { return *static_cast<Http2*>(user); }
  static Exchange* find(void* user, int32_t stream) {
    auto found = of(user).exchanges_.find(stream);
    return found == of(user).exchanges_.end() ? nullptr : found->second.get();
  }

  static int begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    Http2& http2 = of(user);
    http2.exchanges_[frame->hd.stream_id] =
        std::make_shared<Exchange>(http2.worker_.loop, http2.options_.bodies, frame->hd.stream_id);
    http2.options_.changed();
    return 0;
  }

  // nghttp2 has seen to it that names and values are some, and pseudo headers in their place.
  static int header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                    size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                    void* user) {
    Exchange* exchange = find(user, frame->hd.stream_id);
    if (exchange == nullptr) return 0;
    exchange->head += name_size + value_size;
    if (exchange->head > kMostHead) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;  // Trailers.
    std::string key(reinterpret_cast<const char*>(name), name_size);
    std::string text(reinterpret_cast<const char*>(value), value_size);
    HttpRequest& request = exchange->request;
    if (key == ":method")
      request.method = std::move(text);
    else if (key == ":path")
      request.target = std::move(text);
    else if (key == ":authority")
      request.headers.emplace_back("host", std::move(text));
    else if (!key.starts_with(':'))
      request.headers.emplace_back(std::move(key), std::move(text));
    return 0;
  }

  static int data(nghttp2_session*, uint8_t, int32_t stream, const uint8_t* bytes, size_t size,
                  void* user) {
    Http2& http2 = of(user);
    Exchange* exchange = find(user, stream);
    if (exchange == nullptr || exchange->asked) return 0;
    std::string& body = exchange->request.body;
    const size_t total = body.size() + size;
    if (total > http2.options_.max_body) {
      http2.refuse(*exchange, 413,
                   fmt::format("request is too large (max is {} bytes)", http2.options_.max_body));
    } else if (total > kSmall && total > exchange->body.held() &&
               !exchange->body.take(http2.options_.network, total + kHoldStep)) {
      http2.refuse(*exchange, 503, "no room for a request of this size at this moment");
    } else {
      body.append(reinterpret_cast<const char*>(bytes), size);
    }
    return 0;
  }

  static int frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    const bool may_end = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (!may_end || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
    Exchange* exchange = find(user, frame->hd.stream_id);
    if (exchange != nullptr && !exchange->asked) of(user).begin(*exchange);
    return 0;
  }

  // An answer that came ahead of the whole request: the rest is not wanted.
  static int sent(nghttp2_session* session, const nghttp2_frame* frame, void*) {
    if (frame->hd.type != NGHTTP2_DATA || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
      return 0;
    if (nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0)
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
  }

  static int closed(nghttp2_session* session, int32_t stream, uint32_t, void* user) {
    Http2& http2 = of(user);
    Exchange* exchange = find(user, stream);
    if (exchange == nullptr) return 0;
    const bool given_up = !exchange->complete || exchange->sent < exchange->out.size();
    http2.forget(stream);
    if (given_up && !http2.may_reset())
      nghttp2_session_terminate_session(session, NGHTTP2_ENHANCE_YOUR_CALM);
    return 0;
  }

  static ssize_t read(nghttp2_session*, int32_t, uint8_t* to, size_t size, uint32_t* flags,
                      nghttp2_data_source* source, void*) {
    auto& exchange = *static_cast<Exchange*>(source->ptr);
    const size_t left = exchange.out.size() - exchange.sent;
    if (left == 0 && !exchange.complete) return NGHTTP2_ERR_DEFERRED;
    size = std::min(size, left);
    std::memcpy(to, exchange.out.data() + exchange.sent, size);
    exchange.sent += size;
    if (exchange.sent == exchange.out.size()) {
      if (exchange.complete) *flags |= NGHTTP2_DATA_FLAG_EOF;
      exchange.out.clear();
      exchange.sent = 0;
      exchange.taken.signal();
    }
    return static_cast<ssize_t>(size);
  }
};

Http2::Http2(Worker& worker, Stream& stream, Options options)
    : worker_(worker),
      stream_(stream),
      options_(std::move(options)),
      at_work_(std::make_shared<int>()),
      to_write_(worker.loop),
      ended_(worker.loop) {
  nghttp2_session_callbacks* calls = nullptr;
  CHECK(nghttp2_session_callbacks_new(&calls) == 0);
  nghttp2_session_callbacks_set_on_begin_headers_callback(calls, Calls::begin_headers);
  nghttp2_session_callbacks_set_on_header_callback(calls, Calls::header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, Calls::data);
  nghttp2_session_callbacks_set_on_frame_recv_callback(calls, Calls::frame);
  nghttp2_session_callbacks_set_on_frame_send_callback(calls, Calls::sent);
  nghttp2_session_callbacks_set_on_stream_close_callback(calls, Calls::closed);
  const int made = nghttp2_session_server_new(&session_, calls, this);
  nghttp2_session_callbacks_del(calls);
  CHECK(made == 0);
  const std::array<nghttp2_settings_entry, 3> settings{
      {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, kMostAtOnce},
       {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kWindow},
       {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, kMostHead}}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kWindow);
}

Http2::~Http2() { nghttp2_session_del(session_); }

bool Http2::has_ended() const {
  return nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
}

Task<void> Http2::serve() {
  running_++;
  worker_.loop.spawn(write_all(), [self = shared_from_this()](const std::exception_ptr& failure) {
    if (failure) self->stream_.cancel();
    self->running_--;
    self->ended_.signal();
  });
  std::exception_ptr failure;
  try {
    co_await read_all();
  } catch (...) {
    failure = std::current_exception();
    stream_.cancel();
  }
  stop();
  Timer limit(worker_.loop);  // For what is to be said yet.
  limit.set(steady_clock::now() + kFarewellTime, [this] { stream_.cancel(); });
  while (running_ > 0) co_await ended_;
  if (failure) std::rethrow_exception(failure);
}

Task<void> Http2::read_all() {
  while (!has_ended()) {
    try {
      if (stream_.buffered())
        co_await worker_.loop.next_round();
      else
        co_await stream_.wait(Io::want_read);
    } catch (const Error&) {
      if (has_ended()) co_return;  // Its last has been said.
      throw;
    }
    Buffer buffer(worker_.buffers);
    IoResult result = stream_.read_now(buffer.span());
    if (result.state == Io::want_read) continue;
    if (result.state == Io::want_write) {
      co_await stream_.wait(Io::want_write);
      continue;
    }
    if (result.state != Io::done) co_return;
    const ssize_t used = nghttp2_session_mem_recv(
        session_, reinterpret_cast<const uint8_t*>(buffer.data()), result.size);
    to_write_.signal();
    if (used < 0) co_return;  // Not HTTP/2 at all, or a flood.
  }
}

Task<void> Http2::write_all() {
  while (true) {
    std::string out;
    const uint8_t* bytes = nullptr;
    ssize_t size = 0;
    while (out.size() < BufferPool::kBufferSize &&
           (size = nghttp2_session_mem_send(session_, &bytes)) > 0)
      out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
    if (size < 0)
      throw Error(Errc::unavailable, "HTTP/2: {}", nghttp2_strerror(static_cast<int>(size)));
    if (!out.empty()) {
      co_await stream_.write(out);
      continue;
    }
    if (has_ended()) stream_.interrupt();  // Who reads looks, too.
    if (stopped_ || has_ended()) co_return;
    co_await to_write_;
  }
}

// After which nothing begins; what has been said to the client is still sent.
void Http2::stop() {
  stopped_ = true;
  while (!exchanges_.empty()) forget(exchanges_.begin()->first);
  to_write_.signal();
}

void Http2::retire() {
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                        nullptr, 0);
  to_write_.signal();
}

Http2::State Http2::state() const {
  if (exchanges_.empty()) return State::idle;
  bool answering =
      std::ranges::any_of(exchanges_, [](const auto& one) { return one.second->asked; });
  return answering ? State::answering : State::receiving;
}

bool Http2::may_reset() {
  auto now = steady_clock::now();
  resets_ += std::chrono::duration<double>(now - resets_at_).count() * kResetRate;
  resets_ = std::min(resets_, kResetBurst) - 1;
  resets_at_ = now;
  return resets_ >= 0;
}

// ---- Requests ----

// nghttp2 knows it no more. Whoever works for it finds its end of the pipe closed.
void Http2::forget(int32_t stream) {
  auto found = exchanges_.find(stream);
  if (found == exchanges_.end()) return;
  std::shared_ptr<Exchange> exchange = std::move(found->second);
  exchanges_.erase(found);
  exchange->is_over = true;
  if (exchange->stream) exchange->stream->cancel();
  exchange->taken.signal();
  if (!stopped_) options_.changed();
}

void Http2::begin(Exchange& exchange) {
  exchange.asked = true;
  options_.changed();
  if (stopped_ || at_work_.use_count() > static_cast<long>(kMostAtOnce))
    return give_up(exchange.id, NGHTTP2_REFUSED_STREAM);
  auto [ours, theirs] = make_pipe(worker_.loop);
  exchange.stream = std::make_unique<Stream>(worker_.loop, std::move(ours));
  exchange.body.give_back();  // It is counted by who takes it over.
  if (!options_.answer(std::move(exchange.request), std::move(theirs), at_work_))
    return give_up(exchange.id, NGHTTP2_REFUSED_STREAM);
  running_++;
  worker_.loop.spawn(pump(exchanges_.at(exchange.id)),
                     [self = shared_from_this()](const std::exception_ptr&) {
                       self->running_--;
                       self->ended_.signal();
                     });
}

// What a WebClient says, no faster than the client takes it.
Task<void> Http2::pump(std::shared_ptr<Exchange> exchange) {
  Exchange& x = *exchange;
  try {
    while (!x.complete && !x.is_over) {
      while (x.out.size() - x.sent >= kMostOut && !x.is_over) co_await x.taken;
      if (x.is_over) break;
      co_await x.stream->wait(Io::want_read);
      Buffer buffer(worker_.buffers);
      IoResult result = x.stream->read_now(buffer.span());
      if (result.state == Io::want_read) continue;
      if (result.state != Io::done || !x.take({buffer.data(), result.size})) break;
      if (x.is_over) break;
      if (x.head_is_there && !std::exchange(x.head_is_sent, true)) answer_head(x);
      nghttp2_session_resume_data(session_, x.id);
      to_write_.signal();
    }
  } catch (const Error&) {  // It is over.
  }
  x.stream.reset();
  if (!x.complete && !x.is_over) give_up(x.id, NGHTTP2_INTERNAL_ERROR);
}

void Http2::answer_head(Exchange& exchange) {
  std::vector<std::pair<std::string, std::string>> headers;
  headers.emplace_back(":status", std::to_string(exchange.response.status));
  for (auto& [name, value] : exchange.response.headers) {
    std::string key = in_lower_case(std::move(name));
    if (!is_of_connection(key)) headers.emplace_back(std::move(key), std::move(value));
  }
  std::vector<nghttp2_nv> values;
  for (const auto& [name, value] : headers) values.push_back(header_of(name, value));
  nghttp2_data_provider body{};
  body.source.ptr = &exchange;
  body.read_callback = Calls::read;
  nghttp2_submit_response(session_, exchange.id, values.data(), values.size(), &body);
}

void Http2::refuse(Exchange& exchange, int status, const std::string& why) {
  exchange.asked = true;
  exchange.request = HttpRequest();
  exchange.body.give_back();
  exchange.out = error_json(why);
  exchange.complete = true;
  exchange.response = {status,
                       {{"content-type", "application/json"},
                        {"access-control-allow-origin", "*"},
                        {"content-length", std::to_string(exchange.out.size())}},
                       {}};
  answer_head(exchange);
}

void Http2::give_up(int32_t stream, uint32_t code) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream, code);
  to_write_.signal();
}

}  // namespace halogen::proxy
