// room_process.h: the processes of the warden and of a room, all forked from one without threads.
//
//   guardian   in the user namespace; makes a warden again that was killed
//     warden   the first process of a pid namespace: with it all rooms end. Makes a room per
//     request
//       room's first process   the first of the room's pid namespace: with it the room ends. Waits
//                              for whatever loses its parent, which Postgres' postmaster must not
//         program              Postgres, with no capability left
#pragma once
#include "compute/rooms/messages.h"
#include "compute/rooms/mounts.h"

namespace halogen::compute {

// Runs the guardian in the calling process, a child of the platform's that it shares nothing with.
// It ends when the other end of `requests` is closed. What it is doing goes to `setup`.
[[noreturn]] void run_guardian(const RoomsPlan& plan, UniqueFd requests, UniqueFd setup);

}  // namespace halogen::compute
