// What the client says, and what becomes of it on its way to the server.
#include <algorithm>

#include "base/error.h"
#include "proxy/conversation/conversation.h"

namespace halogen::proxy {
namespace {

using wire::Frontend;

constexpr size_t kHeader = 5;
constexpr size_t kPiecesFrom = 32 * 1024;  // Larger messages are passed on as they come.

bool is_data_or_flush(Frontend type) {
  return type == Frontend::copy_data || type == Frontend::copy_done ||
         type == Frontend::copy_fail || type == Frontend::flush;
}

}  // namespace

std::optional<Conversation::ClientMessage> Conversation::next_message(std::string_view bytes) {
  if (bytes.size() < kHeader) return std::nullopt;
  uint32_t length = byteswap(load<uint32_t>(bytes.data() + 1));
  if (length < 4 || length > wire::kMaxMessageSize)
    throw Error(Errc::corrupt, "invalid message length");
  size_t size = size_t{length} + 1;
  return ClientMessage{Frontend(bytes[0]), bytes.substr(0, size), size};
}

size_t Conversation::from_client(std::string_view bytes, std::string& to_server) {
  size_t used = 0;
  if (client_body_ > 0) {
    used = std::min<uint64_t>(client_body_, bytes.size());
    if (!client_body_dropped_) to_server.append(bytes.substr(0, used));
    client_body_ -= used;
  }
  while (!waiting()) {
    std::optional<ClientMessage> message = next_message(bytes.substr(used));
    if (!message || message->type == Frontend::terminate) break;
    Step step = take(*message, to_server);
    if (step != Step::done) break;
    verified_.reset();
    used += message->bytes.size();
  }
  return used;
}

// Passes on what is there; what is still to come follows without being looked at.
void Conversation::pass(const ClientMessage& message, std::string& to_server) {
  to_server.append(message.bytes);
  client_body_ = message.size - message.bytes.size();
  client_body_dropped_ = false;
}

void Conversation::drop(const ClientMessage& message) {
  client_body_ = message.size - message.bytes.size();
  client_body_dropped_ = true;
}

// What comes next breaks the COPY that is under way, or depends on how one has ended. A server that
// has left the COPY meanwhile ignores CopyFail.
bool Conversation::must_settle_copy(Frontend next, std::string& to_server) {
  if (exchange_.phase == Phase::skipping || is_data_or_flush(next)) return false;
  if (exchange_.phase == Phase::copy_in && next != Frontend::sync) {
    put_parts(to_server, Frontend::copy_fail, {kNotInCopy, std::string_view("\0", 1)});
    exchange_.take_data(Kind::copy_end);
    copy_broken_by_ = next;
  } else if (exchange_.in_doubt(next)) {
    exchange_.ask_about_syncs(to_server);
  } else {
    return false;
  }
  return waiting_ = true;
}

Conversation::Step Conversation::take(const ClientMessage& message, std::string& to_server) {
  if (must_settle_copy(message.type, to_server)) return Step::wait;
  if (message_refusal_) {
    if (exchange_.phase != Phase::skipping) inject(to_server).raise(std::move(*message_refusal_));
    message_refusal_.reset();
    drop(message);
    return Step::done;
  }
  if (exchange_.phase == Phase::skipping && message.type != Frontend::sync) {
    drop(message);
    return Step::done;
  }
  switch (message.type) {
    case Frontend::query:
      return take_query(message, to_server);
    case Frontend::parse:
      return message.complete() ? take_parse(message, to_server) : Step::incomplete;
    case Frontend::bind:
      return take_bind(message, to_server);
    case Frontend::describe:
      return message.complete() ? take_describe(message, to_server) : Step::incomplete;
    case Frontend::close:
      return message.complete() ? take_close(message, to_server) : Step::incomplete;
    case Frontend::execute:
      counts_.queries++;
      exchange_.expect(Kind::execute).may_deallocate = sql_names_bound_;
      break;
    case Frontend::sync:
      if (!message.complete()) return Step::incomplete;
      exchange_.take_sync();
      wire::put_message(to_server, Frontend::sync);
      sql_names_bound_ = false;
      return Step::done;
    case Frontend::function_call:
      exchange_.expect(Kind::function);
      break;
    case Frontend::copy_data:
    case Frontend::copy_done:
    case Frontend::copy_fail:
      // Where nothing is owed no COPY can be under way: it has failed meanwhile.
      if (exchange_.outstanding.empty()) {
        drop(message);
        return Step::done;
      }
      exchange_.take_data(message.type == Frontend::copy_data ? Kind::copy_data : Kind::copy_end);
      break;
    case Frontend::flush:
      break;
    default:
      throw Error(Errc::corrupt, "invalid frontend message type {}",
                  static_cast<int>(static_cast<uint8_t>(message.type)));
  }
  pass(message, to_server);
  return Step::done;
}

Conversation::Step Conversation::take_query(const ClientMessage& message, std::string& to_server) {
  bool about_names = false;
  if (has_names()) {
    if (message.bytes.size() < needed_of(message)) return Step::incomplete;
    std::string_view sql = text_of(message.body());
    about_names = names_statements(sql);
    if (about_names && !tell_names(sql, true, to_server)) return Step::wait;
  }
  hurried_ = false;
  counts_.queries++;
  OutstandingRequest& asked = exchange_.expect(Kind::query);
  asked.may_deallocate = about_names;
  end_unnamed(asked);
  pass(message, to_server);
  return Step::done;
}

// Parse, Describe and Close are looked at as a whole, of Bind the names at its beginning.
bool Conversation::ClientMessage::streams() const {
  bool looked_at = type == Frontend::parse || type == Frontend::describe || type == Frontend::close;
  if (bytes.size() < kPiecesFrom || looked_at) return false;
  if (type != Frontend::bind) return true;
  size_t portal_end = body().find('\0');
  return portal_end != std::string_view::npos && body().find('\0', portal_end + 1) != body().npos;
}

// A query is looked at for names of statements, where it can have any, before any of it is passed
// on.
size_t Conversation::needed_of(const ClientMessage& message) const {
  bool looked_at = message.type == Frontend::query && !hurried_ && has_names();
  if (looked_at) return std::min(message.size, kMostSqlLookedAt);
  return message.streams() ? 0 : message.size;
}

bool Conversation::worth_a_server(std::string_view bytes) const {
  std::optional<ClientMessage> message = next_message(bytes);
  return message && message->bytes.size() >= needed_of(*message);
}

bool Conversation::pass_unseen(std::string_view bytes) {
  std::optional<ClientMessage> message = next_message(bytes);
  return hurried_ = message && message->type == Frontend::query;
}

size_t Conversation::size_to_hold(std::string_view bytes) const {
  std::optional<ClientMessage> message = next_message(bytes);
  if (!message || message->bytes.size() < kPiecesFrom) return 0;
  size_t needed = needed_of(*message);
  return message->bytes.size() < needed ? needed : 0;
}

void Conversation::refuse_message(const wire::ErrorFields& why) {
  if (server_ == nullptr)
    refuse(why);
  else
    message_refusal_ = std::make_unique<wire::ErrorFields>(why);
}

size_t Conversation::answer_client(std::string_view bytes, std::string& to_client) {
  size_t used = std::min<uint64_t>(client_body_, bytes.size());
  client_body_ -= used;
  while (client_body_ == 0) {
    std::optional<ClientMessage> message = next_message(bytes.substr(used));
    if (!message || !answer_one(*message, to_client)) break;
    drop(*message);
    used += message->bytes.size();
  }
  return used;
}

// False if it needs a server.
bool Conversation::answer_one(const ClientMessage& message, std::string& to_client) {
  switch (message.type) {
    case Frontend::copy_data:  // Data of a COPY that has ended.
    case Frontend::copy_done:
    case Frontend::copy_fail:
      return true;
    case Frontend::flush:
      if (!refusal_) return true;  // There is nothing to be flushed.
      break;
    case Frontend::terminate:
      return false;
    default:
      break;
  }
  if (!refusal_) return false;
  bool ends = message.type == Frontend::query || message.type == Frontend::sync ||
              message.type == Frontend::function_call;
  bool tells = !refusal_->told && message.type != Frontend::flush;
  if (tells) wire::put_error(to_client, refusal_->why);
  refusal_->told |= tells;
  if (ends) {
    wire::put_ready_for_query(to_client, transaction_lost_ ? 'E' : 'I');
    refusal_.reset();
    exchange_.phase = Phase::idle;
  }
  return true;
}

}  // namespace halogen::proxy
