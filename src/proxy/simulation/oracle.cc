#include "proxy/simulation/oracle.h"

#include "base/error.h"
#include "proxy/simulation/compute.h"

namespace halogen::proxy::simulation {
namespace {

using testing::FakePostgres;

std::string sqlstate_of(const Message& message) {
  return message.type == 'E' ? wire::parse_error(as_bytes(message.body)).sqlstate : std::string();
}

bool is_fatal(const Message& message) {
  return message.type == 'E' && wire::parse_error(as_bytes(message.body)).severity == "FATAL";
}

// Errors are the same if their code is: their texts have names of statements in them.
bool same(const Message& one, const Message& other) {
  if (one.type != other.type) return false;
  return one.type == 'E' ? sqlstate_of(one) == sqlstate_of(other) : one.body == other.body;
}

}  // namespace

Oracle::Oracle(Journal& journal, size_t client, bool pooled, testing::FakeSession::Settings startup)
    : journal_(journal),
      pooled_(pooled),
      name_(fmt::format("client{}", client)),
      own_(fmt::format("c{}x", client)),
      startup_(std::move(startup)) {
  begin();
}

void Oracle::begin() {
  model_.emplace(cluster_, FakePostgres::Options{startup_, false});
  before_.reset();
  last_.reset();
}

void Oracle::said(std::string_view bytes) {
  half_said_ += bytes;
  while (auto one = wire::parse_message(as_bytes(half_said_))) {
    if (!lost_) unrun_.push_back({one->type, std::string(as_text(one->body))});
    half_said_.erase(0, one->size);
  }
}

// Up to the next message that is answered.
void Oracle::run_on() {
  while (owed_.empty() && !unrun_.empty()) {
    Message message = std::move(unrun_.front());
    unrun_.pop_front();
    if (message.type != 'H') {
      before_.emplace(*model_);
      last_ = message;
      taken_ = 0;
    }
    feed(message);
  }
}

void Oracle::feed(const Message& message) {
  std::string out;
  model_->take(message.bytes(), out);
  model_->log.clear();
  while (auto one = wire::parse_message(as_bytes(out))) {
    owed_.push_back({one->type, std::string(as_text(one->body))});
    out.erase(0, one->size);
  }
}

bool Oracle::settled() {
  if (lost_) return false;
  run_on();
  return owed_.empty();
}

void Oracle::greeted(const Message& message) {
  bool random = message.type == 'R' || message.type == 'K';  // It may look like a token.
  if (!random) check_tokens(message);
  if (message.type != 'S') return;
  auto [name, value] = wire::parse_parameter_status(as_bytes(message.body));
  auto reported = model_->reported();
  auto right = reported.find(std::string(name));
  if (right == reported.end() || right->second != value) found("a greeting tells wrongly", message);
}

void Oracle::heard(const Message& message, bool may_lose) {
  check_tokens(message);
  asked_for_data_ = message.type == 'G';
  if (lost_) return heard_while_lost(message);
  run_on();
  if (!owed_.empty() && same(owed_.front(), message)) {
    owed_.pop_front();
    taken_++;
    return;
  }
  std::string sqlstate = sqlstate_of(message);
  bool fatal = is_fatal(message);
  if (fatal && pooled_) return found("a pooled session is ended", message);
  if (sqlstate == "57P01" && may_lose) {
    lost_ = true;
    ended_ = fatal;
    unrun_.clear();
    owed_.clear();
    return;
  }
  if (!fatal && excused(sqlstate) && last_) return fail_in_place(sqlstate, message);
  found("another answer than a private session's", message);
}

bool Oracle::excused(const std::string& sqlstate) const {
  if (sqlstate == "57014") return cancels_heard_ < cancels_;
  return sqlstate == "53300" || sqlstate == "57P03";
}

// The last message that was to be answered was answered with this error instead: had it been so on
// a private session, what would follow?
void Oracle::fail_in_place(const std::string& sqlstate, const Message& message) {
  if (taken_ > 0) return found("an error comes too late", message);
  if (sqlstate == "57014") cancels_heard_++;
  model_.emplace(*before_);
  owed_.clear();
  model_->interrupt({sqlstate, "in place of the answer"});
  feed(*last_);
  if (owed_.empty() || !same(owed_.front(), message)) return found("an error not due", message);
  owed_.pop_front();
}

void Oracle::heard_while_lost(const Message& message) {
  ended_ |= is_fatal(message);
  if (ended_ && pooled_) return found("a pooled session is ended", message);
  failed_ |= message.type == 'E';
  discarded_ &= message.type != 'E';
  discarded_ |= message.type == 'C' && message.body.starts_with("DISCARD ALL");
  if (message.type == 'D')
    marked_ = discarded_ && !marker_.empty() && message.body.find(marker_) != std::string::npos;
  if (message.type != 'Z' || !marked_) return;
  marked_ = lost_ = false;
  marker_.clear();
  begin();
}

void Oracle::check_tokens(const Message& message) {
  for (const std::string& token : tokens_in(message.body))
    if (!token.starts_with(own_)) found("another client's " + token, message);
}

void Oracle::found(std::string_view what, const Message& heard) {
  journal_.found(name_, fmt::format("{}: heard {}; owed {}", what, in_short(heard.type, heard.body),
                                    owed_in_short()));
}

std::string Oracle::owed_in_short() const {
  if (owed_.empty()) return "nothing";
  std::string text;
  for (const Message& one : owed_) text += in_short(one.type, one.body) + " ";
  return text;
}

}  // namespace halogen::proxy::simulation
