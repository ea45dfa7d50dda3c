#include "compute/agent/spare_postmasters.h"

#include <unistd.h>

#include "base/error.h"
#include "compute/agent/postmaster.h"

namespace halogen::compute {
namespace {

constexpr const char* kShimLibrary = "libhalogen_shim.so";

// What it starts with is known: only its environment comes later. What is said here is stronger
// than any file of settings.
std::vector<std::string> arguments_of(const Room& room) {
  std::vector<std::string> arguments;
  for (const char* name : {"config_file", "hba_file", "ident_file"}) {
    const char* file = Postmaster::settings_file(name);
    arguments.push_back("-c");
    arguments.push_back(fmt::format("{}={}", name, (room.config_inside() / file).string()));
  }
  return arguments;
}

Launch launch_of(const fs::path& program, const Room& room, const RoomPlaces& places) {
  Launch launch;
  launch.program = program;
  launch.arguments = arguments_of(room);
  // HALOGEN_SHIM_DATA and the rest come with Child::release().
  launch.environment = {"PATH=/usr/local/bin:/usr/bin:/bin",
                        "LANG=C.UTF-8",
                        "LD_PRELOAD=" + (places.libraries_inside() / kShimLibrary).string(),
                        "HALOGEN_SHIM_HOLD=1",
                        "PG_OOM_ADJUST_FILE=/proc/self/oom_score_adj",
                        "PG_OOM_ADJUST_VALUE=600"};
  // In a room it ends with the warden, which ends with us.
  if (places.warden == nullptr)
    launch.environment.push_back("HALOGEN_PDEATHSIG=" + std::to_string(::getpid()));
  launch.folder = room.data();
  launch.log = room.folder() / "log";
  launch.notify_socket = room.notify_socket();
  launch.notify_inside = room.notify_inside();
  launch.warden = places.warden;
  launch.room = room.id();
  launch.held = true;
  return launch;
}

}  // namespace

SparePostmaster::SparePostmaster(Supervisor& supervisor, const fs::path& program,
                                 const RoomPlaces& places)
    : program_(program),
      made_(fs::last_write_time(program)),
      room_(std::make_shared<const Room>(places)),
      child_(supervisor.spawn(launch_of(program, *room_, places))) {}

SparePostmaster::~SparePostmaster() {
  if (child_) child_->dismiss();
}

bool SparePostmaster::usable() const {
  std::error_code error;
  return child_->state() != Child::State::ended && fs::last_write_time(program_, error) == made_ &&
         !error;
}

SparePostmasters::SparePostmasters(Supervisor& supervisor, RoomPlaces places)
    : supervisor_(supervisor), places_(std::move(places)) {
  worker_.post_now([this] { refill(15); });
}

std::unique_ptr<SparePostmaster> SparePostmasters::make(int major) {
  return std::make_unique<SparePostmaster>(supervisor_, postgres_bin_dir(major) / "postgres",
                                           places_);
}

std::unique_ptr<SparePostmaster> SparePostmasters::take(int major) {
  std::unique_ptr<SparePostmaster> spare;
  {
    MutexLock lock(mutex_);
    if (major_ == major) spare = std::move(spare_);
  }
  worker_.post([this, major] { refill(major); });
  return spare && spare->usable() ? std::move(spare) : make(major);
}

void SparePostmasters::refill(int major) {
  {
    MutexLock lock(mutex_);
    if (major_ == major && spare_ && spare_->usable()) return;
  }
  std::unique_ptr<SparePostmaster> made = make(major);
  MutexLock lock(mutex_);
  spare_ = std::move(made);
  major_ = major;
}

}  // namespace halogen::compute
