#include "compute/rooms/room_process.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "compute/rooms/filter.h"

namespace halogen::compute {
namespace {

constexpr rlim_t kMostFiles = 65'536;
// Of one user: a room's, where rooms have users of their own.
constexpr rlim_t kMostProcesses = 16'384;

// When memory runs out computes go before the platform, and their backends, which say so
// themselves (Postgres' PG_OOM_ADJUST_VALUE), before their postmasters.
constexpr const char* kOomScore = "300";

void must(bool done, const char* what) {
  if (!done) throw system_error(errno, what);
}

// As fork(), in new namespaces, and in a control group if one is given. Returns 0 in the child.
pid_t fork_into(uint64_t flags, UniqueFd* pidfd, const UniqueFd& group = UniqueFd()) {
  int fd = -1;
  clone_args wanted{};
  wanted.flags = flags | CLONE_PIDFD | (group.valid() ? CLONE_INTO_CGROUP : 0);
  wanted.pidfd = reinterpret_cast<uint64_t>(&fd);
  wanted.exit_signal = SIGCHLD;
  if (group.valid()) wanted.cgroup = static_cast<uint64_t>(group.get());
  long pid = ::syscall(SYS_clone3, &wanted, sizeof wanted);
  must(pid >= 0, "clone");
  if (pid != 0) *pidfd = UniqueFd(fd);
  return static_cast<pid_t>(pid);
}

void set_capabilities(uint32_t effective_low, uint32_t effective_high) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {{effective_low, effective_low, 0},
                                    {effective_high, effective_high, 0}};
  must(::syscall(SYS_capset, &header, data) == 0, "capset");
}

// What the kernel allows, without asking which capabilities it knows.
void raise_all_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  must(::syscall(SYS_capget, &header, data) == 0, "capget");
  set_capabilities(data[0].permitted, data[1].permitted);
}

void drop_capabilities() {
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  for (int capability = 0; ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0; ++capability)
    continue;
  set_capabilities(0, 0);
  must(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
}

void limit(__rlimit_resource_t what, rlim_t most) {
  rlimit now{};
  must(::getrlimit(what, &now) == 0, "getrlimit");
  rlimit wanted{std::min(now.rlim_cur, most), std::min(now.rlim_max, most)};
  must(::setrlimit(what, &wanted) == 0, "setrlimit");
}

void limit_resources(bool own_user) {
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_NOFILE, kMostFiles);
  limit(RLIMIT_MEMLOCK, 64 << 20);
  if (own_user) limit(RLIMIT_NPROC, kMostProcesses);
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (const std::string& one : strings) out.push_back(const_cast<char*>(one.c_str()));
  out.push_back(nullptr);
  return out;
}

void default_signals() {
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Closes everything but these.
void keep_only(std::vector<int> fds) {
  std::sort(fds.begin(), fds.end());
  unsigned from = 0;
  for (int fd : fds) {
    if (static_cast<unsigned>(fd) > from) ::close_range(from, static_cast<unsigned>(fd) - 1, 0);
    from = static_cast<unsigned>(fd) + 1;
  }
  ::close_range(from, ~0U, 0);
}

[[noreturn]] void run_program(const RoomRequest& request, const RoomsPlan& plan) {
  try {
    limit_resources(!plan.users.empty());
    default_signals();
    ::setsid();
    must(::dup2(request.input.get(), 0) == 0 && ::dup2(request.log.get(), 1) == 1 &&
             ::dup2(request.log.get(), 2) == 2,
         "dup2");
    must(::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0, "close_range");
    ::umask(077);
    if (!plan.users.empty()) {
      User user = plan.users.at(request.slot);
      must(::setresgid(user.gid, user.gid, user.gid) == 0, "setresgid");
      must(::setresuid(user.uid, user.uid, user.uid) == 0, "setresuid");
    }
    drop_capabilities();
    deny_system_calls();
    ::execve(request.command[0].c_str(), pointers(request.command).data(),
             pointers(request.environment).data());
    throw system_error(errno, request.command[0]);
  } catch (const std::exception& error) {
    send_report(request.report.get(), failure_report(error));
    ::_exit(127);
  }
}

// Waits for all that it inherits, until the program itself ends.
siginfo_t wait_for_program(pid_t program) {
  for (;;) {
    siginfo_t info{};
    if (::waitid(P_ALL, 0, &info, WEXITED) == 0 && info.si_pid == program) return info;
  }
}

[[noreturn]] void run_room(const RoomRequest& request, const RoomsPlan& plan) {
  int report = request.report.get();
  try {
    ::signal(SIGCHLD, SIG_DFL);
    furnish_room(request.slot, request.id);
    tell_kernel("/proc/self/oom_score_adj", kOomScore);
    ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);  // The room's programs may have our user.
    if (request.command.empty()) {
      send_report(report, {.event = RoomReport::Event::ended, .how = CLD_EXITED});
      ::_exit(0);
    }
    UniqueFd pidfd;
    pid_t program = fork_into(CLONE_VFORK, &pidfd);  // Goes on when it is executed, or has failed.
    if (program == 0) run_program(request, plan);
    send_report(report, {.event = RoomReport::Event::started}, pidfd.get());
    drop_capabilities();
    keep_only({report});
    siginfo_t info = wait_for_program(program);
    send_report(report,
                {.event = RoomReport::Event::ended, .how = info.si_code, .status = info.si_status});
    ::_exit(0);
  } catch (const std::exception& error) {
    send_report(report, failure_report(error));
    ::_exit(1);
  }
}

