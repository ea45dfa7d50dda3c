// endpoints.h: what the proxy asks of control.
//
// Callbacks run on a thread of control's, or at once where the answer is known; the proxy hands
// them to its own. Every callback is called exactly once.
#pragma once
#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/ip_address.h"
#include "protocol/compute_host.h"

namespace halogen {

// What decides whether a role may log in, as of one moment.
struct RoleSecret {
  std::string verifier;   // SCRAM-SHA-256$...
  uint32_t oid = 0;       // 0: not known.
  bool can_login = true;  // False: refused, but only after the right password.
  // Whoever logs in from then on is refused as with a wrong password.
  std::optional<std::chrono::system_clock::time_point> valid_until;
  // Where a running compute was asked: which start of it, and its epoch (session_state.h) from
  // before it was asked. 0 otherwise.
  uint64_t start = 0;
  uint64_t epoch = 0;

  bool has_expired() const {
    return valid_until && *valid_until < std::chrono::system_clock::now();
  }
};

// What came of an asynchronous call: a value, or the error.
template <typename T>
struct Outcome {
  std::optional<T> value;
  std::optional<Error> error;
};

// How many server connections clients of an endpoint share, and how long things may take.
struct PoolSettings {
  int pool_size = 0;      // Per database and role; 0 = nine tenths of max_connections.
  int min_pool_size = 0;  // Kept open while the compute runs, once there has been one.
  // Times of 0 mean no bound, but for server_lifetime: 0 closes a server after each use.
  std::chrono::milliseconds query_wait_timeout{120'000};
  std::chrono::milliseconds server_idle_timeout{600'000};
  std::chrono::milliseconds server_lifetime{3'600'000};
  // How long a client that does nothing, but holds what cannot be moved, keeps the compute awake.
  std::chrono::milliseconds pinned_idle_timeout{3'600'000};
};

class Endpoints {
 public:
  virtual ~Endpoints() = default;

  // True if there is such an endpoint ("ep-..." without "-pooler"). Never blocks for long.
  virtual bool exists(const std::string& endpoint_id) = 0;
  // The endpoint of a branch ("br-..."), if there is one. Never blocks for long.
  virtual std::optional<std::string> endpoint_of_branch(const std::string& branch_id) = 0;
  // An endpoint for reading what is at a moment of this one's branch, which is there as long as it
  // is used: of "neon_lsn:0/1A2B3C4" or "neon_timestamp:2026-11-23T01:26:10Z". invalid_argument or
  // gone for a moment that is not in history, conflict if too many are looked at.
  virtual void look_at(const std::string& endpoint_id, const std::string& moment,
                       std::function<void(Outcome<std::string>)> done) = 0;
  // False if the endpoint's project keeps a list of addresses and this one is not on it. True for
  // an endpoint that does not exist. Never blocks for long.
  virtual bool address_allowed(const std::string& endpoint_id, const IpAddress& address) = 0;
  // not_found if there is no such role, or it has no password; conflict if the endpoint is disabled
  // or its project deleted, in words for clients that have proven nothing. May have to ask the
  // running compute, or to start it.
  virtual void role_secret(const std::string& endpoint_id, const std::string& role,
                           std::function<void(Outcome<RoleSecret>)> done) = 0;
  // Starts the endpoint's compute unless it runs. Any number of callers share one start.
  virtual void wake(const std::string& endpoint_id,
                    std::function<void(Outcome<ComputeAddress>)> done) = 0;
  // Counts uses: an endpoint with none for its idle timeout is suspended, and never while it has
  // one. A client uses its compute while something of its is under way there that cannot be put
  // off or moved. use_began() tells which start of the compute (ComputeAddress::start) can be used
  // right away; nullopt if wake() must be asked. Both come in pairs, and never block for long.
  virtual std::optional<uint64_t> use_began(const std::string& endpoint_id) = 0;
  virtual void use_ended(const std::string& endpoint_id) = 0;
  // As set for the endpoint now.
  virtual PoolSettings pool_settings(const std::string& endpoint_id) = 0;
};

}  // namespace halogen
