// pooler_status.h: what the proxy tells of an endpoint's clients and server connections, for the
// API, the metrics and the admin view. A snapshot: counts of one moment, but not all of the same.
#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/endpoints.h"

namespace halogen {

// Every client that has shown who it is, is in one of these.
enum class ClientState {
  waking,   // Waits for the compute to start.
  waiting,  // In line for a server connection, or it is being opened.
  active,   // Something of it is under way.
  pinned,   // Nothing is, but it holds what cannot be moved: see pinned_by.
  idle,     // Nothing is; a direct connection that has a server while the compute runs.
  parked,   // Has no server, and needs none.
};
constexpr size_t kClientStates = 6;

constexpr std::string_view client_state_name(ClientState state) {
  constexpr std::array<std::string_view, kClientStates> kNames{"waking", "waiting", "active",
                                                               "pinned", "idle",    "parked"};
  return kNames[static_cast<size_t>(state)];
}

enum class PoolMode { transaction, session, statement };  // Pooled, direct, the admin view.

constexpr std::string_view pool_mode_name(PoolMode mode) {
  constexpr std::array<std::string_view, 3> kNames{"transaction", "session", "statement"};
  return kNames[static_cast<size_t>(mode)];
}

using SystemTime = std::chrono::system_clock::time_point;

struct PoolerClient {
  std::string database;
  std::string role;
  PoolMode mode = PoolMode::transaction;
  ClientState state = ClientState::parked;
  std::string pinned_by;
  std::string address;
  int port = 0;
  std::string application_name;
  std::string tls;   // Version and cipher.
  uint32_t pid = 0;  // As the client was told.
  uint64_t id = 0;   // No other client has it at the same time.
  uint64_t server = 0;
  uint32_t server_pid = 0;  // Of the backend it has; 0 if none.
  SystemTime connected;
  SystemTime last_request;
  std::chrono::microseconds waited{0};  // So far, if it waits.
  uint64_t queries = 0;
  uint64_t transactions = 0;
};

struct PoolerServer {
  std::string database;
  std::string role;
  bool used = false;
  uint64_t id = 0;
  uint64_t client = 0;
  uint32_t pid = 0;
  std::string socket;
  SystemTime opened;
  SystemTime last_used;
  size_t prepared_statements = 0;
};

struct PoolerPool {
  std::string database;
  std::string role;
  PoolMode mode = PoolMode::transaction;
  std::array<int, kClientStates> clients{};
  std::map<std::string, int> pinned_by;  // Clients, by what they hold.
  int servers_used = 0;
  int servers_idle = 0;
  int servers_opening = 0;
  int size = 0;  // The most servers it may have; 0 of direct connections, which have no limit here.
  std::chrono::microseconds longest_wait{0};

  int of(ClientState state) const { return clients[static_cast<size_t>(state)]; }
  int waiting() const { return of(ClientState::waking) + of(ClientState::waiting); }
  int all() const {
    int sum = 0;
    for (int count : clients) sum += count;
    return sum;
  }
};

// What has been done since the first client came.
struct PoolerTotals {
  // Upper bounds of the request times that are counted apart.
  static constexpr std::array<std::chrono::microseconds, 12> kBounds{
      std::chrono::microseconds(100),        std::chrono::microseconds(300),
      std::chrono::microseconds(1000),       std::chrono::microseconds(3000),
      std::chrono::microseconds(10'000),     std::chrono::microseconds(30'000),
      std::chrono::microseconds(100'000),    std::chrono::microseconds(300'000),
      std::chrono::microseconds(1'000'000),  std::chrono::microseconds(3'000'000),
      std::chrono::microseconds(10'000'000), std::chrono::microseconds(30'000'000)};

  uint64_t queries = 0;
  uint64_t transactions = 0;
  uint64_t received = 0;  // Bytes from clients.
  uint64_t sent = 0;
  // From the arrival of a request to the last answer to it, with all waiting.
  std::array<uint64_t, kBounds.size() + 1> requests{};
  std::chrono::nanoseconds request_time{0};
  std::chrono::nanoseconds transaction_time{0};
  std::chrono::nanoseconds wait_time{0};  // For a server or a compute.
  std::chrono::steady_clock::time_point since = std::chrono::steady_clock::now();

  void add_request(std::chrono::nanoseconds time) {
    size_t slot = 0;
    while (slot < kBounds.size() && time > kBounds[slot]) slot++;
    requests[slot]++;
    request_time += time;
  }
  void add(const PoolerTotals& other) {
    queries += other.queries;
    transactions += other.transactions;
    received += other.received;
    sent += other.sent;
    for (size_t i = 0; i < requests.size(); i++) requests[i] += other.requests[i];
    request_time += other.request_time;
    transaction_time += other.transaction_time;
    wait_time += other.wait_time;
    since = std::min(since, other.since);
  }
};

struct PoolerStatus {
  std::string endpoint;
  PoolSettings settings;
  int max_connections = 0;  // Of the compute that ran last; 0 if none has.
  uint64_t wakes = 0;       // Starts of the compute that clients waited for.
  std::vector<PoolerPool> pools;
  std::map<std::string, PoolerTotals> totals;  // By database.
  // Where details were asked for.
  std::vector<PoolerClient> clients;
  std::vector<PoolerServer> servers;
};

class Pooler {
 public:
  virtual ~Pooler() = default;

  // With details or without. Waits for the proxy's threads, a second at most: then what they know
  // is missing. Empty while there is no proxy.
  virtual PoolerStatus pooler_status(const std::string& endpoint_id, bool details) = 0;
  // To clients of each endpoint, in bytes, since the proxy began.
  virtual std::map<std::string, uint64_t> bytes_sent() { return {}; }
  // Ends a client (PoolerClient::id): FATAL 57P01. False if there is none, as far as one can see
  // within a second.
  virtual bool end_client(const std::string& endpoint_id, uint64_t client_id) = 0;
};

}  // namespace halogen
