// sweep.h: finds what of Postgres' own writes can be given up (eviction.h), and asks storage.
//
// Nobody's lock is held, and nobody else's business is under way on this process's connection. Both
// may take as long as storage does, but no longer than a second if it is away.
#pragma once

namespace halogen::shim {

// While there is too much of it: some at a time. Others than the one that is at it go on, unless
// there is far too much.
void keep_written_limit();
// The disk is full.
void give_up_for_room();

}  // namespace halogen::shim
