// server_state.h: what the shim reads of the server that it is loaded into.
#pragma once
#include <cstdint>

namespace halogen::shim {

// A cancel or termination was asked for and may be obeyed now (not in a critical section, where an
// error would take the whole server down).
bool interrupt_pending();
// This is the startup process.
bool is_startup_process();

// Set by the library's constructor and the fork handler.
extern constinit bool g_is_postmaster;

int64_t now_ms();
int64_t now_us();

}  // namespace halogen::shim
