#include "compute/rooms/warden.h"

// glibc 2.36 forgot to say that these are C.
extern "C" {
#include <sys/pidfd.h>
}

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <sstream>

#include "base/error.h"
#include "base/ids.h"
#include "compute/rooms/room_process.h"

namespace halogen::compute {
namespace {

constexpr int kStartTakes = 30'000;  // Milliseconds, at most; it is two or three.
constexpr int kDeathTakes = 10'000;
constexpr const char* kTrialRoom = "trial";

Error refused(const std::string& why) {
  return Error(Errc::unavailable,
               "this system does not let Halogen keep computes apart ({}). Let it use user "
               "namespaces (see docs/operations), or start with --isolation=none: then whoever "
               "runs code in one database can reach all others and the platform",
               why);
}

// Its number outside of its own pid namespace.
int pid_of(const UniqueFd& pidfd) {
  std::istringstream lines(read_file(fmt::format("/proc/self/fdinfo/{}", pidfd.get())));
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("Pid:")) return std::stoi(line.substr(4));
  throw Error(Errc::internal, "a pidfd without a pid");
}

void give(const fs::path& path, const User& owner) {
  if (::chown(path.c_str(), owner.uid, owner.gid) != 0) throw system_error(errno, path.string());
}

bool wait_readable(const UniqueFd& fd, int milliseconds) {
  pollfd poll{fd.get(), POLLIN, 0};
  int ready;
  do ready = ::poll(&poll, 1, milliseconds);
  while (ready < 0 && errno == EINTR);
  return ready > 0;
}

}  // namespace

RoomProcess::~RoomProcess() {
  kill();
  if (room_.valid()) wait_readable(room_, kDeathTakes);
  warden_.give_slot(slot_);
}

void RoomProcess::kill() const {
  if (room_.valid()) ::pidfd_send_signal(room_.get(), SIGKILL, nullptr, 0);
}

RoomProcess::End RoomProcess::end() const {
  while (std::optional<RoomReport> report = receive_report(report_.get(), 0))
    if (report->event == RoomReport::Event::ended) return {report->how, report->status};
  return {CLD_KILLED, SIGKILL};  // With its room.
}

Warden::Warden(RoomsPlan plan) : plan_(std::move(plan)) {
  make_folders();
  try {
    if (!plan_.users.empty() && !can_map_ids(plan_)) plan_.users = {};
    rooms_of_user_.resize(std::max(plan_.users.count, 1U));
    fork_guardian();
    try_with_and_without_groups();
  } catch (const Error& error) {
    throw refused(error.what());
  }
}

void Warden::end() {
  requests_.reset();
  wait_readable(guardian_end_, kDeathTakes);
  ::waitpid(guardian_, nullptr, WNOHANG);
  ::unlink(plan_.marker.c_str());
}

void Warden::make_folders() {
  const fs::path root = plan_.rooms / kRootFolder;
  plan_.marker = plan_.rooms / (kMarkerPrefix + random_name(8));
  fs::create_directories(root);
  write_file(plan_.marker, "");
  for (const fs::path& path : {plan_.rooms, root, plan_.marker}) give(path, plan_.owner);
  if (::chmod(plan_.rooms.c_str(), 0700) != 0) throw system_error(errno, plan_.rooms.string());
}

void Warden::fork_guardian() {
  SocketPair requests = make_socket_pair(SOCK_SEQPACKET);
  SocketPair setup = make_socket_pair(SOCK_SEQPACKET);
  guardian_ = ::fork();
  if (guardian_ < 0) throw system_error(errno, "fork");
  if (guardian_ == 0) {
    requests.ours.reset();
    setup.ours.reset();
    run_guardian(plan_, std::move(requests.theirs), std::move(setup.theirs));
  }
  guardian_end_ = UniqueFd(::pidfd_open(guardian_, 0));
  requests_ = std::move(requests.ours);
  setup.theirs.reset();
  for (;;) {
    std::optional<RoomReport> report = receive_report(setup.ours.get(), kStartTakes);
    if (!report) throw Error(Errc::unavailable, "the warden ended");
    if (report->event == RoomReport::Event::ready) return;
    if (report->event == RoomReport::Event::failed)
      throw Error(Errc::unavailable, "{}", report->step);
    map_ids();
    if (::write(setup.ours.get(), "", 1) != 1) throw system_error(errno, "socketpair");
  }
}

