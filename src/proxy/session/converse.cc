// What the client says goes up, what the server says comes down; each in a loop of its own.
#include <algorithm>
#include <cerrno>

#include "net/socket.h"
#include "proxy/session/session.h"

namespace halogen::proxy {
namespace {

constexpr std::string_view kIntervention = "57";  // A class: shutdown, cancel request, timeout.
constexpr std::string_view kCanceled = "57014";
constexpr std::string_view kProtocolViolation = "08P01";
constexpr std::string_view kCrashShutdown = "57P02";
constexpr std::string_view kComputeGone =
    "the connection to the compute was lost: it has stopped or failed";
constexpr std::string_view kIdleTooLong =
    "the session was ended on the compute: it was idle for too long";

wire::ErrorFields too_large(size_t size, size_t most) {
  wire::ErrorFields fields;
  fields.sqlstate = "54000";
  fields.message = fmt::format("a message of {} bytes is too large to be prepared", size);
  fields.detail =
      fmt::format("At most {} bytes can be, with the text and all parameter types.", most);
  fields.hint = "Send large values as parameters, or the statement as a simple query.";
  return fields;
}

wire::ErrorFields no_memory_for(size_t size) {
  wire::ErrorFields fields;
  fields.sqlstate = "53200";
  fields.message =
      fmt::format("the proxy has no room for a message of {} bytes at this moment", size);
  fields.detail = "Other large messages, of this endpoint's clients or of all, are being taken.";
  fields.hint = "Try again shortly; send large values as parameters.";
  return fields;
}

// It was so before it began.
wire::ErrorFields request_canceled(const std::string& message) {
  wire::ErrorFields fields;
  fields.sqlstate = kCanceled;
  fields.message = message;
  return fields;
}

// Takes the first `used` bytes of `bytes` away: these are all of `held`, or came when that was
// empty. An empty string keeps no memory.
void keep_rest(std::string& held, std::string_view bytes, size_t used) {
  if (used == bytes.size())
    held = std::string();
  else if (held.empty())
    held = bytes.substr(used);
  else
    held.erase(0, used);
}

// Whether something listens there still.
bool takes_connections(const std::string& path) {
  return net::try_connect_unix(path).valid() || errno == EAGAIN;
}

}  // namespace

// The client's side.
Task<void> Session::converse() {
  std::optional<Error> failure;
  try {
    while (co_await hear()) {
    }
  } catch (const Error& error) {
    failure = error;
  }
  co_await let_server_finish(!failure.has_value());
  if (client_.is_dismissed()) throw Refused(client_.last_words());
  if (failure) throw Error(*failure);
}

// What goes to the client without waiting leaves `bytes`; true if that is all.
bool Session::tell_at_once(std::string_view& bytes) {
  size_t size = bytes.size();
  bool all = client_.tell_at_once(bytes);
  stats_.sent(size - bytes.size());
  if (all) tell_notifications();
  return all;
}

Task<void> Session::tell(std::string_view bytes) {
  stats_.sent(bytes.size());
  co_await client_.tell(bytes);
  tell_notifications();
}

// One helping of bytes from the client. False when it has said its last.
Task<bool> Session::hear() {
  Next next = Next::more;
  IoResult result;
  Io state = Io::want_read;
  if (client_.stream.buffered())
    co_await worker_.loop.next_round();  // Others, too, while it goes on sending.
  else
    co_await client_.stream.wait(state);
  while (true) {
    Buffer buffer(worker_.buffers);
    size_t size = 0;
    do {
      result = client_.stream.read_now(buffer.span().subspan(size));
      if (result.state == Io::done) size += result.size;
    } while (result.state == Io::done && client_.stream.buffered() &&
             size < BufferPool::kBufferSize);
    shared_.metrics.bytes_in.add(static_cast<double>(size));
    if (size > 0) {
      pin_.uses();
      stats_.came(size, !talk_->nothing_under_way());
      std::string_view bytes(buffer.data(), size);
      if (!heard_.empty()) bytes = heard_.append(bytes);
      if (bytes.size() >= wanted_) {
        size_t used = 0;
        next = co_await take(bytes, used);
        keep(bytes, used);
      }
    }
    if (result.state != Io::want_write) break;
    co_await client_.stream.wait(Io::want_write);
  }
  // No buffer is held while a server is waited for.
  while (next == Next::server || next == Next::verified) {
    std::string to_server;
    if (next == Next::server) {
      {
        EndWatch watch(client_);
        co_await attach_or_refuse(to_server);
      }
      if (server_) spawn_server_loop();
      if (!to_server.empty()) co_await send_to_server(to_server);
    }
    while (talk_->attached() && talk_->waiting())
      co_await client_.wait_for_event(Deadline::never());
    size_t used = 0;
    next = co_await take(heard_, used);
    keep(heard_, used);
  }
  if (client_.is_dismissed()) co_return false;
  if (result.state == Io::failed) client_.end(End::left);
  co_return next != Next::goodbye&& result.state != Io::closed&& result.state != Io::failed;
}

// What has not been used waits for more: for all of its first message, where that is needed.
void Session::keep(std::string_view bytes, size_t used) {
  keep_rest(heard_, bytes, used);
  wanted_ = talk_->size_to_hold(heard_);
  if (wanted_ > BufferPool::kBufferSize)
    hold_message();
  else
    held_.give_back();
}

// A large message is held if there is room for it. Else it is answered with an error, and its bytes
// are dropped as they come; but a query goes on as it comes.
void Session::hold_message() {
  size_t most = shared_.held_bytes.limits().message;
  if (held_.held() == wanted_) return;
  if (wanted_ <= most && held_.take(login_.route.endpoint, wanted_)) {
    heard_.reserve(wanted_);
    return;
  }
  if (!talk_->pass_unseen(heard_)) {
    shared_.metrics.held_refused.add();
    talk_->refuse_message(wanted_ > most ? too_large(wanted_, most) : no_memory_for(wanted_));
  }
  wanted_ = 0;
}

// Does what can be done with what the client said, and tells what has to come next.
Task<Session::Next> Session::take(std::string_view bytes, size_t& used) {
  while (!client_.is_dismissed()) {
    std::string out;
    out.reserve(std::min(bytes.size(), BufferPool::kBufferSize));
    if (!talk_->attached()) {
      used += talk_->answer_client(bytes.substr(used), out);
      std::string_view answer = out;
      if (!answer.empty() && !tell_at_once(answer)) co_await tell(answer);
      out.clear();
      std::string_view rest = bytes.substr(used);
      if (!rest.empty() && rest[0] == 'X') co_return Next::goodbye;
      if (!talk_->worth_a_server(rest)) co_return Next::more;
      if (!attach_at_once(out)) co_return Next::server;
    } else {
      use_.begin();
      if (server_ && use_.start() != server_->start) {  // Suspended meanwhile; it was at rest.
        std::string nothing;
        talk_->server_lost(loss(kComputeGone), nothing);
        drop_server();
        continue;
      }
    }
    std::optional<Error> failure;
    size_t taken = 0;
    try {
      taken = talk_->from_client(bytes.substr(used), out);
    } catch (const Error& error) {
      failure = error;
    }
    used += taken;
    bool asked = !out.empty();
    std::string_view to_server = out;
    if (asked && !server_.send_at_once(to_server)) co_await send_to_server(to_server);
    if (failure) throw Error(*failure);  // What came before it has been sent.
    if (talk_->waiting()) co_return Next::verified;
    std::string_view rest = bytes.substr(used);
    if (!rest.empty() && rest[0] == 'X') co_return Next::goodbye;
    if (!talk_->attached()) continue;
    if (!asked && taken == 0) {
      if (talk_->movable() && !client_.is_telling())
        settle();  // No server is held for half a message.
      co_return Next::more;
    }
  }
  co_return Next::goodbye;
}

Task<void> Session::send_to_server(std::string_view bytes) {
  ServerPtr server = server_.get();
  co_await server_.send(bytes);
  if (server && server_.get() == server && state_ == State::active && talk_->nothing_under_way())
    settle();
  if (client_.must_end()) throw Error(Errc::cancelled, "cancelled");
}

void Session::spawn_server_loop() {
  server_loops_++;
  worker_.loop.spawn(server_loop(server_.get()),
                     [self = shared_from_this()](const std::exception_ptr& failure) {
                       self->server_loops_--;
                       if (failure) self->client_.stream.cancel();
                       self->client_.signal();
                     });
}

// The server's side, as long as it is ours.
Task<void> Session::server_loop(ServerPtr server) {
  try {
    while (server_.get() == server) {
      if (!co_await hear_server(*server)) break;
      if (state_ != State::active)
        client_.signal();  // first_server() looks at what it has reported, before another's is.
      else if (server_.get() == server)
        settle();
      if (shared_.draining) retire();
    }
  } catch (const Error& error) {
    if (server_.get() != server) co_return;
    client_.note(error.what());
    if (error.code() == Errc::corrupt) client_.log_end(error.what());
  }
  if (server_.get() == server) co_await server_ended(server);
}

// False at its end.
Task<bool> Session::hear_server(Server& server) {
  co_await server.stream.wait(Io::want_read);
  Buffer buffer(worker_.buffers);
  IoResult result = server.stream.read_now(buffer.span());
  if (result.state == Io::want_read) co_return true;
  if (result.state != Io::done) co_return false;
  std::string_view bytes(buffer.data(), result.size);
  if (!server.unread.empty()) bytes = server.unread.append(bytes);
  bool waited = talk_->waiting() || talk_->restoring();
  std::string out;
  out.reserve(std::min(bytes.size(), BufferPool::kBufferSize));
  std::optional<Error> failure;
  try {
    size_t used = talk_->from_server(bytes, out);
    keep_rest(server.unread, bytes, used);
  } catch (const Error& error) {
    failure = error;
  }
  take_news_for_pools(server);
  attribute_notifications(server);
  while (!failure && talk_->held()) {
    co_await settle_listening();
    while (listening_.has_news()) out += listening_.take_news();
    size_t used = talk_->from_server(server.unread, out);
    server.unread.erase(0, used);
    take_news_for_pools(server);
    attribute_notifications(server);
  }
  if (waited) client_.signal();
  bool fatal = talk_->fatal() != nullptr;
  if (talk_->nothing_under_way()) {
    if (!talk_->restoring()) stats_.answered(talk_->transaction_status() != 'I');
    if (talk_->transaction_status() == 'I') out += listening_.take_news();
  }
  std::string_view answer = out;
  if (!answer.empty() && !tell_at_once(answer)) co_await tell(answer);
  if (failure) throw Error(*failure);  // What came before it has been told.
  co_return !fatal;
}

// Before the client hears what the server has said, so that it never sees a change which the pools
// do not know yet.
void Session::take_news_for_pools(const Server& server) {
  if (uint64_t epoch = talk_->take_epoch(); epoch != 0)
    shared_.pools.epoch_is(login_.route.endpoint, server.start, epoch);
  if (uint32_t database = talk_->take_vacated(); database != 0)
    shared_.pools.vacate(login_.route.endpoint, database);
}

// The server has closed, failed, or is closed by us.
Task<void> Session::server_ended(ServerPtr server) {
  const wire::ErrorFields* fatal = talk_->fatal();
  // Where somebody came between, another server will do.
  bool intervened = state_ == State::active && fatal && fatal->sqlstate.starts_with(kIntervention);
  bool restoring = fatal && talk_->restoring() && !intervened;
  bool canceled = intervened && fatal->sqlstate == kCanceled;
  bool by_client = fatal && fatal->sqlstate == kProtocolViolation;
  std::string out;
  bool sayable = true;
  if (restoring || by_client) {
    client_.dismiss(*fatal);
    talk_->server_lost(*fatal, out);
    out.clear();
  } else if (fatal && !pool_ && !canceled && fatal->sqlstate != kCrashShutdown &&
             use_.current_start() == server->start &&
             takes_connections(server->cancel_target->socket)) {
    // The compute is well: somebody ended this session.
    client_.dismiss(*fatal);
    talk_->server_lost(*fatal, out);
    out.clear();
  } else {
    bool expired = pin_.take_expired();
    std::string why(expired ? kIdleTooLong : kComputeGone);
    if (fatal && fatal->sqlstate != kCrashShutdown) why = fatal->message;
    sayable = talk_->server_lost(canceled ? request_canceled(why) : loss(why), out);
  }
  drop_server();
  if (!sayable) client_.end(End::left);
  if (!out.empty() && !client_.has_left()) co_await tell(out);
  if (client_.is_dismissed() || !sayable) client_.stream.cancel();
  client_.signal();
}

// The client has said its last. What it asked for is still done, and told.
Task<void> Session::let_server_finish(bool in_peace) {
  if (server_ && talk_->movable() && pool_ && !client_.is_telling() && !server_.is_sending()) {
    give_server();
  } else if (server_) {
    ServerPtr server = server_.get();
    if (talk_->nothing_under_way() || client_.has_left() || client_.is_dismissed() || !in_peace)
      server->stream.cancel();
    else
      server_.finish();
  }
  while (server_loops_ > 0) co_await client_.wait_for_event(Deadline::never());
}

}  // namespace halogen::proxy
