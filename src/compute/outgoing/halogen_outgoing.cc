// halogen_outgoing PID: outgoing traffic for the room in which the process PID lives (README.md).
// Ends when its standard input does. Writes a byte to descriptor 3 once the room has its network.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "base/error.h"
#include "compute/outgoing/network_stack.h"
#include "compute/outgoing/room_network.h"
#include "compute/outgoing/sandbox.h"

namespace {

constexpr int kLife = STDIN_FILENO;
constexpr int kReady = 3;

}  // namespace

int main(int argc, char** argv) {
  using namespace halogen;
  try {
    const int pid = argc == 2 ? std::atoi(argv[1]) : 0;
    if (pid <= 0) throw Error(Errc::invalid_argument, "usage: halogen_outgoing PID");
    UniqueFd ready(kReady);
    ::fcntl(kReady, F_SETFD, FD_CLOEXEC);
    UniqueFd tap = compute::make_room_network(pid);
    compute::NetworkStack stack(tap.get());
    compute::enter_sandbox();
    if (::write(ready.get(), "", 1) != 1) return 1;
    ready.reset();
    stack.run(kLife);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
