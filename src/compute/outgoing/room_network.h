// room_network.h: the interface that a room gets, and its other end.
#pragma once
#include "base/file.h"

namespace halogen::compute {

// The room's side, in network byte order's usual notation; the rest of the net is libslirp's.
inline constexpr const char* kRoomAddress = "10.0.2.100";
inline constexpr const char* kGateway = "10.0.2.2";
inline constexpr const char* kNetwork = "10.0.2.0";
inline constexpr const char* kNetmask = "255.255.255.0";
inline constexpr int kMtu = 65'520;

// Makes an interface with a default route in the room where the process `pid` lives, and returns
// the descriptor at which the Ethernet frames that the room sends are read, and those for it are
// written. Requires: we are the owner of the room's user namespace, and have one thread. Throws io.
UniqueFd make_room_network(int pid);

}  // namespace halogen::compute
