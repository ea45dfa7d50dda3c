// What the server says, and what of it the client gets to see.
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

using Kind = Expected::Kind;
using Job = Expected::Job;

[[noreturn]] void unexpected(char type) {
  throw Error(Errc::corrupt, "the compute sent message '{}' where none was expected", type);
}

// FNV-1a.
uint64_t hash_more(uint64_t hash, std::string_view bytes) {
  for (char c : bytes) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return hash;
}

// Names, types and modifiers of the columns; not which table they are from.
uint64_t hash_columns(uint64_t hash, std::string_view body) {
  Reader in(body);
  auto count = in.be_get<uint16_t>();
  for (int i = 0; i < count; i++) {
    hash = hash_more(hash_more(hash, in.cstring()), "/");
    in.skip(6);
    hash = hash_more(hash, as_text(in.take(10)));
    in.skip(2);
  }
  return hash;
}

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
  while (server_body_ == 0 && bytes.size() - used >= kHeader) {
    char type = bytes[used];
    uint32_t length = byteswap(load<uint32_t>(bytes.data() + used + 1));
    if (length < 4 || length > wire::kMaxMessageSize)
      throw Error(Errc::corrupt, "the compute sent a message of length {}", length);
    size_t size = size_t{length} + 1;
    std::string_view there = bytes.substr(used, size);
    Fate fate;
    if (there.size() == size) {
      if (type == 'Z' && (held_ = must_hold())) break;
      flush();
      fate = type == 'A' ? Fate::drop : judge(type, there.substr(kHeader), to_client);
    } else if (size >= kPiecesFrom && there.size() >= kPiecesFrom && type == 'E') {
      flush();
      fate = judge(type, shortened_error(there.substr(kHeader)), to_client);
      server_body_ = size - there.size();
      server_body_dropped_ = fate == Fate::drop;
    } else if (size >= kPiecesFrom &&
               std::string_view("DdVN").find(type) != std::string_view::npos) {
      fate = !expected_.empty() && expected_.front().hidden() ? Fate::drop : Fate::pass;
      server_body_ = size - there.size();
      server_body_dropped_ = fate == Fate::drop;
    } else if (size > kMaxHeld && type != 'E') {
      throw Error(Errc::corrupt, "the compute sent message '{}' of {} bytes", type, size);
    } else {
      break;
    }
    if (fate == Fate::drop) flush();
    used += there.size();
    if (fate == Fate::drop) passed_from = used;
  }
  flush();
  return used;
}

Conversation::Fate Conversation::judge(char type, std::string_view body, std::string& to_client) {
  pop_copy_ends();
  bool hidden = !expected_.empty() && expected_.front().hidden();
  switch (type) {
    case 'D':
    case 'd':
    case 'c':
    case 'V':
    case 'H':
    case 'W':
    case 'N':
      return hidden ? Fate::drop : Fate::pass;
    case '1':
      return answered(Kind::parse);
    case '2':
      return answered(Kind::bind);
    case '3':
      return answered(Kind::close);
    case 't':
    case 'T':
    case 'n':
      return judge_row_description(type, body);
    case 'C':
    case 'I':
    case 's':
      if (expected_.empty()) unexpected(type);
      if (drops_all(body)) {
        all_dropped_++;
        forget_statements();
      }
      block_ended_ |= body.starts_with("ROLLBACK") || body.starts_with("COMMIT");
      if (expected_.front().kind == Kind::execute) return answered(Kind::execute);
      return hidden ? Fate::drop : Fate::pass;
    case 'G':
      copy_in_begins();
      return hidden ? Fate::drop : Fate::pass;
    case 'S':
      return judge_status(body);
    case 'E':
      return judge_error(body, to_client);
    case 'Z':
      return judge_ready(body, to_client);
    default:
      unexpected(type);
  }
}

// The message that is answered goes from the queue.
Conversation::Fate Conversation::answered(Kind kind) {
  if (expected_.empty() || expected_.front().kind != kind) unexpected(static_cast<char>(kind));
  bool hidden = expected_.front().hidden();
  if (expected_.front().job == Job::restore && kind == Kind::execute) restoring_ = false;
  expected_.pop();
  return hidden ? Fate::drop : Fate::pass;
}

// All but those whose Parse is still to be answered.
void Conversation::forget_statements() {
  server_->statements.clear();
  auto forgotten = std::exchange(names_, {});
  for (Expected& one : expected_) {
    if (one.kind != Kind::parse || one.job != Job::name || one.name.empty()) continue;
    server_->statements.put(one.text, kNotDescribed);
    if (auto found = forgotten.find(one.name); found != forgotten.end()) names_.insert(*found);
  }
}

Conversation::Fate Conversation::judge_row_description(char type, std::string_view body) {
  if (expected_.empty()) unexpected(type);
  Expected& front = expected_.front();
  if (front.kind == Kind::query) return front.hidden() ? Fate::drop : Fate::pass;
  if (front.kind != Kind::describe) unexpected(type);
  if (!front.hidden()) {
    if (type != 't') expected_.pop();
    return Fate::pass;
  }
  if (type == 't') {
    hash_ = hash_more(0xcbf29ce484222325, body);
    return Fate::drop;
  }
  if (type == 'T') hash_ = hash_columns(hash_, body);
  Description description = std::max<uint64_t>(hash_, kNotDescribed + 1);
  // An error before may have taken it for skipped.
  if (front.job == Job::verify || server_->statements.find(front.text) != nullptr)
    server_->statements.put(front.text, description);
  if (front.job == Job::learn) {
    learn(front.name, front.text, description);
  } else if (front.job == Job::verify) {
    refreshed_ = front.text->id;
    refresh_failure_.reset();
    // With Sync behind it, that one's answer is waited for.
    waiting_ = std::next(expected_.begin()) != expected_.end();
  }
  expected_.pop();
  return Fate::drop;
}

