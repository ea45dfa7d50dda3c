// hooks_random.cc: random bytes come from the kernel.
//
// Postgres seeds itself at every fork. OpenSSL's generator notices the fork and seeds itself anew
// first, from the kernel too: twenty page faults and more, in every backend and helper process, for
// sixteen bytes. And it would be all that the postmaster sets OpenSSL up for.
#include <sys/random.h>

#include <cstddef>

#include "compute/shim/hook.h"

namespace halogen::shim {

extern "C" {

int hook_rand_bytes(unsigned char* to, int n) HALOGEN_HOOK("RAND_bytes");
int hook_rand_bytes(unsigned char* to, int n) {
  for (int done = 0; done < n;) {
    ssize_t got = ::getrandom(to + done, static_cast<size_t>(n - done), 0);
    if (got < 0 && errno != EINTR) return 0;
    if (got > 0) done += static_cast<int>(got);
  }
  return n >= 0 ? 1 : 0;
}

// Seeds the generator, which is not asked.
int hook_rand_poll() HALOGEN_HOOK("RAND_poll");
int hook_rand_poll() { return 1; }

int hook_rand_status() HALOGEN_HOOK("RAND_status");
int hook_rand_status() { return 1; }

}  // extern "C"

}  // namespace halogen::shim
