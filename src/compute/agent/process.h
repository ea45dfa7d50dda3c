// process.h: finding and ending processes without ever hitting a stranger.
//
// Without rooms, every process of a compute, postmaster and backends alike, keeps the data
// directory as its working directory (backends leave the postmaster's session and group, and
// overwrite their environment, so nothing else marks them). A signal goes through a pidfd that was
// opened before the process was recognised, so a reused pid cannot be hit.
#pragma once
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/file.h"

namespace halogen::compute {

// Throws permission_denied if we are root: PostgreSQL refuses to run so, rightly.
void refuse_root();

// Sends SIGKILL to every process of our own user that runs a program named `postgres` in `folder`
// or below, and waits until all of them are gone. Returns how many there were. timed_out.
int kill_postgres_in(const fs::path& folder, Deadline deadline);

// Sends SIGKILL to every process in whose root one of these files is at kInsideMarker (rooms/), and
// waits until all of them are gone. Returns how many there were. timed_out.
int kill_rooms(const std::vector<fs::path>& markers, Deadline deadline);

// Ends with -1 and errno if there is no such process.
UniqueFd open_pidfd(int pid);
void send_signal(const UniqueFd& pidfd, int signal);

// The System V segment (and the dynamic segments it leads to) that a killed postmaster left behind,
// named by its postmaster.pid. Does nothing if anyone is attached to it. Call when all is dead.
void remove_shared_memory(const fs::path& data_directory);

// Changes with every boot of the machine: what was written without fsync before is not trusted.
std::string machine_boot_id();

}  // namespace halogen::compute
