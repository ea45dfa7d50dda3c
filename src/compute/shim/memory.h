// memory.h: what is done ahead so that a start takes fewer page faults (hooks_memory.cc).
#pragma once

namespace halogen::shim {

// In a postmaster that waits: maps the shared memory it will most likely ask for.
void reserve_shared_memory();

}  // namespace halogen::shim
