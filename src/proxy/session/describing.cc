// What a session tells of itself to the census.
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

uint64_t Session::id() const { return client_.id; }

const std::string& Session::endpoint() const {
  bool in = state_ == State::waking || state_ == State::active;
  return in ? login_.route.endpoint : kNowhere;
}

PoolMode Session::pool_mode() const {
  if (AdminSession::is_wanted(login_)) return PoolMode::statement;
  return login_.route.pooled ? PoolMode::transaction : PoolMode::session;
}

ClientState Session::client_state() const {
  if (AdminSession::is_wanted(login_)) return ClientState::active;
  if (relay_ != nullptr || !pin_.reason().empty()) return ClientState::pinned;
  if (stats_.waits_since() || state_ == State::waking)
    return use_.start() ? ClientState::waiting : ClientState::waking;
  if (!server_) return ClientState::parked;
  return talk_ && talk_->movable() ? ClientState::idle : ClientState::active;
}

void Session::describe(PoolerStatus& into, bool details) const {
  ClientState state = client_state();
  PoolerPool& pool = pool_row(into, login_.database(), login_.user, pool_mode());
  pool.clients[static_cast<size_t>(state)]++;
  if (state == ClientState::pinned)
    pool.pinned_by[relay_ != nullptr ? "replication" : pin_.reason()]++;
  if (server_) pool.servers_used++;
  if (stats_.waits_since())
    pool.longest_wait =
        std::max(pool.longest_wait, std::chrono::duration_cast<std::chrono::microseconds>(
                                        steady_clock::now() - *stats_.waits_since()));
  if (!details) return;
  describe_client(into.clients.emplace_back());
  if (server_) describe_server(into.servers.emplace_back());
}

void Session::describe_client(PoolerClient& client) const {
  client.database = login_.database();
  client.role = login_.user;
  client.mode = pool_mode();
  client.state = client_state();
  if (client.state == ClientState::pinned)
    client.pinned_by = relay_ != nullptr ? "replication" : pin_.reason();
  client.address = client_.address.str();
  client.port = port_of(client_.peer);
  client.application_name = login_.parameter("application_name");
  if (talk_ && talk_->view())
    if (auto found = talk_->view()->find("application_name"); found != talk_->view()->end())
      client.application_name = found->second;
  if (ssl_st* ssl = client_.stream.ssl())
    client.tls = fmt::format("{}/{}", SSL_get_version(ssl), SSL_get_cipher_name(ssl));
  client.pid = server_.key() ? server_.key()->pid : 0;
  client.id = client_.id;
  client.server = id_of(server_.get().get());
  if (server_) client.server_pid = server_->cancel_target->key.pid;
  client.connected = wall_time(client_.since);
  client.last_request = wall_time(stats_.asked());
  if (stats_.waits_since())
    client.waited = std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() -
                                                                          *stats_.waits_since());
  client.queries = stats_.queries();
  client.transactions = stats_.transactions();
}

void Session::describe_server(PoolerServer& server) const {
  server_->describe(server);
  server.database = login_.database();
  server.role = login_.user;
  server.used = true;
  server.client = client_.id;
  server.last_used = wall_time(stats_.asked());
}

void Server::describe(PoolerServer& out) const {
  out.id = id_of(this);
  out.pid = cancel_target->key.pid;
  out.socket = cancel_target->socket;
  out.opened = wall_time(opened);
  out.last_used = wall_time(last_used);
  out.prepared_statements = state.statements.size();
}

}  // namespace halogen::proxy
