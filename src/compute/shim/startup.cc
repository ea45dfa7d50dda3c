// startup.cc: what happens when the postmaster loads the library, and the extension's entry points.
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "compute/shim/hook.h"
#include "compute/shim/login.h"
#include "compute/shim/memory.h"
#include "compute/shim/page_client.h"
#include "compute/shim/segments.h"
#include "compute/shim/server_state.h"
#include "compute/shim/sys.h"
#include "compute/shim/wal.h"
#include "protocol/isolation.h"

namespace halogen::shim {
namespace {

[[noreturn]] void refuse(const char* why) {
  log_line("%s; not starting", why);
  ::_exit(1);
}

// While a server starts, the first backends should have the processors, not the helper processes
// that are forked before them: those begin this much later. Nobody waits for them.
constexpr int64_t kHelpersWait = 100;  // Milliseconds.

// When the startup process ended (now_ms()), 0 before. In memory that all processes share.
constinit std::atomic<int64_t>* g_startup_ended = nullptr;
// By the postmaster, since it last forked: the next child serves a client.
constinit bool g_accepted = false;

void share_startup_end() {
  void* page = sys::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) refuse("out of memory");
  g_startup_ended = static_cast<std::atomic<int64_t>*>(page);
}

void let_backends_go_first() {
  int64_t ended = g_startup_ended->load();
  int64_t wait = ended == 0 ? 0 : ended + kHelpersWait - now_ms();
  if (wait <= 0) return;
  timespec span{0, wait * 1000000};
  // Postgres forks with all signals blocked, so what it is told meanwhile is not lost.
  ::nanosleep(&span, nullptr);
}

void in_forked_child() {
  if (g_is_postmaster && !g_accepted) {
    forget_login_secret();
    let_backends_go_first();
  }
  g_is_postmaster = false;
  ClientLease::reset_all();
}

void in_forking_parent() { g_accepted = false; }

// The platform's death must end this postmaster: its page service and safekeeper are gone.
void follow_parent(const char* parent) {
  char* end = nullptr;
  long pid = std::strtol(parent, &end, 10);
  if (pid <= 0 || *end != 0) refuse("HALOGEN_PDEATHSIG is not a process id");
  if (::prctl(PR_SET_PDEATHSIG, SIGQUIT) != 0) refuse("cannot set the parent death signal");
  if (::getppid() != pid) refuse("the platform that started us is gone");
}

// Tests of isolation take the check out, and see that it was needed.
bool runs_without_login_secret() {
  const char* without = std::getenv(kWithoutLayers);
  return without != nullptr && std::strstr(without, "login_secret") != nullptr;
}

// Descriptors that come with what a postmaster is told.
struct Descriptors {
  int log = -1;
  int wal_page = -1;  // Both, or neither: WAL is written in place.
  int wal_news = -1;
};

// As read() from standard input; descriptors that come along are put into `*descriptors`.
ssize_t read_input(char* to, size_t n, Descriptors* descriptors) {
  iovec piece{to, n};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(Descriptors))] = {};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got = ::recvmsg(0, &message, 0);
  const cmsghdr* head = got > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (head != nullptr && head->cmsg_type == SCM_RIGHTS) {
    const size_t bytes = head->cmsg_len - CMSG_LEN(0);
    std::memcpy(descriptors, CMSG_DATA(head),
                bytes < sizeof *descriptors ? bytes : sizeof *descriptors);
  }
  return got;
}

// Until its standard input ends, a postmaster that was executed ahead of need waits here. What it
// reads are NAME=value, each with a zero behind: its environment, and the login secret, which does
// not get into that; with it comes where to write its log, which may be where it cannot open it.
// Nothing: it is not needed.
void wait_for_environment() {
  // putenv() keeps pointers into it.
  static char text[8192];
  size_t size = 0;
  Descriptors descriptors;
  learn_platform(0);
  for (;;) {
    ssize_t got = read_input(text + size, sizeof text - size, &descriptors);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    size += static_cast<size_t>(got);
  }
  if (size == 0) ::_exit(0);
  if (size == sizeof text || text[size - 1] != 0) refuse("what to start with is cut off");
  for (char *word = text, *next; word < text + size; word = next) {
    next = word + std::strlen(word) + 1;
    if (!take_login_secret(word)) ::putenv(word);
  }
  int fd = descriptors.log;
  if (fd < 0) refuse("no log came with the environment");
  if (descriptors.wal_page >= 0 && !open_wal_page(descriptors.wal_page, descriptors.wal_news))
    refuse("cannot map the page about WAL");
  sys::dup3(fd, 1, 0);
  sys::dup3(fd, 2, 0);
  sys::close(fd);
  fd = sys::open("/dev/null", O_RDONLY);
  sys::dup3(fd, 0, 0);
  sys::close(fd);
  if (!logins_are_guarded() && !runs_without_login_secret()) refuse("there is no login secret");
  const rlimit no_core{0, 0};  // A backend's memory may still hold a client's startup packet.
  if (::setrlimit(RLIMIT_CORE, &no_core) != 0) refuse("cannot forbid core dumps");
}

