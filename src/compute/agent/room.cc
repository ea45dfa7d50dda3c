#include "compute/agent/room.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"
#include "base/ids.h"
#include "compute/agent/untrusted_folder.h"

namespace halogen::compute {
namespace {

constexpr const char* kSockets = "sockets";
constexpr const char* kSocketFile = ".s.PGSQL.5432";

void make_private_folder(const fs::path& path) {
  if (::mkdir(path.c_str(), 0700) != 0) throw system_error(errno, path.string());
}

}  // namespace

Room::Room(const RoomPlaces& places)
    : walls_(places.warden != nullptr),
      id_(random_name(8)),
      folder_(places.rooms / id_),
      link_(places.run / id_) {
  make_private_folder(folder_);
  for (const fs::path& part : {data(), data() / kSockets, config(), folder_ / "door"})
    make_private_folder(part);
  if (::symlink(folder_.c_str(), link_.c_str()) != 0) throw system_error(errno, link_.string());
}

Room::~Room() {
  std::error_code ignored;
  fs::remove(link_, ignored);
  fs::remove_all(folder_, ignored);
}

fs::path Room::inside(const fs::path& in_data) const {
  return walls_ ? kInsideData / in_data.lexically_relative(data()) : in_data;
}

fs::path Room::sockets_inside() const {
  return (walls_ ? fs::path(kInsideData) : link_ / kRoomData) / kSockets;
}

fs::path Room::config_inside() const { return walls_ ? fs::path(kInsideConfig) : config(); }

fs::path Room::notify_inside() const {
  return walls_ ? kInsideConfig / notify_socket().filename() : notify_socket();
}

void Room::open_door() const {
  const fs::path name = folder_ / "door" / kSocketFile;
  UntrustedFolder(data()).link(fs::path(kSockets) / kSocketFile, name);
  struct stat info{};
  if (::lstat(name.c_str(), &info) == 0 && S_ISSOCK(info.st_mode)) return;
  ::unlink(name.c_str());
  throw Error(Errc::corrupt, "{}: a compute has no socket", id_);
}

}  // namespace halogen::compute
