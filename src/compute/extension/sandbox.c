// sandbox.c: what a redo process may still do once it reads bytes that tenants made.
//
// WAL is replayed by C code that trusts it. A forged record may take the process over, so from the
// first request on the kernel lets it compute, use the descriptors it has, and end; anything else
// kills it, and the pageserver sees the end of the stream.
#include "redo.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define OUR_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "no seccomp architecture for this machine"
#endif

#define KILL BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ALLOW_CALL(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 1), ALLOW

static const struct sock_filter kFilter[] = {
    LOAD(arch),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCHITECTURE, 1, 0),
    KILL,
    LOAD(nr),
    // The work: requests in, pages out, and smgr's reads and writes of /dev/zero.
    ALLOW_CALL(read),
    ALLOW_CALL(write),
    ALLOW_CALL(writev),
    ALLOW_CALL(pread64),
    ALLOW_CALL(pwrite64),
    // The C library's memory, locks and clock.
    ALLOW_CALL(brk),
    ALLOW_CALL(munmap),
    ALLOW_CALL(mremap),
    ALLOW_CALL(futex),
    ALLOW_CALL(clock_gettime),
    ALLOW_CALL(getpid),
    ALLOW_CALL(rt_sigprocmask),
    ALLOW_CALL(rt_sigreturn),
    ALLOW_CALL(exit_group),
    // Memory that can never become code.
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_mmap, 1, 0),
    KILL,
    LOAD(args[2]),
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
    KILL,
    ALLOW,
};

static void limit(__rlimit_resource_t what, rlim_t value) {
  struct rlimit both = {.rlim_cur = value, .rlim_max = value};

  if (setrlimit(what, &both) != 0) elog(FATAL, "halogen redo: setrlimit: %m");
}

// What the pageserver allows, less than what the process has already included.
static rlim_t address_space(void) {
  const char* bytes = getenv("HALOGEN_REDO_MEMORY");

  if (bytes == NULL) elog(FATAL, "halogen redo: HALOGEN_REDO_MEMORY is not set");
  return strtoull(bytes, NULL, 10);
}

void hg_enter_sandbox(void) {
  struct sock_fprog program = {.len = lengthof(kFilter), .filter = (struct sock_filter*)kFilter};

  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_AS, address_space());
  limit(RLIMIT_FSIZE, (rlim_t)1 << 20);  // Standard error may be a file.
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    elog(FATAL, "halogen redo: prctl(PR_SET_NO_NEW_PRIVS): %m");
  if (syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
    elog(FATAL, "halogen redo: seccomp: %m");
}
