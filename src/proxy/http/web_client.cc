#include "proxy/http/web_client.h"

#include "base/ids.h"
#include "base/log.h"
#include "proxy/http/upgrade.h"
#include "proxy/io/web_socket.h"

namespace halogen::proxy {
namespace {

const log::Logger logger("proxy");

constexpr char kTlsHandshake = 0x16;
constexpr std::chrono::milliseconds kTurn{200};
constexpr std::chrono::milliseconds kWatchAfter{50};
constexpr std::chrono::milliseconds kLookForEnd{250};
constexpr std::chrono::seconds kIdleTime{75};
constexpr std::chrono::seconds kStrangerIdleTime{20};
constexpr std::chrono::seconds kLingerTime{2};
constexpr std::chrono::seconds kRollbackTime{10};
constexpr size_t kSmall = 64 * 1024;       // Is held without asking for room.
constexpr size_t kHoldStep = 1024 * 1024;  // Room is asked for in such steps.
constexpr size_t kChunk = 32 * 1024;       // Rather not less is sent as one.

constexpr std::string_view kAllowedHeaders =
    "Authorization, Neon-Connection-String, Neon-Raw-Text-Output, Neon-Array-Mode, "
    "Neon-Pool-Opt-In, Neon-Batch-Read-Only, Neon-Batch-Isolation-Level, Neon-Batch-Deferrable";

HttpResponse json_response(int status, std::string body) {
  return {status,
          {{"Content-Type", "application/json"},
           {"Access-Control-Allow-Origin", "*"},
           {"neon-request-id", random_uuid()}},
          std::move(body)};
}

HttpResponse error_response(const HttpError& error) {
  return json_response(error.status(), error_json(error.what()));
}

HttpResponse allowed_options() {
  return {200,
          {{"Allow", "OPTIONS, POST"},
           {"Access-Control-Allow-Origin", "*"},
           {"Access-Control-Allow-Headers", std::string(kAllowedHeaders)},
           {"Access-Control-Max-Age", "86400"}},
          {}};
}

// The one answer that is no object.
HttpResponse not_supported() { return json_response(400, "\"query is not supported\""); }

std::string copy_refused() {
  std::string out;
  wire::put_message(out, wire::Frontend::copy_fail,
                    std::string("COPY FROM STDIN has no data over HTTP") + '\0');
  wire::put_message(out, wire::Frontend::sync);
  return out;
}

}  // namespace

struct WebClient::Answering {
  Answering(SqlRequest& request, ByteBudget& budget, bool goes_on)
      : answer(request), head(json_response(200, {})), held(budget), keep_alive(goes_on) {
    for (auto& header : request.echo()) head.headers.push_back(std::move(header));
  }

