#include "proxy/conversation/conversation.h"

#include <algorithm>
#include <atomic>

#include "base/error.h"

namespace halogen::proxy {
namespace {

std::atomic<uint64_t> last_id = 0;

}  // namespace

Conversation::Conversation(Options options)
    : texts_(options.texts),
      startup_(std::move(options.startup)),
      pooled_(options.pooled),
      id_(++last_id) {}

void Conversation::attach(ServerState& server, std::string& to_server) {
  CHECK(server_ == nullptr && exchange_.outstanding.empty(),
        "invariant 1: a server is taken while another owes answers");
  server_ = &server;
  fatal_.reset();
  message_refusal_.reset();
  copy_broken_by_.reset();
  exchange_.transaction_status = transaction_lost_ ? 'E' : 'I';
  all_dropped_ = 0;
  bool a_strangers =
      server.owner != id_ && (server.state->sequence_used || !server.names.items.empty());
  if (server.startup != startup_ || server.state->restore != state_->restore ||
      server.state->listen != state_->listen || a_strangers) {
    inject(to_server).restore(startup_, state_->restore, listen_items(state_->listen));
    restoring_ = true;
    server.startup = startup_;
  }
  if (std::exchange(transaction_lost_, false)) inject(to_server).failed_transaction();
  server.owner = id_;
}

void Conversation::begins_under(const std::string& defaults) {
  if (!std::exchange(has_defaults_, true)) startup_.insert(0, defaults);
}

void Conversation::sync(std::string& to_server) { inject(to_server).sync(Job::restore); }

void Conversation::release() {
  heard_ = state_->listen;
  notified_itself_ = held_ = false;
}

void Conversation::detach() {
  CHECK(at_rest(), "invariant 3: a server is let go of in the middle of something");
  server_ = nullptr;
  forget_what_is_lost();
}

bool Conversation::at_rest() const {
  return exchange_.at_rest() && client_body_ == 0 && server_body_ == 0 && !refusal_ &&
         !transaction_lost_;
}

std::string_view Conversation::pinned_by() const {
  return state_->pins.empty() ? std::string_view{} : state_->pins.front();
}

bool Conversation::server_lost(const wire::ErrorFields& why, std::string& to_client) {
  if (server_ == nullptr) return true;
  bool sayable = server_body_ == 0 || server_body_dropped_;
  transaction_lost_ |= exchange_.transaction_status != 'I';
  const char status = transaction_lost_ ? 'E' : 'I';
  // Also of a request that has failed already: what it did before that may be lost, as what the
  // session held.
  bool told = false;
  bool silent = true;
  bool open = exchange_.phase != Phase::idle;
  for (OutstandingRequest& one : exchange_.outstanding) {
    if (one.hidden() || one.is_data() || one.doubtful) continue;
    if (!std::exchange(told, true)) wire::put_error(to_client, why);
    silent = false;
    open = !one.ends_in_ready();
    if (open) continue;
    wire::put_ready_for_query(to_client, status);
    told = false;
  }
  if (open || (silent && (transaction_lost_ || !pinned_by().empty())))
    refusal_ = std::make_unique<Refusal>(Refusal{why, told});
  undo_before(exchange_.outstanding.end());
  exchange_.outstanding.clear();
  client_body_dropped_ = true;
  server_body_ = 0;
  exchange_.transaction_status = 'I';
  exchange_.phase = open ? Phase::asked : Phase::idle;
  restoring_ = waiting_ = sql_names_bound_ = false;
  notified_itself_ = held_ = false;
  verified_.reset();
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
