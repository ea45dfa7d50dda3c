// outgoing_traffic.h: the agent's side of ../outgoing: connections that a compute itself makes
// (postgres_fdw, dblink, subscriptions, programs of extensions), if its endpoint may make any.
#pragma once
#include <memory>

#include "compute/agent/room.h"
#include "compute/agent/supervisor.h"

namespace halogen::compute {

class OutgoingTraffic {
 public:
  // Throws unavailable, saying what to do, if this machine cannot give rooms a network.
  static void require_possible();

  // For the room in which the process `pid` lives; `log` is the program's. Returns at once. Throws
  // io. The room has no network any more once this is destroyed, or the platform ends.
  OutgoingTraffic(Supervisor& supervisor, const fs::path& libraries, int pid, fs::path log);
  ~OutgoingTraffic() { process_->dismiss(); }
  OutgoingTraffic(const OutgoingTraffic&) = delete;
  OutgoingTraffic& operator=(const OutgoingTraffic&) = delete;

  int pid() const { return process_->pid(); }
  // Throws unavailable, with the program's last words, if it has ended; timed_out.
  void wait_ready(Deadline deadline);

 private:
  const fs::path log_;
  UniqueFd ready_;  // One byte comes once the network is there.
  std::shared_ptr<Child> process_;
};

}  // namespace halogen::compute
