// What a session tells of itself to the census, and what it counts for that.
#include <openssl/ssl.h>

#include "proxy/session/session.h"

namespace halogen::proxy {
namespace {

const std::string kNowhere;

SystemTime wall_time(steady_clock::time_point at) {
  auto ago = std::chrono::duration_cast<SystemTime::duration>(steady_clock::now() - at);
  return std::chrono::system_clock::now() - ago;
}

int port_of(std::string_view peer) {
  int port = 0;
  for (char c : peer.substr(peer.rfind(':') + 1))
    if (c >= '0' && c <= '9') port = port * 10 + (c - '0');
  return port;
}

// A number that stands for an object while it lives.
uint64_t id_of(const void* object) { return reinterpret_cast<uint64_t>(object); }

}  // namespace

uint64_t Session::id() const { return id_of(this); }

const std::string& Session::endpoint() const {
  bool in = state_ == State::waking || state_ == State::active;
  return in ? route_.endpoint : kNowhere;
}

std::string Session::database() const {
  std::string_view given = parameter("database");
  return std::string(given.empty() ? user_ : given);
}

PoolMode Session::pool_mode() const {
  if (is_admin()) return PoolMode::statement;
  return route_.pooled ? PoolMode::transaction : PoolMode::session;
}

ClientState Session::client_state() const {
  if (is_admin()) return ClientState::active;
  if (relay_ != nullptr || !pin_.empty()) return ClientState::pinned;
  if (waits_since_ || state_ == State::waking)
    return usable_ ? ClientState::waiting : ClientState::waking;
  if (!server_) return ClientState::parked;
  return talk_ && talk_->movable() ? ClientState::idle : ClientState::active;
}

void Session::describe(PoolerStatus& into, bool details) const {
  ClientState state = client_state();
  PoolerPool& pool = pool_row(into, database(), user_, pool_mode());
  pool.clients[static_cast<size_t>(state)]++;
  if (state == ClientState::pinned) pool.pinned_by[relay_ != nullptr ? "replication" : pin_]++;
  if (server_) pool.servers_used++;
  if (waits_since_)
    pool.longest_wait = std::max(
        pool.longest_wait,
        std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - *waits_since_));
  if (!details) return;
  describe_client(into.clients.emplace_back());
  if (server_) describe_server(into.servers.emplace_back());
}

void Session::describe_client(PoolerClient& client) const {
  client.database = database();
  client.role = user_;
  client.mode = pool_mode();
  client.state = client_state();
  if (client.state == ClientState::pinned)
    client.pinned_by = relay_ != nullptr ? "replication" : pin_;
  client.address = address_.str();
  client.port = port_of(peer_);
  client.application_name = parameter("application_name");
  if (talk_ && talk_->view())
    if (auto found = talk_->view()->find("application_name"); found != talk_->view()->end())
      client.application_name = found->second;
  if (ssl_st* ssl = client_.ssl())
    client.tls = fmt::format("{}/{}", SSL_get_version(ssl), SSL_get_cipher_name(ssl));
  client.pid = cancel_key_ ? cancel_key_->pid : 0;
  client.id = id_of(this);
  client.server = id_of(server_.get());
  if (server_) client.server_pid = server_->cancel_target->key.pid;
  client.connected = wall_time(since_);
  client.last_request = wall_time(asked_);
  if (waits_since_)
    client.waited =
        std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - *waits_since_);
  client.queries = queries_;
  client.transactions = transactions_;
}

void Session::describe_server(PoolerServer& server) const {
  server_->describe(server);
  server.database = database();
  server.role = user_;
  server.used = true;
  server.client = id_of(this);
  server.last_used = wall_time(asked_);
}

void Server::describe(PoolerServer& out) const {
  out.id = id_of(this);
  out.pid = cancel_target->key.pid;
  out.socket = cancel_target->socket;
  out.opened = wall_time(opened);
  out.last_used = wall_time(last_used);
  out.prepared_statements = state.statements.size();
}

// Names of databases that do not exist get none: who is here has been greeted.
void Session::begin_tally() {
  TallyPtr& tally = worker_.tallies[{route_.endpoint, database()}];
  if (!tally) tally = std::make_shared<Tally>();
  tally_ = tally;
}

void Session::request_came(size_t bytes) {
  if (!tally_) return;
  tally_->totals.received += bytes;
  if (asking_ && !talk_->nothing_under_way()) return;
  asked_ = steady_clock::now();
  asking_ = true;
  if (!in_transaction_) transaction_began_ = asked_;
}

void Session::request_answered() {
  if (!asking_ || talk_->restoring()) return;
  asking_ = false;
  auto now = steady_clock::now();
  tally_->totals.add_request(now - asked_);
  in_transaction_ = talk_->transaction_status() != 'I';
  if (!in_transaction_) tally_->totals.transaction_time += now - transaction_began_;
}

}  // namespace halogen::proxy
