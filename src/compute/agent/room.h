// room.h: the folders of one start of a compute, and what they are called inside its room.
//
//   <rooms>/<id>/data     the room's own: the data directory is renamed into it and out of it again
//              /data/sockets  where Postgres makes its socket
//              /config    settings, which the room can only read, and the socket for sd_notify
//              /door      what only we see: the same socket. Whatever a compute puts in the place
//              of
//                         its socket, nobody is led anywhere by it
//   <run>/<id>            a link to <rooms>/<id>: the paths of sockets must be short
//
// Without walls (--isolation=none) all are the same, and the names inside are those outside.
#pragma once
#include "base/file.h"
#include "compute/rooms/warden.h"

namespace halogen::compute {

struct RoomPlaces {
  fs::path rooms;            // <home>/.rooms
  fs::path run;              // For the short links.
  fs::path libraries;        // What Postgres loads.
  Warden* warden = nullptr;  // Null: without walls.

  // What programs in a room call the libraries, and the page service's socket.
  fs::path libraries_inside() const { return warden ? fs::path(kInsideLibraries) : libraries; }
  fs::path page_socket_inside(const fs::path& socket) const {
    return warden ? kInsidePages / socket.filename() : socket;
  }
};

class Room {
 public:
  // Makes the folders. Throws io.
  explicit Room(const RoomPlaces& places);
  // Removes them, with what is in them.
  ~Room();
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;

  const std::string& id() const { return id_; }
  const fs::path& folder() const { return folder_; }
  fs::path data() const { return folder_ / kRoomData; }
  fs::path config() const { return folder_ / kRoomConfig; }
  // Its path is short.
  fs::path door() const { return link_ / "door"; }
  fs::path notify_socket() const { return link_ / kRoomConfig / "notify"; }

  // What the room's programs call these.
  fs::path inside(const fs::path& in_data) const;
  fs::path sockets_inside() const;
  fs::path config_inside() const;
  fs::path notify_inside() const;

  // Once Postgres is ready: lets us in. Throws corrupt.
  void open_door() const;

 private:
  const bool walls_;
  const std::string id_;
  const fs::path folder_;
  const fs::path link_;
};

}  // namespace halogen::compute