  SqlAnswer answer;
  HttpResponse head;
  ByteBudget::Share held;
  bool keep_alive;
  bool streamed = false;                // The head has been sent.
  std::optional<HttpResponse> refusal;  // In place of an answer.
};

WebClient::WebClient(Shared& shared, Worker& worker, Connection connection, Origin origin,
                     std::string heard)
    : WebClient(shared, worker, std::move(connection), std::move(origin),
                Given{.heard = std::move(heard)}) {}

WebClient::WebClient(Shared& shared, Worker& worker, Connection connection, Origin origin,
                     HttpRequest request, std::function<void()> admitted)
    : WebClient(shared, worker, std::move(connection), std::move(origin),
                Given{.request = std::move(request), .admitted = std::move(admitted)}) {}

WebClient::WebClient(Shared& shared, Worker& worker, Connection connection, Origin origin,
                     Given given)
    : shared_(shared),
      worker_(worker),
      peer_(std::move(origin.peer)),
      address_(origin.address),
      stream_(std::make_unique<Stream>(worker.loop, std::move(connection))),
      deadline_(worker.loop),
      called_(worker.loop),
      charge_(shared.work_limits, address_),
      input_(std::move(given.heard)),
      lent_(!input_.empty() || given.request),
      given_(std::move(given.request)),
      tell_admitted_(std::move(given.admitted)),
      body_(shared.web_bytes) {
  worker_.web_clients.insert(this);
  shared_.unauthenticated++;
}

WebClient::~WebClient() {
  worker_.web_clients.erase(this);
  if (!admitted_) shared_.unauthenticated--;
}

void WebClient::start() { worker_.loop.spawn(run(shared_from_this())); }

void WebClient::retire() {
  if (http2_ && http2_->state() == Http2::State::answering) return http2_->retire();
  if (idle_) terminate();
}

void WebClient::terminate() {
  if (stream_) stream_->cancel();
  if (session_) session_->stream().cancel();
  called_.signal();
}

// Its place among the newcomers is another's.
void WebClient::admit() {
  if (std::exchange(admitted_, true)) return;
  shared_.unauthenticated--;
  charge_.give_back();
  if (tell_admitted_) tell_admitted_();
}

void WebClient::limit_time(std::chrono::milliseconds time) {
  deadline_.set(steady_clock::now() + time, [this] { terminate(); });
}

Origin WebClient::origin(const std::string& host, bool pooled) const {
  return {peer_, address_, Tunnel{host, pooled}};
}

// `self` keeps it.
Task<void> WebClient::run(std::shared_ptr<WebClient> /*self*/) {
  try {
    co_await serve();
    if (stream_) co_await close();
  } catch (const std::exception& error) {
    logger.debug("web client {}: {}", peer_, error.what());
  }
}

Task<void> WebClient::serve() {
  limit_time(shared_.options.startup_timeout);
  if (!lent_) co_await stream_->wait(Io::want_read);
  co_await wait_for_turn();
  if (!lent_ && stream_->peek_first() == kTlsHandshake) co_await begin_tls();
  if (!stream_->is_private() && !address_.is_loopback()) {
    co_await stream_->write(
        response_text(error_response(HttpError(400, "connection is insecure (use https)")), false));
    co_return;
  }
  if (agreed_protocol(stream_->ssl()) == "h2" && !lent_) co_return co_await serve_http2();
  while (co_await serve_one()) {
  }
}

// ---- HTTP/2 ----

Task<void> WebClient::serve_http2() {
  http2_ = std::make_shared<Http2>(
      worker_, *stream_,
      Http2::Options{
          .max_body = shared_.options.web.max_request,
          .bodies = shared_.web_bytes,
          .network = network_of(address_),
          .answer =
              [this](HttpRequest request, Connection connection, std::shared_ptr<void> keepsake) {
                return answer_apart(std::move(request), std::move(connection), std::move(keepsake));
              },
          .changed = [this] { http2_changed(); }});
  limit_time(kStrangerIdleTime);
  co_await http2_->serve();
}

bool WebClient::answer_apart(HttpRequest request, Connection connection,
                             std::shared_ptr<void> keepsake) {
  if (shared_.unauthenticated >= shared_.options.max_unauthenticated) return false;
  auto admitted = [weak = weak_from_this(), keepsake = std::move(keepsake)] {
    if (auto client = weak.lock()) client->admit();
  };
  std::make_shared<WebClient>(shared_, worker_, std::move(connection), Origin{peer_, address_},
                              std::move(request), std::move(admitted))
      ->start();
  return true;
}

// Requests have as much time to come as a newcomer has, all of them together.
void WebClient::http2_changed() {
  const Http2::State state = http2_->state();
  if (state == http2_was_) return;
  http2_was_ = state;
  idle_ = state != Http2::State::answering;
  if (state == Http2::State::answering)
    deadline_.cancel();
  else if (state == Http2::State::receiving)
    limit_time(shared_.options.startup_timeout);
  else
    limit_time(admitted_ ? kIdleTime : kStrangerIdleTime);
  if (idle_ && shared_.draining) terminate();
}

// ---- HTTP/1.1 ----

// While too many of its address are under way.
Task<void> WebClient::wait_for_turn() {
  while (!charge_.take(steady_clock::now())) {
    if (shared_.work_limits.is_empty(address_, steady_clock::now())) {
      shared_.metrics.auth_limited.add();
      throw spent_all();
    }
    co_await pause(worker_.loop, kTurn);
  }
}

Task<void> WebClient::begin_tls() {
  Turns::Ticket turn(worker_.handshakes, network_of(address_), [this] { called_.signal(); });
  while (!turn.come()) {
    co_await called_;
    (void)co_await stream_->wait(Io::want_read);  // Throws if it has been ended.
  }
  co_await stream_->accept_tls(shared_.web_tls);
}

// One request. False if there will not be another.
Task<bool> WebClient::serve_one() {
  idle_ = true;
  limit_time(admitted_ ? kIdleTime : kStrangerIdleTime);
  std::optional<HttpRequest> request;
  HttpResponse response;
  try {
    request = given_ ? take_given() : co_await receive();
  } catch (const HttpError& error) {
    response = error_response(error);
  }
  deadline_.cancel();
  idle_ = false;
  if (lent_ && request) request->keep_alive = false;
  bool goes_on = request && request->keep_alive && !request->upgrade && !shared_.draining;
  try {
    if (request && request->upgrade) {
      co_await become_web_socket(*request);
      co_return false;
    }
    bool for_sql = request && request->path() == "/sql";
    if (for_sql && request->method == "POST") co_return co_await answer_sql(std::move(*request));
    if (request)
      response = for_sql && request->method == "OPTIONS" ? allowed_options() : not_supported();
  } catch (const HttpError& error) {
    response = error_response(error);
  }
  body_.give_back();
  if (request && request->method == "HEAD") response.body.clear();
  co_await stream_->write(response_text(response, goes_on));
  co_return goes_on;
}

// Its body was counted by who has read it.
HttpRequest WebClient::take_given() {
  HttpRequest request = *std::exchange(given_, std::nullopt);
  hold_body(request.body.size());
  return request;
}

// Throws HttpError for what cannot be read on, unavailable at the client's end.
Task<HttpRequest> WebClient::receive() {
  RequestReader reader(shared_.options.web.max_request);
  while (true) {
    input_.erase(0, reader.take(input_));
    if (reader.complete()) co_return reader.take_request();
    hold_body(reader.body_size());
    if (reader.take_expects_continue()) co_await stream_->write("HTTP/1.1 100 Continue\r\n\r\n");
    co_await hear();
  }
}

// More bytes into `input_`.
Task<void> WebClient::hear() {
  if (stream_->buffered())
    co_await worker_.loop.next_round();
  else
    co_await stream_->wait(Io::want_read);
  Buffer buffer(worker_.buffers);
  IoResult result = stream_->read_now(buffer.span());
  if (result.state == Io::want_read) co_return;
  if (result.state == Io::want_write) {
    co_await stream_->wait(Io::want_write);
    co_return;
  }
  if (result.state != Io::done) throw Error(Errc::unavailable, "the client has left");
  shared_.metrics.bytes_in.add(static_cast<double>(result.size));
  input_.append(buffer.data(), result.size);
  if (std::exchange(idle_, false)) limit_time(shared_.options.startup_timeout);
}

// Strangers' bodies, too, take up memory: an address has its share of it.
void WebClient::hold_body(size_t size) {
  if (size <= kSmall || size <= body_.held()) return;
  if (!body_.take(network_of(address_), size + kHoldStep))
    throw HttpError(503, "no room for a request of this size at this moment");
}

Task<void> WebClient::become_web_socket(const HttpRequest& request) {
  HttpResponse answer = answer_upgrade(request);
  if (!input_.empty()) throw HttpError(400, "frames before the WebSocket is agreed upon");
  co_await stream_->write(response_text(answer, false));
  if (answer.status != 101) co_return;
  Connection connection = stream_->leave();
  stream_.reset();
  connection.channel = std::make_unique<WebSocketChannel>(std::move(connection.channel));
  std::string host = host_name(request.header("host"));
  charge_.give_back();  // The session takes it over.
  std::make_shared<Session>(shared_, worker_, std::move(connection), origin(host, false))->start();
}

// ---- A query ----

Task<bool> WebClient::answer_sql(HttpRequest request) {
  bool goes_on = request.keep_alive && !shared_.draining;
  SqlRequest sql = parse_sql_request(request);
  Answering answering(sql, shared_.web_bytes, goes_on);
  session_ = std::make_unique<SqlSession>(shared_, worker_, origin(sql.to.host, true));
  session_->send(wire_messages(sql));  // As large as the body was, and held until it is let in.
  co_await ask(answering);
  session_.reset();
  body_.give_back();
  co_return co_await finish(answering);
}

// Until all that can be known of the answer is there.
Task<void> WebClient::ask(Answering& answering) {
  Timer begins(worker_.loop);
  begins.set(steady_clock::now() + kWatchAfter, [this] {
    watch_ = ++watches_;
    worker_.loop.spawn(watch(weak_from_this(), worker_.loop, watch_));
  });
  std::optional<Error> failure;
  try {
    co_await hear_answer(answering);
    if (answering.answer.in_transaction() && !answering.answer.fatal()) co_await roll_back();
    std::string goodbye;
    wire::put_terminate(goodbye);
    session_->send(std::move(goodbye));
  } catch (const HttpError& error) {
    answering.refusal = error_response(error);
    failure = error;
  } catch (const Error& error) {
    failure = error;
  }
  watch_ = 0;
  if (!failure) co_return;
  co_await cancel_query(answering.answer);
  if (answering.refusal || answering.answer.error()) co_return;
  logger.debug("web client {}: {}", peer_, failure->what());
  answering.refusal =
      json_response(400, error_json("Query cancelled, connection was terminated", "08P01"));
}

Task<void> WebClient::hear_answer(Answering& answering) {
  SqlAnswer& answer = answering.answer;
  const size_t limit = shared_.options.web.max_response;
  std::string unread;
  while (!answer.complete()) {
    co_await session_->stream().wait(Io::want_read);
    {
      Buffer buffer(worker_.buffers);
      IoResult result = session_->stream().read_now(buffer.span());
      if (result.state == Io::want_read) continue;
      if (result.state != Io::done) throw Error(Errc::unavailable, "the session has ended");
      std::string_view bytes(buffer.data(), result.size);
      if (!unread.empty()) bytes = unread.append(bytes);
      size_t used = answer.take(bytes);
      if (unread.empty())
        unread = bytes.substr(used);
      else
        unread.erase(0, used);
    }
    if (!answer.cancel_key().empty()) {
      admit();
      body_.give_back();
    }
    size_t coming = unread.empty() ? 0 : wire::message_size(as_bytes(unread)).value_or(0);
    if (answer.size() + coming > limit)
      throw HttpError(507, fmt::format("response is too large (max is {} bytes)", limit));
    if (answer.take_wants_copy()) session_->send(copy_refused());
    if (!answer.error() && must_stream(answering)) co_await stream(answering);
  }
}

// What is complete is not: its length is known.
bool WebClient::must_stream(Answering& answering) {
  size_t size = answering.answer.json().size();
  if (answering.answer.complete()) return false;
  if (answering.streamed) return size >= kChunk;
  if (size <= kSmall || size <= answering.held.held()) return false;
  return size > shared_.options.web.max_held ||
         !answering.held.take(network_of(address_), size + kHoldStep);
}

Task<void> WebClient::stream(Answering& answering) {
  std::string out;
  if (!std::exchange(answering.streamed, true))
    out = response_head(answering.head, std::string::npos, answering.keep_alive);
  put_chunk(out, answering.answer.take_json());
  answering.held.give_back();
  shared_.metrics.bytes_out.add(static_cast<double>(out.size()));
  co_await stream_->write(out);
}

// The server is given back as it came.
Task<void> WebClient::roll_back() {
  Timer limit(worker_.loop);
  limit.set(steady_clock::now() + kRollbackTime, [this] { session_->stream().cancel(); });
  std::string query;
  wire::put_query(query, "ROLLBACK");
  session_->send(std::move(query));
  std::string heard;
  char type = '\0';
  while (type != static_cast<char>(wire::Backend::ready_for_query)) {
    char bytes[512];
    size_t size = co_await session_->stream().read_some(bytes);
    if (size == 0) throw Error(Errc::unavailable, "the session has ended");
    heard.append(bytes, size);
    while (auto message = wire::parse_message(as_bytes(heard))) {
      type = message->type;
      heard.erase(0, message->size);
    }
  }
}

// Says what is to be said yet. False if the connection can be used no more.
Task<bool> WebClient::finish(Answering& answering) {
  SqlAnswer& answer = answering.answer;
  bool failed = answering.refusal || answer.error();
  std::string out;
  if (answering.streamed) {
    if (failed) {  // That is said by an answer that has no end.
      terminate();
      co_return false;
    }
    put_chunk(out, answer.take_json());
    out += kLastChunk;
  } else {
    HttpResponse response =
        failed
            ? answering.refusal.value_or(json_response(400, answer.error().value_or(std::string())))
            : std::move(answering.head);
    if (!failed) response.body = answer.take_json();
    out = response_text(response, answering.keep_alive);
  }
  shared_.metrics.bytes_out.add(static_cast<double>(out.size()));
  co_await stream_->write(out);
  co_return answering.keep_alive;
}

// Unless it is answered. Whoever asked is gone, or has been given up.
Task<void> WebClient::cancel_query(const SqlAnswer& answer) {
  if (answer.complete() || answer.cancel_key().empty() || shared_.stopping) co_return;
  try {
    co_await SqlSession::cancel(shared_, worker_, origin({}, true), answer.cancel_key());
  } catch (const Error& error) {
    logger.debug("cancel request of {}: {}", peer_, error.what());
  }
}

// A client that leaves while its query is worked on has it canceled. What it has sent meanwhile
// stays unread, so its end is looked for from time to time behind that.
Task<void> WebClient::watch(std::weak_ptr<WebClient> weak, Loop& loop, uint64_t number) {
  while (auto client = weak.lock()) {
    if (client->watch_ != number) co_return;
    if (client->stream_->gone()) {
      client->terminate();
      co_return;
    }
    bool unread = client->stream_->has_unread();
    Watch::Wait readable = client->stream_->readable();
    client.reset();
    if (unread)
      co_await pause(loop, kLookForEnd);
    else if (!co_await readable)
      co_return;
  }
}

// A reset could overtake our last words, so its end is waited for a little.
Task<void> WebClient::close() {
  stream_->shutdown_send();
  limit_time(kLingerTime);
  std::string unwanted(kSmall, '\0');
  while (co_await stream_->read_some(unwanted) > 0) {
  }
}

}  // namespace halogen::proxy
