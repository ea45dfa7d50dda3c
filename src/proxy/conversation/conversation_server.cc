// What the server says, and what of it the client gets to see.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "protocol/session_state.h"
#include "proxy/conversation/conversation.h"

namespace halogen::proxy {
namespace {

constexpr size_t kHeader = 5;
// Larger messages are passed on in pieces, if nothing is to be learned from them.
constexpr size_t kPiecesFrom = 16 * 1024;
// Of all others. The largest by far is a session's report, of 256 KiB.
constexpr size_t kMaxHeld = 1 << 20;
constexpr std::string_view kProtocolViolation = "08P01";
constexpr std::string_view kIntervention = "57";    // A class: shutdown, cancel request, timeout.
constexpr std::string_view kNoSavepoint = "3B001";  // How a transaction is made to be a failed one.

using wire::Backend;

// The beginning of an error, as if that were all.
std::string shortened_error(std::string_view body) { return std::string(body).append(2, '\0'); }

// A command's tag.
bool drops_all(std::string_view body) {
  return body == std::string_view("DEALLOCATE ALL\0", 15) ||
         body == std::string_view("DISCARD ALL\0", 12);
}

wire::ErrorFields transaction_failed() {
  wire::ErrorFields why;
  why.sqlstate = "25P02";
  why.message = "current transaction is aborted, commands ignored until end of transaction block";
  return why;
}

}  // namespace

void Conversation::unexpected(Backend type) {
  throw Error(Errc::corrupt, "the compute sent message '{}' where none was expected",
              static_cast<char>(type));
}

size_t Conversation::from_server(std::string_view bytes, std::string& to_client) {
  size_t used = 0;
  size_t passed_from = 0;  // What stands from here to `used` is to be passed on.
  auto flush = [&] {
    to_client.append(bytes.substr(passed_from, used - passed_from));
    passed_from = used;
  };
  if (server_body_ > 0) {
    used = std::min<uint64_t>(server_body_, bytes.size());
    server_body_ -= used;
    if (server_body_dropped_) passed_from = used;
  }
  while (server_body_ == 0 && !fatal_ && bytes.size() - used >= kHeader) {
    auto type = Backend(bytes[used]);
    uint32_t length = byteswap(load<uint32_t>(bytes.data() + used + 1));
    if (length < 4 || length > wire::kMaxMessageSize)
      throw Error(Errc::corrupt, "the compute sent a message of length {}", length);
    size_t size = size_t{length} + 1;
    std::string_view there = bytes.substr(used, size);
    Fate fate;
    if (there.size() == size) {
      if (type == Backend::ready_for_query && (held_ = must_hold())) break;
      flush();
      fate = type == Backend::notification ? Fate::drop
                                           : judge(type, there.substr(kHeader), to_client);
    } else if (size >= kPiecesFrom && there.size() >= kPiecesFrom && type == Backend::error) {
      flush();
      fate = judge(type, shortened_error(there.substr(kHeader)), to_client);
      server_body_ = size - there.size();
      server_body_dropped_ = fate == Fate::drop;
    } else if (size >= kPiecesFrom &&
               (type == Backend::data_row || type == Backend::copy_data ||
                type == Backend::function_result || type == Backend::notice)) {
      exchange_.pass_over_data();
      fate = exchange_.front_is_hidden() ? Fate::drop : Fate::pass;
      server_body_ = size - there.size();
      server_body_dropped_ = fate == Fate::drop;
    } else if (size > kMaxHeld && type != Backend::error) {
      throw Error(Errc::corrupt, "the compute sent message '{}' of {} bytes",
                  static_cast<char>(type), size);
    } else {
      break;
    }
    if (fate == Fate::drop) flush();
    used += there.size();
    if (fate == Fate::drop) passed_from = used;
  }
  flush();
  waiting_ = waiting_ && !exchange_.outstanding.empty();
  return used;
}

Conversation::Fate Conversation::judge(Backend type, std::string_view body,
                                       std::string& to_client) {
  exchange_.pass_over_data();
  switch (type) {
    case Backend::data_row:
    case Backend::copy_data:
    case Backend::copy_done:
    case Backend::function_result:
    case Backend::copy_out_response:
    case Backend::copy_both_response:
    case Backend::notice:
      return exchange_.front_is_hidden() ? Fate::drop : Fate::pass;
    case Backend::parse_complete:
      return judge_parsed();
    case Backend::bind_complete:
      return answered(Kind::bind);
    case Backend::close_complete:
      for (size_t kept = exchange_.settle_syncs(); kept > 0; kept--)
        wire::put_ready_for_query(to_client, exchange_.transaction_status);
      return answered(Kind::close);
    case Backend::parameter_description:
    case Backend::row_description:
    case Backend::no_data:
      return judge_description(type, body);
    case Backend::command_complete:
    case Backend::empty_query:
    case Backend::portal_suspended:
      return judge_completion(body);
    case Backend::copy_in_response:
      if (exchange_.outstanding.empty()) unexpected(type);
      exchange_.copy_in_begins();
      waiting_ = false;
      return exchange_.front_is_hidden() ? Fate::drop : Fate::pass;
    case Backend::parameter_status:
      return judge_status(body);
    case Backend::error:
      return judge_error(body, to_client);
    case Backend::ready_for_query:
      return judge_ready(body, to_client);
    default:
      unexpected(type);
  }
}

Conversation::Fate Conversation::judge_completion(std::string_view body) {
  if (exchange_.outstanding.empty()) unexpected(Backend::command_complete);
  if (drops_all(body)) {
    all_dropped_++;
    forget_statements();
  }
  block_ended_ |= body.starts_with("ROLLBACK") || body.starts_with("COMMIT");
  if (body.starts_with("COPY ")) exchange_.copy_has_ended();
  if (exchange_.outstanding.front().kind == Kind::execute) return answered(Kind::execute);
  return exchange_.front_is_hidden() ? Fate::drop : Fate::pass;
}

// The message that is answered goes from the queue.
Conversation::Fate Conversation::answered(Kind kind) {
  if (exchange_.outstanding.empty() || exchange_.outstanding.front().kind != kind)
    throw Error(Errc::corrupt, "the compute answered what it was not asked");
  OutstandingRequest& front = exchange_.outstanding.front();
  bool hidden = front.hidden();
  if (front.job == Job::restore && kind == Kind::execute) restoring_ = false;
  if (front.job == Job::unname && state_->has_prepared(front.name))
    state_ = server_->state = without_prepared(*state_, front.name);
  exchange_.outstanding.pop();
  return hidden ? Fate::drop : Fate::pass;
}

Conversation::Fate Conversation::judge_status(std::string_view body) {
  auto [name, value] = wire::parse_parameter_status(as_bytes(body));
  if (name == kSessionStateParameter) {
    take_report(value);
    return Fate::drop;
  }
  if (name == kNotifiedParameter) {
    notified_ = parse_number(value);
    notified_itself_ = true;
    return Fate::drop;
  }
  if (name == kEpochParameter) {
    epoch_ = parse_number(value);
    return Fate::drop;
  }
  if (name == kVacateParameter) {
    vacate_ = static_cast<uint32_t>(parse_number(value));
    return Fate::drop;
  }
  if (name == kParseSettingsParameter) {
    server_->parse_changes = parse_items_of(value);
    return Fate::drop;
  }
  if (name == kDeallocatedParameter) {
    deallocated(std::string(value));
    return Fate::drop;
  }
  bool same_view = view_ == server_->reported;
  auto known = server_->reported->find(std::string(name));
  if (known == server_->reported->end() || known->second != value) {
    auto changed = std::make_shared<Reported>(*server_->reported);
    (*changed)[std::string(name)] = value;
    server_->reported = changed;
  }
  if (!same_view) return Fate::drop;  // They are compared when all has come.
  view_ = server_->reported;
  return Fate::pass;
}

void Conversation::take_report(std::string_view report) {
  uint64_t before = server_->state->deallocations;
  server_->state = parse_session_state(report);
  state_ = server_->state;
  if (state_->deallocations > before + std::exchange(all_dropped_, 0)) forget_statements();
}

// Postgres listens before it is ready for the next query, and tells a session of its own
// notifications before that.
bool Conversation::must_hold() const {
  if (exchange_.outstanding.empty() || exchange_.front_is_hidden()) return false;
  return state_->listen != heard_ || (notified_itself_ && !heard_.empty());
}

void Conversation::tell_view_changes(std::string& to_client) {
  if (view_ == server_->reported) return;
  if (view_ && *view_ == *server_->reported) {
    // Both keep the one that more have, so that soon all have the same, and none are compared.
    const bool ours = view_.use_count() > server_->reported.use_count();
    (ours ? server_->reported : view_) = ours ? view_ : server_->reported;
    return;
  }
  if (view_)
    for (auto& [name, value] : *server_->reported) {
      auto known = view_->find(name);
      if (known == view_->end() || known->second != value)
        wire::put_parameter_status(to_client, name, value);
    }
  view_ = server_->reported;
}

// After an error Postgres skips what follows up to the next Sync.
void Conversation::skip_to_sync() {
  OutstandingRequests& all = exchange_.outstanding;
  // A Parse that fails has ended the unnamed statement before.
  if (all.front().job == Job::name) all.front().unnamed_before = {};
  undo_before(
      std::find_if(all.begin(), all.end(), [](auto& one) { return one.kind == Kind::sync; }));
  while (!all.empty() && all.front().kind != Kind::sync) all.pop();
  exchange_.phase = all.empty() ? Phase::skipping : Phase::asked;
}

// As Postgres ends a client that says something else in the middle of its COPY.
void Conversation::end_for_broken_copy(wire::ErrorFields fields, std::string& to_client) {
  fields.sqlstate = kProtocolViolation;
  fields.message = fmt::format("unexpected message type 0x{:02X} during COPY from stdin",
                               static_cast<unsigned char>(*copy_broken_by_));
  wire::put_error(to_client, fields);
  fatal_ = std::make_unique<wire::ErrorFields>(
      wire::ErrorFields{"FATAL", std::string(kProtocolViolation),
                        "terminating connection because protocol synchronization was lost"});
}

Conversation::Fate Conversation::judge_error(std::string_view body, std::string& to_client) {
  wire::ErrorFields fields = wire::parse_error(as_bytes(body));
  OutstandingRequests& all = exchange_.outstanding;
  Job job = all.empty() ? Job::none : all.front().job;
  bool unrestored =
      (restoring_ && job == Job::restore) || (job == Job::abort && fields.sqlstate != kNoSavepoint);
  if (fields.severity == "FATAL" || fields.severity == "PANIC" || unrestored) {
    fatal_ = std::make_unique<wire::ErrorFields>(std::move(fields));
    return Fate::drop;
  }
  if (all.empty()) return Fate::pass;
  if (copy_broken_by_ && fields.message.ends_with(kNotInCopy)) {
    end_for_broken_copy(std::move(fields), to_client);
    return Fate::drop;
  }
  copy_broken_by_.reset();
  OutstandingRequest& front = all.front();
  exchange_.copy_has_failed(fields.sqlstate.starts_with(kIntervention));
  bool in_our_words = pooled_ && body.find(kServerNamePrefix) != std::string_view::npos;
  Fate fate = in_our_words ? Fate::drop : Fate::pass;
  std::string told;
  if (in_our_words) wire::put_message(told, 'E', in_clients_words(body));
  if (front.ends_in_ready()) {
    if (front.hidden()) return Fate::drop;
    to_client += told;
    return fate;
  }
  if (front.job == Job::raise) {
    // In a failed transaction nobody looks whether a name is taken.
    bool failed = exchange_.transaction_status == 'E' && !block_ended_ &&
                  front.replacement->sqlstate == "42P05";
    told.clear();
    wire::put_error(told, failed ? transaction_failed() : *front.replacement);
    fate = Fate::drop;
  }
  TextPtr text = front.text;
  skip_to_sync();
  if (!all.empty() && all.front().job == Job::verify) {
    if (!verified_) verified_ = std::make_unique<std::map<uint64_t, Verified>>();
    if (text) (*verified_)[text->id].failure = std::move(fields);
    return Fate::drop;
  }
  if (!all.empty() && all.front().hidden()) return Fate::drop;  // Of ours alone.
  // Whether anything more will come is not known: who waits must see to that.
  if (!all.empty() && all.front().doubtful) waiting_ = false;
  to_client += told;
  return fate;
}

Conversation::Fate Conversation::judge_ready(std::string_view body, std::string& to_client) {
  OutstandingRequests& all = exchange_.outstanding;
  if (all.empty() || !all.front().ends_in_ready() || body.size() != 1)
    unexpected(Backend::ready_for_query);
  block_ended_ = false;
  if (exchange_.keeps_ready(body[0])) return Fate::drop;
  bool visible = exchange_.ready(body[0]);
  tell_view_changes(to_client);
  if (!visible) return Fate::drop;
  if (body[0] == 'I') counts_.transactions++;
  return Fate::pass;
}

}  // namespace halogen::proxy