void Conversation::learn(const std::string& name, const TextPtr& text, Description description) {
  auto note = [&](ClientStatement& statement) {
    if (statement.text == text) statement.description = description;
  };
  if (auto named = names_.find(name); named != names_.end()) note(named->second);
  for (Expected& later : expected_)  // What takes it away may yet be undone.
    if (later.before && later.name == name) note(*later.before);
}

void Conversation::copy_in_begins() {
  if (expected_.empty()) unexpected('G');
  copy_in_ = true;
  // A Sync that is on its way already will be taken for a part of the data.
  for (auto one = std::next(expected_.begin()); one != expected_.end();) {
    if (one->kind == Kind::copy_end) {
      copy_in_ = false;
      return;
    }
    if (one->kind != Kind::sync) return;
    expected_.erase(one);
    one = std::next(expected_.begin());
  }
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
  if (expected_.empty() || expected_.front().hidden()) return false;
  return state_->listen != heard_ || (notified_itself_ && !heard_.empty());
}

void Conversation::tell_view_changes(std::string& to_client) {
  if (view_ == server_->reported) return;
  if (view_)
    for (auto& [name, value] : *server_->reported) {
      auto known = view_->find(name);
      if (known == view_->end() || known->second != value)
        wire::put_parameter_status(to_client, name, value);
    }
  view_ = server_->reported;
}

void Conversation::undo(Expected& one) {
  if (one.kind == Kind::parse && one.text) {
    if (server_->unnamed == one.text) server_->unnamed.reset();
    server_->statements.remove(one.text);
    auto named = names_.find(one.name);
    if (one.job == Job::name && named != names_.end() && named->second.text == one.text)
      names_.erase(named);
  }
  if (one.before) names_[one.name] = std::move(*one.before);
  if (one.ends_unnamed) unnamed_ = std::move(one.unnamed_before);
}

// What comes later may stand on what came before it.
void Conversation::undo_before(std::vector<Expected>::iterator end) {
  TextPtr latest = unnamed_;
  bool undone = false;
  for (auto one = end; one != expected_.begin();) {
    undone |= (--one)->ends_unnamed;
    undo(*one);
  }
  auto later = std::find_if(end, expected_.end(), [](auto& one) { return one.ends_unnamed; });
  if (undone && later != expected_.end()) later->unnamed_before = std::exchange(unnamed_, latest);
}

void Conversation::pop_copy_ends() {
  while (!expected_.empty() && expected_.front().kind == Kind::copy_end) expected_.pop();
}

// After an error Postgres skips what follows up to the next Sync.
void Conversation::skip_to_sync() {
  // A Parse that fails has ended the unnamed statement before.
  if (expected_.front().job == Job::name) expected_.front().unnamed_before.reset();
  undo_before(std::find_if(expected_.begin(), expected_.end(),
                           [](const Expected& one) { return one.kind == Kind::sync; }));
  while (!expected_.empty() && expected_.front().kind != Kind::sync) expected_.pop();
  skipping_ = expected_.empty();
  waiting_ = waiting_ && std::any_of(expected_.begin(), expected_.end(),
                                     [](const Expected& one) { return one.job == Job::verify; });
  copy_in_ = false;
}

Conversation::Fate Conversation::judge_error(std::string_view body, std::string& to_client) {
  wire::ErrorFields fields = wire::parse_error(as_bytes(body));
  bool unrestored = restoring_ && !expected_.empty() && expected_.front().job == Job::restore;
  if (fields.severity == "FATAL" || fields.severity == "PANIC" || unrestored) {
    fatal_ = std::make_unique<wire::ErrorFields>(std::move(fields));
    return Fate::drop;
  }
  if (expected_.empty()) return Fate::pass;
  Expected& front = expected_.front();
  copy_in_ = false;
  if (front.ends_in_ready()) {
    if (front.before) names_[front.name] = std::move(*front.before);
    return front.hidden() ? Fate::drop : Fate::pass;
  }
  Fate fate = Fate::pass;
  if (front.job == Job::raise) {
    // In a failed transaction nobody looks whether a name is taken.
    bool failed = status_ == 'E' && !block_ended_ && front.replacement->sqlstate == "42P05";
    wire::put_error(to_client, failed ? transaction_failed() : *front.replacement);
    fate = Fate::drop;
  }
  uint64_t text = front.text ? front.text->id : 0;
  skip_to_sync();
  refreshed_ = 0;
  if (!expected_.empty() && expected_.front().job == Job::verify) {
    refreshed_ = text;
    refresh_failure_ = std::make_unique<wire::ErrorFields>(std::move(fields));
    fate = Fate::drop;
  }
  return fate;
}

Conversation::Fate Conversation::judge_ready(std::string_view body, std::string& to_client) {
  if (expected_.empty() || !expected_.front().ends_in_ready() || body.size() != 1) unexpected('Z');
  status_ = body[0];
  block_ended_ = false;
  copy_in_ = false;
  Expected& front = expected_.front();
  Job job = front.job;
  bool hidden = front.hidden();
  expected_.pop();
  pop_copy_ends();
  if (job == Job::verify) waiting_ = false;
  settling_ = settling_ && std::any_of(expected_.begin(), expected_.end(),
                                       [](const Expected& one) { return one.ends_in_ready(); });
  tell_view_changes(to_client);
  if (hidden) return Fate::drop;
  if (expected_.empty() && !skipping_) in_exchange_ = false;
  if (status_ == 'I') counts_.transactions++;
  return Fate::pass;
}

}  // namespace halogen::proxy
