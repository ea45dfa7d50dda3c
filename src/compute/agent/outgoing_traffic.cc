#include "compute/agent/outgoing_traffic.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "compute/agent/postmaster.h"

namespace halogen::compute {
namespace {

constexpr const char* kProgram = "halogen_outgoing";
constexpr const char* kDevice = "/dev/net/tun";

Launch launch_of(const fs::path& libraries, int pid, const fs::path& log, const UniqueFd& ready) {
  Launch launch;
  launch.program = libraries / kProgram;
  launch.arguments = {std::to_string(pid)};
  launch.folder = "/";
  launch.log = log;
  launch.held = true;  // It ends when its standard input does.
  launch.third = ready.get();
  return launch;
}

}  // namespace

void OutgoingTraffic::require_possible() {
  UniqueFd device(::open(kDevice, O_RDWR | O_CLOEXEC));
  if (!device.valid())
    throw Error(Errc::unavailable,
                "outgoing traffic needs {0}, which the platform's user cannot open ({1}); on most "
                "systems everybody can: modprobe tun; chmod 666 {0}",
                kDevice, std::strerror(errno));
}

OutgoingTraffic::OutgoingTraffic(Supervisor& supervisor, const fs::path& libraries, int pid,
                                 fs::path log)
    : log_(std::move(log)) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw system_error(errno, "pipe");
  ready_ = UniqueFd(ends[0]);
  UniqueFd theirs(ends[1]);
  process_ = supervisor.spawn(launch_of(libraries, pid, log_, theirs));
}

void OutgoingTraffic::wait_ready(Deadline deadline) {
  pollfd poll{ready_.get(), POLLIN, 0};
  int ready;
  do ready = ::poll(&poll, 1, static_cast<int>(deadline.left().count()));
  while (ready < 0 && errno == EINTR);
  if (ready == 0) throw Error(Errc::timed_out, "its network was not ready in time");
  char byte;
  if (::read(ready_.get(), &byte, 1) != 1)
    throw Error(Errc::unavailable, "{}", last_lines(log_, 0));
}

}  // namespace halogen::compute
