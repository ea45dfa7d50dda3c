#include "compute/rooms/filter.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <vector>

#include "base/error.h"

#ifndef __NR_memfd_secret
#define __NR_memfd_secret 447
#endif

namespace halogen::compute {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "no seccomp architecture for this machine"
#endif

constexpr uint32_t kAllow = SECCOMP_RET_ALLOW;
constexpr uint32_t kDeny = SECCOMP_RET_ERRNO | EPERM;
constexpr uint32_t kUnknown = SECCOMP_RET_ERRNO | ENOSYS;

constexpr uint32_t kDenied[] = {
    // Other processes.
    __NR_ptrace,
    __NR_process_vm_readv,
    __NR_process_vm_writev,
    __NR_process_madvise,
    __NR_kcmp,
    __NR_pidfd_getfd,
    __NR_move_pages,
    __NR_migrate_pages,
    // Namespaces, mounts and roots.
    __NR_unshare,
    __NR_setns,
    __NR_mount,
    __NR_umount2,
    __NR_pivot_root,
    __NR_chroot,
    __NR_move_mount,
    __NR_open_tree,
    __NR_fsopen,
    __NR_fsconfig,
    __NR_fsmount,
    __NR_fspick,
    __NR_mount_setattr,
    __NR_name_to_handle_at,
    __NR_open_by_handle_at,
    __NR_quotactl,
    __NR_quotactl_fd,
    __NR_fanotify_init,
    __NR_swapon,
    __NR_swapoff,
    __NR_sethostname,
    __NR_setdomainname,
    // The kernel itself.
    __NR_bpf,
    __NR_perf_event_open,
    __NR_userfaultfd,
    __NR_io_uring_setup,
    __NR_io_uring_enter,
    __NR_io_uring_register,
    __NR_add_key,
    __NR_request_key,
    __NR_keyctl,
    __NR_kexec_load,
    __NR_init_module,
    __NR_finit_module,
    __NR_delete_module,
    __NR_reboot,
    __NR_syslog,
    __NR_acct,
    __NR_personality,
    __NR_settimeofday,
    __NR_clock_settime,
    __NR_adjtimex,
    __NR_clock_adjtime,
    __NR_memfd_secret,
    __NR_vhangup,
    __NR_nfsservctl,
    __NR_lookup_dcookie,
#if defined(__x86_64__)
    __NR_kexec_file_load,
    __NR_iopl,
    __NR_ioperm,
    __NR_modify_ldt,
    __NR_uselib,
    __NR_ustat,
    __NR_sysfs,
    __NR__sysctl,
    __NR_create_module,
#endif
};

constexpr uint32_t kNewNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                                    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME;

class Program {
 public:
  void load(uint32_t offset) { add(BPF_LD | BPF_W | BPF_ABS, offset); }
  void answer(uint32_t action) { add(BPF_RET | BPF_K, action); }
  // Answers if the loaded word is `value`, or else goes on.
  void answer_if(uint16_t comparison, uint32_t value, uint32_t action) {
    code_.push_back(BPF_JUMP(static_cast<uint16_t>(BPF_JMP | comparison | BPF_K), value, 0, 1));
    answer(action);
  }
  void answer_unless(uint32_t value, uint32_t action) {
    code_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0));
    answer(action);
  }
  // For the system call `number` only: `body` must end in an answer.
  template <typename Body>
  void on_call(uint32_t number, Body body) {
    size_t jump = code_.size();
    code_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 0));
    body();
    code_[jump].jf = static_cast<uint8_t>(code_.size() - jump - 1);
  }
  sock_fprog get() { return {static_cast<unsigned short>(code_.size()), code_.data()}; }

 private:
  void add(uint16_t code, uint32_t k) { code_.push_back(BPF_STMT(code, k)); }
  std::vector<sock_filter> code_;
};

constexpr uint32_t argument(int index) {
  return static_cast<uint32_t>(offsetof(seccomp_data, args) + sizeof(uint64_t) * size_t(index));
}

Program filter() {
  Program p;
  p.load(offsetof(seccomp_data, arch));
  p.answer_unless(kArchitecture, SECCOMP_RET_KILL_PROCESS);
  p.load(offsetof(seccomp_data, nr));
#if defined(__x86_64__)
  p.answer_if(BPF_JGE, __X32_SYSCALL_BIT, kUnknown);
#endif
  for (uint32_t number : kDenied) p.answer_if(BPF_JEQ, number, kDeny);
  // Its flags are in memory, where a filter cannot look: glibc falls back to clone.
  p.answer_if(BPF_JEQ, __NR_clone3, kUnknown);
  p.on_call(__NR_clone, [&] {
    p.load(argument(0));
    p.answer_if(BPF_JSET, kNewNamespaces, kDeny);
    p.answer(kAllow);
  });
  p.on_call(__NR_ioctl, [&] {
    p.load(argument(1));
    p.answer_if(BPF_JEQ, TIOCSTI, kDeny);
    p.answer_if(BPF_JEQ, TIOCLINUX, kDeny);
    p.answer(kAllow);
  });
  p.on_call(__NR_socket, [&] {
    p.load(argument(0));
    for (uint32_t family : {AF_UNIX, AF_INET, AF_INET6}) p.answer_if(BPF_JEQ, family, kAllow);
    p.answer(SECCOMP_RET_ERRNO | EAFNOSUPPORT);
  });
  p.answer(kAllow);
  return p;
}

}  // namespace

void deny_system_calls() {
  Program p = filter();
  sock_fprog program = p.get();
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
    throw system_error(errno, "seccomp");
}

}  // namespace halogen::compute
