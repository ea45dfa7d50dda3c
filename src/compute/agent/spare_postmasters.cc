#include "compute/agent/spare_postmasters.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"
#include "base/ids.h"
#include "compute/agent/postmaster.h"

namespace halogen::compute {
namespace {

fs::path make_private_folder(fs::path path) {
  if (::mkdir(path.c_str(), 0700) != 0) throw system_error(errno, path.string());
  return path;
}

}  // namespace

SparePostmaster::SparePostmaster(Supervisor& supervisor, const fs::path& program,
                                 const fs::path& shim, const fs::path& run)
    : program_(program),
      made_(fs::last_write_time(program)),
      socket_folder_(make_private_folder(run / random_name(8))) {
  Launch launch;
  launch.program = program;
  // HALOGEN_SHIM_DATA and the rest come with Child::release().
  launch.environment = {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8",
                        "LD_PRELOAD=" + shim.string(), "HALOGEN_SHIM_HOLD=1",
                        "HALOGEN_PDEATHSIG=" + std::to_string(::getpid())};
  launch.folder = socket_folder_;
  launch.log = socket_folder_ / "log";
  launch.notify_socket = socket_folder_ / "notify";
  launch.held = true;
  child_ = supervisor.spawn(launch);
}

SparePostmaster::~SparePostmaster() {
  if (!child_) return;
  child_->dismiss();
  std::error_code ignored;
  fs::remove_all(socket_folder_, ignored);
}

bool SparePostmaster::usable() const {
  std::error_code error;
  return child_->state() != Child::State::ended && fs::last_write_time(program_, error) == made_ &&
         !error;
}

SparePostmasters::SparePostmasters(Supervisor& supervisor, fs::path run, const fs::path& libraries)
    : supervisor_(supervisor), run_(std::move(run)), shim_(libraries / "libhalogen_shim.so") {
  worker_.post_now([this] { refill(15); });
}

std::unique_ptr<SparePostmaster> SparePostmasters::make(int major) {
  return std::make_unique<SparePostmaster>(supervisor_, postgres_bin_dir(major) / "postgres", shim_,
                                           run_);
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
