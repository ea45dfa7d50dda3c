#include "compute/shim/server_state.h"

#include <dlfcn.h>
#include <signal.h>
#include <time.h>

namespace halogen::shim {

constinit bool g_is_postmaster = false;

namespace {

// The server's own variables. Looked up at first use: most processes never wait for a page.
struct ServerVariables {
  bool looked_up;
  const volatile sig_atomic_t* query_cancel_pending;
  const volatile sig_atomic_t* proc_die_pending;
  const volatile uint32_t* critical_sections;
};
constinit ServerVariables g_variables = {};

const ServerVariables& variables() {
  if (!g_variables.looked_up) {
    auto find = [](const char* name) { return ::dlsym(RTLD_DEFAULT, name); };
    using Flag = const volatile sig_atomic_t*;
    g_variables.query_cancel_pending = static_cast<Flag>(find("QueryCancelPending"));
    g_variables.proc_die_pending = static_cast<Flag>(find("ProcDiePending"));
    g_variables.critical_sections = static_cast<const volatile uint32_t*>(find("CritSectionCount"));
    g_variables.looked_up = true;
  }
  return g_variables;
}

}  // namespace

bool interrupt_pending() {
  const ServerVariables& v = variables();
  if (v.critical_sections != nullptr && *v.critical_sections != 0) return false;
  return (v.query_cancel_pending != nullptr && *v.query_cancel_pending != 0) ||
         (v.proc_die_pending != nullptr && *v.proc_die_pending != 0);
}

bool is_startup_process() {
  // enum AuxProcType of majors up to 16: StartupProcess is 0, no auxiliary process is -1.
  const auto* type = static_cast<const int*>(::dlsym(RTLD_DEFAULT, "MyAuxProcType"));
  return type != nullptr && *type == 0 && !g_is_postmaster;
}

int64_t now_us() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000000 + now.tv_nsec / 1000;
}

int64_t now_ms() { return now_us() / 1000; }

}  // namespace halogen::shim
