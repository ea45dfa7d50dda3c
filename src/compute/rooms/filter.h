// filter.h: the system calls that a room's programs cannot make.
#pragma once

namespace halogen::compute {

// For the calling thread and all that it starts, for ever. Requires no_new_privs. Throws io.
//
// A list of what is denied, not of what is allowed: extensions and their libraries may call what we
// never saw. Denied is what reaches other processes, namespaces and mounts, or kernel code that has
// had more than its share of holes and that no database needs.
void deny_system_calls();

}  // namespace halogen::compute