constexpr unsigned long kRoomNamespaces =
    CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWCGROUP;

void make_room(const RoomRequest& request, const RoomsPlan& plan) {
  try {
    UniqueFd pidfd;
    if (fork_into(kRoomNamespaces, &pidfd, request.group) == 0) run_room(request, plan);
    send_report(request.report.get(), {.event = RoomReport::Event::made}, pidfd.get());
  } catch (const std::exception& error) {
    send_report(request.report.get(), failure_report(error));
  }
}

[[noreturn]] void run_warden(const RoomsPlan& plan, int requests) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_NAME, "halogen-warden");
  ::signal(SIGCHLD, SIG_IGN);  // Rooms report themselves.
  try {
    while (std::optional<RoomRequest> request = receive_request(requests))
      if (request->report.valid()) make_room(*request, plan);
  } catch (const std::exception&) {
    ::_exit(1);  // The guardian makes another.
  }
  ::_exit(0);
}

// Nothing of the platform's may be kept open or reach a room: its terminal, its sockets, its pipes
// (whose readers wait for an end).
void let_go_of_platform(const UniqueFd& requests, const UniqueFd& setup) {
  ::setsid();
  ::prctl(PR_SET_NAME, "halogen-guard");
  default_signals();
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) ::signal(signal, SIG_IGN);
  UniqueFd nothing = open_file("/dev/null", O_RDWR);
  for (int standard : {0, 1, 2}) must(::dup2(nothing.get(), standard) == standard, "dup2");
  keep_only({0, 1, 2, requests.get(), setup.get()});
  nothing.release();
}

void become(const User& owner) {
  if (::geteuid() != 0) return;
  // Some kernels let only root make a user namespace, but it must be the owner's, so that the
  // platform has a say over those who live in it.
  must(::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0, "keepcaps");
  must(::setgroups(0, nullptr) == 0 && ::setresgid(owner.gid, owner.gid, owner.gid) == 0 &&
           ::setresuid(owner.uid, owner.uid, owner.uid) == 0,
       "becoming the owner");
  raise_all_capabilities();
}

void enter_user_namespace(const UniqueFd& setup) {
  const bool made = ::unshare(CLONE_NEWUSER) == 0;
  must(made, errno == ENOSPC ? "user namespaces: user.max_user_namespaces" : "user namespaces");
  // Or else its files in /proc are root's: its maps, and the root by which it is recognised.
  ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  send_report(setup.get(), {.event = RoomReport::Event::mapping});
  char go;
  if (::read(setup.get(), &go, 1) != 1) ::_exit(1);
}

void settle(const RoomsPlan& plan, const UniqueFd& setup) {
  constexpr int kOwn = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUTS;
  // The mapping of ids wants the machine's root; else there is nothing to be done as root.
  const bool as_root = !plan.users.empty();
  if (as_root) {
    must(::unshare(CLONE_NEWNS) == 0, "mount namespace");
    enter_rooms_root(plan);
  }
  become(plan.owner);
  enter_user_namespace(setup);
  must(::unshare(kOwn) == 0, "namespaces");
  if (!as_root) enter_rooms_root(plan);
}

void guard(const RoomsPlan& plan, int requests) {
  ::signal(SIGCHLD, SIG_DFL);
  for (;;) {
    UniqueFd pidfd;
    pid_t warden = fork_into(CLONE_NEWPID, &pidfd);
    if (warden == 0) run_warden(plan, requests);
    int status = 0;
    while (::waitpid(warden, &status, 0) < 0 && errno == EINTR) continue;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  }
}

}  // namespace

void run_guardian(const RoomsPlan& plan, UniqueFd requests, UniqueFd setup) {
  try {
    let_go_of_platform(requests, setup);
    settle(plan, setup);
    send_report(setup.get(), {.event = RoomReport::Event::ready});
    setup.reset();
    guard(plan, requests.get());
    ::_exit(0);
  } catch (const std::exception& error) {
    if (setup.valid()) send_report(setup.get(), failure_report(error));
    ::_exit(1);
  }
}

}  // namespace halogen::compute
