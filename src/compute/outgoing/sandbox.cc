#include "compute/outgoing/sandbox.h"

#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>

#include "base/error.h"

namespace halogen::compute {
namespace {

constexpr rlim_t kMostSockets = 1000;
constexpr rlim_t kMostMemory = 1ULL << 30;
constexpr rlim_t kMostLog = 1 << 20;

constexpr int kAllowed[] = {
    // Sockets and the interface.
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(close),
    SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(connect), SCMP_SYS(sendto), SCMP_SYS(recvfrom),
    SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(shutdown), SCMP_SYS(setsockopt),
    SCMP_SYS(getsockopt), SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(fcntl),
    SCMP_SYS(ioctl),
    // Memory and time.
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex),
    SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(getrandom),
    // The end.
    SCMP_SYS(restart_syscall), SCMP_SYS(rt_sigreturn), SCMP_SYS(exit), SCMP_SYS(exit_group)};

void must(int result, const char* what) {
  if (result != 0) throw system_error(result < -1 ? -result : errno, what);
}

void limit(__rlimit_resource_t what, rlim_t most) {
  const rlimit wanted{most, most};
  must(::setrlimit(what, &wanted), "setrlimit");
}

}  // namespace

void enter_sandbox() {
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_NOFILE, kMostSockets);
  limit(RLIMIT_AS, kMostMemory);
  limit(RLIMIT_FSIZE, kMostLog);
  ::signal(SIGXFSZ, SIG_IGN);
  ::signal(SIGPIPE, SIG_IGN);
  must(::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "PR_SET_DUMPABLE");
  std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(::seccomp_init(SCMP_ACT_ERRNO(EPERM)),
                                                          ::seccomp_release);
  if (!filter) throw Error(Errc::io, "seccomp: no memory");
  for (int call : kAllowed)
    must(::seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0), "seccomp");
  must(::seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                          SCMP_A0(SCMP_CMP_EQ, AF_INET)),
       "seccomp");
  must(::seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                          SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)),
       "seccomp");
  must(::seccomp_load(filter.get()), "seccomp");
}

}  // namespace halogen::compute
