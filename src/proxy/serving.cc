// The session's third part: a compute, and bytes both ways.
#include <sys/socket.h>

#include "base/log.h"
#include "proxy/session.h"

namespace halogen::proxy {
namespace {

const log::Logger logger("proxy");

constexpr size_t kMaxGreetingMessage = 1 << 20;
constexpr std::chrono::milliseconds kRetryPause{100};
constexpr std::string_view kCannotConnectNow = "57P03";

// Counts the session for control while it lives.
class Opened {
 public:
  Opened(Endpoints& endpoints, std::string endpoint)
      : endpoints_(endpoints), endpoint_(std::move(endpoint)) {
    endpoints_.session_opened(endpoint_);
  }
  ~Opened() { endpoints_.session_closed(endpoint_); }
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;

 private:
  Endpoints& endpoints_;
  const std::string endpoint_;
};

std::string socket_path(const ComputeAddress& address) {
  return fmt::format("{}/.s.PGSQL.{}", address.socket_folder, address.port);
}

}  // namespace

Task<void> Session::serve() {
  Opened counted(shared_.endpoints, route_.endpoint);
  enter(State::waking);
  auto since = steady_clock::now();
  watch_client();
  co_await connect_compute();
  watching_ = false;
  shared_.metrics.wake_seconds.observe(
      std::chrono::duration<double>(steady_clock::now() - since).count());
  if (!server_) co_return;  // The compute has said no, and the client has been told.
  enter(State::active);
  co_await relay();
}

// A client may give up while it waits for a compute; then so do we.
void Session::watch_client() {
  watching_ = true;
  client_.when_readable([weak = weak_from_this()](asio::error_code error) {
    auto session = weak.lock();
    if (!session || error || !session->watching_) return;
    if (session->client_.gone()) {
      session->client_left_ = true;
      session->signal_event();
    } else if (!session->client_.buffered()) {
      session->watch_client();
    }
  });
}

Task<ComputeAddress> Session::wake(Deadline deadline) {
  auto answer = co_await answer_of<ComputeAddress>(
      [this](auto done) { shared_.endpoints.wake(route_.endpoint, std::move(done)); }, deadline);
  if (answer && answer->value) co_return *answer->value;
  shared_.metrics.wake_failures.add();
  constexpr std::string_view kHint = "Try again shortly; if it persists, see the platform's log.";
  if (!answer)
    throw Refused(kCannotConnectNow,
                  fmt::format("the compute of this endpoint did not start within {} s",
                              shared_.options.wake_timeout.count() / 1000),
                  kHint, Errc::timed_out);
  throw Refused(kCannotConnectNow,
                fmt::format("the compute of this endpoint could not be started: {}",
                            answer->error ? answer->error->what() : "unknown error"),
                kHint, Errc::unavailable);
}

// A compute can stop between wake() and our connecting to it: then it is woken again.
Task<void> Session::connect_compute() {
  Deadline deadline = Deadline::after(shared_.options.wake_timeout);
  while (true) {
    ComputeAddress address = co_await wake(deadline);
    if (co_await open_server(address)) co_return;
    if (deadline.passed())
      throw Refused(kCannotConnectNow, "the compute of this endpoint takes no connections",
                    "Try again shortly; if it persists, see the platform's log.", Errc::timed_out);
    co_await wait_for_event(Deadline::after(kRetryPause));
    if (client_left_ || shared_.stopping) throw Error(Errc::cancelled, "cancelled");
  }
}

Task<bool> Session::open_server(const ComputeAddress& address) {
  std::string path = socket_path(address);
  asio::local::stream_protocol::socket socket(worker_.context);
  asio::error_code error;
  socket.open(asio::local::stream_protocol(), error);
  if (!error) socket.native_non_blocking(true, error);
  if (!error) socket.connect(path, error);
  if (error.value() == EMFILE || error.value() == ENFILE) throw no_descriptors();
  if (error) {
    logger.info("compute of {} is not at {}: {}", route_.endpoint, path, error.message());
    co_return false;
  }
  server_ = std::make_unique<Stream>(Socket(std::move(socket)));
  bool there = false;
  try {
    there = co_await greet_server(path);
  } catch (const Error& gone) {
    // Not a word yet to the client, so another compute can still answer.
    if (gone.code() != Errc::unavailable || !client_.can_talk()) throw;
    logger.info("compute of {} went away during startup", route_.endpoint);
  }
  if (!there) server_.reset();
  co_return there;
}

// Tells the compute who is there, and the client what the compute says, up to ReadyForQuery or an
// error. Nothing goes out before either is there. False if the compute cannot take us right now.
Task<bool> Session::greet_server(const std::string& socket) {
  co_await server_->write(wire::startup_packet(parameters_));
  std::string in;
  std::string out;
  bool ready = false;
  bool refused = false;
  while (!ready && !refused) {
    char piece[1024];
    size_t size = co_await server_->read_some(piece);
    if (size == 0) throw Error(Errc::unavailable, "the compute closed the connection");
    in.append(piece, size);
    size_t used = 0;
    while (auto message = wire::parse_message(as_bytes(in).subspan(used), kMaxGreetingMessage)) {
      char type = message->type;
      std::string_view whole = std::string_view(in).substr(used, message->size);
      used += message->size;
      if (type == 'K') {
        Reader body(message->body);
        BackendKey theirs{body.be_get<uint32_t>(), body.be_get<uint32_t>()};
        cancel_key_ = shared_.cancel_keys.add({socket, theirs}, cancel_secret_size());
        wire::put_backend_key(out, cancel_key_->pid, cancel_key_->secret);
        continue;
      }
      if (type == 'R' && wire::parse_authentication(message->body) != 0)
        throw Refused("08006", "the compute does not trust the proxy", {}, Errc::internal);
      if (type == 'E' && wire::parse_error(message->body).sqlstate == kCannotConnectNow)
        co_return false;
      out.append(whole);
      ready |= type == 'Z';
      refused |= type == 'E';
    }
    in.erase(0, used);
  }
  out.append(in);  // What came behind it: the beginning of a message, at most.
  from_server_.feed(out);
  co_await client_.write(out);
  if (refused) server_.reset();
  co_return true;
}

Task<void> Session::relay() {
  auto self = shared_from_this();
  asio::co_spawn(worker_.context, client_to_server(), [self](std::exception_ptr) {
    self->upstream_done_ = true;
    self->signal_event();
  });
  co_await server_to_client();
  client_.cancel();
  server_->cancel();
  while (!upstream_done_) co_await wait_for_event(Deadline::never());

  if (client_left_) co_return;
  if (shared_.stopping && from_server_.at_boundary()) throw Error(Errc::cancelled, "cancelled");
  // Postgres says why it ends a session: an error and then nothing more. Where it could not, we do.
  client_.allow();
  if (!client_.can_talk() || !from_server_.at_boundary() || from_server_.last_type() == 'E')
    co_return;
  throw Refused(
      "57P01", "terminating connection because the compute has stopped unexpectedly",
      "Connect again and retry: the compute is started again on the next connection. A "
      "transaction that was open has been rolled back, unless its commit was acknowledged.",
      Errc::unavailable);
}

Task<void> Session::client_to_server() {
  try {
    co_await carry_from_client();
  } catch (const Error& error) {
    logger.debug("client {}: {}", peer_, error.what());
  }
}

Task<void> Session::server_to_client() {
  try {
    co_await carry_from_server();
  } catch (const Error& error) {
    logger.debug("client {}: {}", peer_, error.what());
  }
}

// Ends when the client has sent its last, or the server takes no more (which the other direction
// finds out about by itself).
Task<void> Session::carry_from_client() {
  Io state = Io::want_read;
  while (true) {
    if (state == Io::want_write || !client_.buffered()) co_await client_.wait(state);
    state = Io::want_read;
    Buffer buffer(worker_.buffers);
    size_t size = 0;
    IoResult result;
    do {
      result = client_.read_now(buffer.span().subspan(size));
      if (result.state == Io::done) size += result.size;
    } while (result.state == Io::done && client_.buffered() && size < BufferPool::kBufferSize);

    if (size > 0) {
      std::string_view bytes(buffer.data(), size);
      from_client_.feed(bytes);
      shared_.metrics.bytes_in.add(static_cast<double>(size));
      if (from_client_.at_boundary() && from_client_.last_type() == 'X') client_left_ = true;
      co_await server_->write(bytes);
    }
    if (result.state == Io::want_write) state = Io::want_write;
    if (result.state == Io::closed) {
      client_left_ = true;
      server_->shutdown_send();
      co_return;
    }
    if (result.state == Io::failed) {
      client_left_ = true;
      server_->cancel();  // Nobody is there for what it may still say.
      co_return;
    }
  }
}

Task<void> Session::carry_from_server() {
  while (true) {
    co_await server_->wait(Io::want_read);
    Buffer buffer(worker_.buffers);
    IoResult result = server_->read_now(buffer.span());
    if (result.state == Io::want_read) continue;
    if (result.state != Io::done) co_return;
    std::string_view bytes(buffer.data(), result.size);
    from_server_.feed(bytes);
    shared_.metrics.bytes_out.add(static_cast<double>(result.size));
    co_await client_.write(bytes);
  }
}

}  // namespace halogen::proxy
