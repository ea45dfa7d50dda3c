// sandbox.h: what a process keeps that reads a tenant's packets (README, 4).
#pragma once

namespace halogen::compute {

// From here on: memory, the clock, descriptors that are open, and new IPv4 sockets; at most 1,000
// of them. Everything else fails with EPERM. Throws io.
void enter_sandbox();

}  // namespace halogen::compute