// Ids are the same inside and outside, so that no number has two meanings.
void Warden::map_ids() const {
  std::string users;
  if (!plan_.users.empty())
    users = fmt::format("{0} {0} {1}\n", plan_.users.first, plan_.users.count);
  auto write = [this](const char* file, const std::string& text) {
    tell_kernel(fmt::format("/proc/{}/{}", guardian_, file), text);
  };
  if (plan_.users.empty()) write("setgroups", "deny");  // The kernel's condition for non-root.
  write("uid_map", fmt::format("{0} {0} 1\n", plan_.owner.uid) + users);
  write("gid_map", fmt::format("{0} {0} 1\n", plan_.owner.gid) + users);
}

std::unique_ptr<ControlGroup> Warden::make_group(const std::string& id) const {
  return plan_.groups ? plan_.groups->make_group(id) : nullptr;
}

// Linux before 5.7 makes no process in another's group.
void Warden::try_with_and_without_groups() {
  try {
    return try_a_room();
  } catch (const Error&) {
    if (!plan_.groups) throw;
  }
  plan_.groups = nullptr;
  try_a_room();
}

void Warden::try_a_room() {
  const fs::path room = plan_.rooms / kTrialRoom;
  for (const fs::path& folder : {room, room / kRoomData, room / kRoomConfig}) {
    fs::create_directories(folder);
    give(folder, plan_.owner);
  }
  RoomRequest request{.id = kTrialRoom,
                      .input = open_file("/dev/null", O_RDONLY),
                      .log = open_file("/dev/null", O_WRONLY)};
  std::unique_ptr<ControlGroup> group = make_group(kTrialRoom);
  if (group) request.group = group->open();
  SocketPair reports = make_socket_pair(SOCK_SEQPACKET);
  request.report = std::move(reports.theirs);
  send_request(requests_.get(), request);
  request.report.reset();
  std::string why = "the warden ended";
  UniqueFd made, fd;
  while (std::optional<RoomReport> report = receive_report(reports.ours.get(), kStartTakes, &fd)) {
    if (report->event == RoomReport::Event::failed) why = report->step;
    if (report->event == RoomReport::Event::ended) why.clear();
    if (report->event == RoomReport::Event::made) made = std::move(fd);
  }
  if (made.valid()) wait_readable(made, kDeathTakes);  // Its group can go once it has.
  fs::remove_all(room);
  if (!why.empty()) throw Error(Errc::unavailable, "{}", why);
}

std::unique_ptr<RoomProcess> Warden::start(const std::string& id,
                                           const std::vector<std::string>& command,
                                           const std::vector<std::string>& environment,
                                           UniqueFd input, UniqueFd log) {
  std::unique_ptr<RoomProcess> made(new RoomProcess(*this, take_slot()));
  made->group_ = make_group(id);
  SocketPair reports = make_socket_pair(SOCK_SEQPACKET);
  made->report_ = std::move(reports.ours);
  send_request(requests_.get(),
               {made->slot_, id, command, environment, std::move(reports.theirs), std::move(input),
                std::move(log), made->group_ ? made->group_->open() : UniqueFd()});
  // The warden says that it is made, the room itself that its program is started: in any order.
  while (!made->room_.valid() || !made->pidfd_.valid()) {
    UniqueFd fd;
    std::optional<RoomReport> report = receive_report(made->report_.get(), kStartTakes, &fd);
    if (!report) throw Error(Errc::unavailable, "a room for a compute was not made");
    if (report->event == RoomReport::Event::failed)
      throw Error(Errc::unavailable, "a room for a compute was not made: {}", report->step);
    (report->event == RoomReport::Event::made ? made->room_ : made->pidfd_) = std::move(fd);
  }
  made->pid_ = pid_of(made->pidfd_);
  return made;
}

// The user with the fewest rooms: mostly none.
uint32_t Warden::take_slot() {
  MutexLock lock(mutex_);
  auto least = std::min_element(rooms_of_user_.begin(), rooms_of_user_.end());
  ++*least;
  return static_cast<uint32_t>(least - rooms_of_user_.begin());
}

void Warden::give_slot(uint32_t slot) {
  MutexLock lock(mutex_);
  --rooms_of_user_[slot];
}

}  // namespace halogen::compute