// Only `postgres` itself is served: the programs that may lead to it by exec (setpriv, a shell)
// pass on the environment as it is.
bool loaded_into_postgres() {
  const char* name = program_invocation_short_name;
  return std::strcmp(name, "postgres") == 0 || std::strcmp(name, "postmaster") == 0;
}

__attribute__((constructor)) void start() {
  if (!loaded_into_postgres()) return;
  if (const char* parent = std::getenv("HALOGEN_PDEATHSIG")) follow_parent(parent);
  if (std::getenv("HALOGEN_SHIM_HOLD") != nullptr) {
    reserve_shared_memory();
    wait_for_environment();
  }
  const char* manifest = std::getenv("HALOGEN_SHIM_MANIFEST");
  const char* data = std::getenv("HALOGEN_SHIM_DATA");
  if (manifest == nullptr || data == nullptr)
    refuse("HALOGEN_SHIM_MANIFEST or HALOGEN_SHIM_DATA is not set");
  char why[512];
  if (!g_map.open(manifest, data, why, sizeof why)) refuse(why);
  share_startup_end();
  g_is_postmaster = true;
  if (::pthread_atfork(nullptr, in_forking_parent, in_forked_child) != 0)
    refuse("pthread_atfork failed");
  // Not for what extensions and archive commands start.
  for (const char* name : {"LD_PRELOAD", "HALOGEN_SHIM_MANIFEST", "HALOGEN_SHIM_DATA",
                           "HALOGEN_SHIM_HOLD", "HALOGEN_PDEATHSIG"})
    ::unsetenv(name);
}

}  // namespace

extern "C" {

// The postmaster waits for the startup process to end. Nothing of ours, Postgres' or its libraries'
// is left to do then, but libc would call the destructors of some forty libraries, each a page
// fault or several.
[[noreturn]] void hook_exit(int status) HALOGEN_HOOK("exit");
[[noreturn]] void hook_exit(int status) {
  if (is_startup_process()) {
    g_startup_ended->store(now_ms());
    ::_exit(status);
  }
  using Exit = void (*)(int);
  reinterpret_cast<Exit>(::dlsym(RTLD_NEXT, "exit"))(status);
  __builtin_unreachable();
}

int hook_accept(int fd, sockaddr* from, socklen_t* size) HALOGEN_HOOK("accept");
int hook_accept(int fd, sockaddr* from, socklen_t* size) {
  if (login_check_is_missing()) refuse("halogen.so is not loaded, so nobody checks logins");
  g_accepted = true;
  return static_cast<int>(::syscall(SYS_accept, fd, from, size));
}

// For the extension, by dlsym, in the postmaster: where it counts changes of roles, for the
// platform to see. Null without a manifest.
__attribute__((visibility("default"))) volatile uint64_t* halogen_shim_role_changes();
volatile uint64_t* halogen_shim_role_changes() {
  if (!g_map.is_open()) return nullptr;
  return reinterpret_cast<volatile uint64_t*>(&g_map.header().role_changes);
}

// For the extension, by dlsym. `path` is relative to the data directory and names a fork's first
// segment (or segment N by ".N"); `block` counts from there. True if Postgres wrote the block since
// boot, or made the segment since then: storage may know less of it than the local file.
__attribute__((visibility("default"))) bool halogen_shim_block_written(const char* path,
                                                                       uint32_t block);
bool halogen_shim_block_written(const char* path, uint32_t block) {
  const char* name = g_map.is_open() ? g_map.relative(path) : nullptr;
  SegmentId id;
  if (name == nullptr || !parse_segment(name, &id)) return true;
  id.number += block / segment_pages(id.kind);
  block %= segment_pages(id.kind);
  uint32_t index = g_map.find(id);
  if (index == kNoEntry || is_dead(index) || block >= g_map.entry(index).pages) return true;
  return g_map.written(index, block);
}

}  // extern "C"

}  // namespace halogen::shim
