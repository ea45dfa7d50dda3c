#include "proxy/conversation/conversation.h"

#include <algorithm>
#include <atomic>

#include "base/error.h"

namespace halogen::proxy {
namespace {

std::atomic<uint64_t> last_id = 0;

// Fails in a transaction block of its own making, which is then what the client believes it is in.
constexpr std::string_view kFailedTransaction =
    "BEGIN; ROLLBACK TO SAVEPOINT \"halogen: the transaction was lost\"";

}  // namespace

Conversation::Conversation(Options options)
    : texts_(options.texts),
      startup_(std::move(options.startup)),
      pooled_(options.pooled),
      id_(++last_id) {}

void Conversation::attach(ServerState& server, std::string& to_server) {
  CHECK(server_ == nullptr && expected_.empty());
  server_ = &server;
  fatal_.reset();
  message_refusal_.reset();
  status_ = transaction_lost_ ? 'E' : 'I';
  all_dropped_ = 0;
  bool strangers_sequences = server.state->sequence_used && server.owner != id_;
  if (server.startup != startup_ || server.state->restore != state_->restore ||
      server.state->listen != state_->listen || strangers_sequences)
    restore(to_server);
  if (transaction_lost_) {
    wire::put_query(to_server, kFailedTransaction);
    expect(Expected::Kind::query, Expected::Job::abort);
    server.unnamed.reset();
    transaction_lost_ = false;
  }
  server.owner = id_;
}

// In the extended protocol and without Sync: should it fail before it begins, the server skips what
// the client says behind it.
void Conversation::restore(std::string& to_server) {
  std::string parse = restore_statement(startup_, state_->restore, listen_items(state_->listen));
  parse.append("\0\0\0", 3);
  wire::put_message(to_server, 'P', std::string("\0", 1) + parse);
  expect(Expected::Kind::parse, Expected::Job::restore);
  wire::put_message(to_server, 'B', std::string_view("\0\0\0\0\0\0\0\0", 8));
  expect(Expected::Kind::bind, Expected::Job::restore);
  wire::put_message(to_server, 'E', std::string_view("\0\0\0\0\0", 5));
  expect(Expected::Kind::execute, Expected::Job::restore);
  restoring_ = true;
  server_->startup = startup_;
  server_->unnamed.reset();
}

void Conversation::sync(std::string& to_server) {
  wire::put_message(to_server, 'S');
  expect(Expected::Kind::sync, Expected::Job::restore);
}

void Conversation::release() {
  heard_ = state_->listen;
  notified_itself_ = held_ = false;
}

void Conversation::detach() {
  CHECK(at_rest());
  server_ = nullptr;
  forget_what_is_lost();
}

bool Conversation::at_rest() const {
  return expected_.empty() && !in_exchange_ && status_ == 'I' && client_body_ == 0 &&
         server_body_ == 0 && !refusal_ && !transaction_lost_;
}

std::string_view Conversation::pinned_by() const {
  return state_->pins.empty() ? std::string_view{} : state_->pins.front();
}

bool Conversation::server_lost(const wire::ErrorFields& why, std::string& to_client) {
  if (server_ == nullptr) return true;
  bool sayable = server_body_ == 0 || server_body_dropped_;
  transaction_lost_ |= status_ != 'I';
  const char status = transaction_lost_ ? 'E' : 'I';
  bool told = skipping_;  // The error of the request that has no end yet.
  bool silent = true;
  bool open = in_exchange_;
  for (Expected& one : expected_) {
    if (one.hidden() || one.kind == Expected::Kind::copy_end) continue;
    if (!std::exchange(told, true)) wire::put_error(to_client, why);
    silent = false;
    open = !one.ends_in_ready();
    if (open) continue;
    wire::put_ready_for_query(to_client, status);
    told = false;
  }
  if (open || (silent && (transaction_lost_ || !pinned_by().empty())))
    refusal_ = std::make_unique<Refusal>(Refusal{why, told});
  undo_before(expected_.end());
  expected_.clear();
  client_body_dropped_ = true;
  server_body_ = 0;
  status_ = 'I';
  in_exchange_ = open;
  skipping_ = copy_in_ = restoring_ = waiting_ = settling_ = false;
  notified_itself_ = held_ = false;
  server_ = nullptr;
  forget_what_is_lost();
  return sayable;
}

// What cannot be restored is gone with the server; the client has been told, or will be.
void Conversation::forget_what_is_lost() {
  if (state_->pins.empty() && !state_->sequence_used && state_->deallocations == 0) return;
  auto kept = std::make_shared<SessionState>(*state_);
  kept->pins.clear();
  kept->sequence_used = false;
  kept->deallocations = 0;
  state_ = std::move(kept);
}

}  // namespace halogen::proxy
