// compute_use.h: an endpoint's compute, as one session needs it: woken, and kept awake while in
// use.
#pragma once
#include <optional>

#include "proxy/pool/pool.h"
#include "proxy/pool/server.h"
#include "proxy/session/client_side.h"

namespace halogen::proxy {

class ComputeUse {
 public:
  explicit ComputeUse(ClientSide& client)
      : client_(client), shared_(client.shared), login_(client.login) {}
  ~ComputeUse() { end(); }
  ComputeUse(const ComputeUse&) = delete;
  ComputeUse& operator=(const ComputeUse&) = delete;

  // The compute is not suspended from here on, until end(). Any number of either, in any order.
  void begin();
  void end();
  // Which start of the compute takes queries, while in use; nullopt: it has to be woken.
  std::optional<uint64_t> start() const { return start_; }
  void starts_as(uint64_t start) { start_ = start; }
  // The same, asked anew and without use.
  std::optional<uint64_t> current_start() const;

  Task<ComputeAddress> wake(Deadline deadline);
  // Who asks for a server decides what it means that the compute has no room for one: for a pool,
  // nullptr is returned; a newcomer to it is refused where its role or database has a limit.
  enum class For { session, pool, newcomer_to_pool };
  // Wakes the compute and connects; again, where it goes away meanwhile. Throws Refused.
  Task<ServerPtr> connect(const wire::Parameters& parameters, Deadline deadline, For whom);

 private:
  Task<void> listeners_ready(uint64_t start, Deadline deadline);
  Pools::Full full_of(const wire::ErrorFields& refused) const;
  bool make_room(const wire::ErrorFields& refused, steady_clock::time_point& until);

  ClientSide& client_;
  Shared& shared_;
  const Login& login_;
  bool in_use_ = false;
  std::optional<uint64_t> start_;
};

}  // namespace halogen::proxy
