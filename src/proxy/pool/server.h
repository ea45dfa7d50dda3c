// server.h: a connection to a compute, and what it holds.
//
// Belongs to one worker at a time, the one whose session uses it; while it lies in a pool nobody
// reads from it, and it can be moved to another worker.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "base/deadline.h"
#include "protocol/compute_host.h"
#include "protocol/pooler_status.h"
#include "proxy/conversation/conversation.h"
#include "proxy/io/stream.h"
#include "proxy/io/worker.h"
#include "proxy/pool/cancel_keys.h"

namespace halogen::proxy {

// Whose a server connection is, as the compute knew it when that began (kLoginParameter). All is 0
// where the extension is not loaded.
struct ServerLogin {
  uint64_t epoch = 0;  // Changes since then are not in it.
  uint32_t role = 0;
  uint32_t database = 0;
  int role_limit = -1;  // Of connections; -1: none.
  int database_limit = -1;
  std::string defaults{};  // default_items(): of the role, the database.
};

struct Server {
  Server(Worker& the_worker, UniqueFd socket)
      : worker(&the_worker), stream(the_worker.loop, std::move(socket)) {}

  // Nothing has come that would not be ours to read: it is alive, as far as one can see.
  // Just after it was given back a system call is not worth it where the loop would know: what
  // came before the request did is seen before it.
  bool quiet() {
    bool just_used = steady_clock::now() - last_used < std::chrono::milliseconds(10);
    return unread.empty() && ((just_used && stream.undisturbed()) || stream.quiet());
  }
  void move_to(Worker& another);
  void describe(PoolerServer& out) const;

  Worker* worker;
  Stream stream;
  std::string unread;  // The beginning of a message.
  ServerState state;
  CancelTargetPtr cancel_target = std::make_shared<CancelTarget>();
  ServerLogin login;
  uint64_t start = 0;  // Of the compute: ComputeAddress::start.
  steady_clock::time_point opened = steady_clock::now();
  steady_clock::time_point last_used = opened;
};

using ServerPtr = std::shared_ptr<Server>;

// What came of an attempt to connect.
struct Opened {
  ServerPtr server;                          // Ready for a query.
  std::optional<wire::ErrorFields> refused;  // Postgres said no.
  // Neither: the compute is not there, or takes no connections right now.
};

// `parameters` are those of a startup packet. Throws cancelled if `cancel` is set meanwhile,
// timed_out.
Task<Opened> open_server(Worker& worker, const ComputeAddress& address,
                         const wire::Parameters& parameters, Deadline deadline);

}  // namespace halogen::proxy
