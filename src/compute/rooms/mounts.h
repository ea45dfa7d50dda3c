// mounts.h: what a room's programs can see of the machine.
//
//   /usr, /bin, /lib...  this machine's, read-only
//   /etc                 made: users, no network's names, what libraries look up there
//   /proc, /tmp, /dev, /dev/shm  the room's own
//   /halogen, /pages     the libraries that Postgres loads, the page service's socket; read-only
//   /config              this room's settings: the platform writes them, the room only reads
//   /compute             this room's own folder, the only one that lasts
#pragma once
#include <sys/types.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/file.h"

namespace halogen::compute {

class ControlGroups;

inline constexpr const char* kInsideData = "/compute";
inline constexpr const char* kInsideConfig = "/config";
inline constexpr const char* kInsideLibraries = "/halogen";
inline constexpr const char* kInsidePages = "/pages";
// A file by which a warden's processes, and its rooms', are recognised from outside.
inline constexpr const char* kInsideMarker = "/.halogen";

// A room's folder, below that of all rooms: `data` is /compute and `config` is /config.
inline constexpr const char* kRoomData = "data";
inline constexpr const char* kRoomConfig = "config";
// Beside the rooms: where a root for them is put together, and a marker of each warden's.
inline constexpr const char* kRootFolder = ".root";
inline constexpr const char* kMarkerPrefix = ".warden-";

// Owner and group of files on the disk, and what a room's programs run as.
struct User {
  uid_t uid = 0;
  gid_t gid = 0;
};

// Users that nobody else on the machine is, each with a group of the same number.
struct UserRange {
  uid_t first = 0;
  uint32_t count = 0;

  bool empty() const { return count == 0; }
  User at(uint32_t slot) const { return {first + slot, first + slot}; }
};

struct RoomsPlan {
  fs::path rooms;      // Holds the rooms' folders.
  fs::path libraries;  // Shown as /halogen.
  fs::path pages;      // Shown as /pages.
  fs::path marker;     // Shown as /.halogen.
  User owner;          // Of all files.
  // Users of their own for rooms, one a slot. To each of them the owner's files are its own, by a
  // mapping of ids that its mounts have: nothing on the disk ever changes hands. Empty: all rooms
  // run as the owner.
  UserRange users;
  std::shared_ptr<const ControlGroups> groups;  // Null: rooms have no shares of their own.
};

// Gives the calling process a mount namespace whose root has all that rooms share. Requires
// CAP_SYS_ADMIN; for `users` that of the machine itself. Throws io, naming the step.
void enter_rooms_root(const RoomsPlan& plan);
// False if the file system below `rooms` knows no mapping of ids (Linux 5.12 and ext4, xfs,
// btrfs...), or our root is not the machine's, but a container's.
bool can_map_ids(const RoomsPlan& plan);

// Into a file of the kernel's: in one piece, and with nothing changed about the file.
void tell_kernel(const fs::path& file, std::string_view text);

// In the new namespaces of one room: what is its own.
void furnish_room(uint32_t slot, const std::string& id);

}  // namespace halogen::compute
