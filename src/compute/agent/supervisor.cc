#include "compute/agent/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "compute/agent/process.h"

namespace halogen::compute {
namespace {

UniqueFd bind_notify_socket(const fs::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.string().size() >= sizeof address.sun_path)
    throw Error(Errc::invalid_argument,
                "{}: too long for a unix socket; choose a shorter home directory", path.string());
  std::strcpy(address.sun_path, path.c_str());
  UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) throw system_error(errno, "socket");
  ::unlink(path.c_str());
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    throw system_error(errno, path.string());
  return fd;
}

// posix_spawn's attributes and file actions, freed at scope end.
struct SpawnPlan {
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_t actions;

  SpawnPlan(const Launch& launch, int input) {
    ::posix_spawnattr_init(&attributes);
    ::posix_spawnattr_setflags(
        &attributes,
        static_cast<short>(POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF));
    sigset_t none, all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setsigdefault(&attributes, &all);
    ::posix_spawn_file_actions_init(&actions);
    if (input >= 0)
      ::posix_spawn_file_actions_adddup2(&actions, input, 0);
    else
      ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, 1, launch.log.c_str(),
                                       O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::posix_spawn_file_actions_adddup2(&actions, 1, 2);
    if (launch.third >= 0)
      ::posix_spawn_file_actions_adddup2(&actions, launch.third, kThirdDescriptor);
    ::posix_spawn_file_actions_addclosefrom_np(&actions, kThirdDescriptor + (launch.third >= 0));
    ::posix_spawn_file_actions_addchdir_np(&actions, launch.folder.c_str());
  }
  ~SpawnPlan() {
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&actions);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;
};

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (const std::string& s : strings) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

std::vector<std::string> command_of(const Launch& launch) {
  std::vector<std::string> command = {launch.program};
  command.insert(command.end(), launch.arguments.begin(), launch.arguments.end());
  return command;
}

std::vector<std::string> environment_of(const Launch& launch) {
  std::vector<std::string> environment = launch.environment;
  const fs::path& notify =
      launch.notify_inside.empty() ? launch.notify_socket : launch.notify_inside;
  if (!notify.empty()) environment.push_back("NOTIFY_SOCKET=" + notify.string());
  return environment;
}

int spawn_process(const Launch& launch, int input, int* pid) {
  SpawnPlan plan(launch, input);
  return ::posix_spawn(pid, launch.program.c_str(), &plan.actions, &plan.attributes,
                       pointers(command_of(launch)).data(),
                       pointers(environment_of(launch)).data());
}

UniqueFd open_log(const fs::path& path) {
  return open_file(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
}

}  // namespace

void Child::signal(int signal) const { send_signal(room_ ? room_->pidfd() : pidfd_, signal); }

void Child::kill() const {
  if (room_)
    room_->kill();
  else
    signal(SIGKILL);
}

bool Child::release(const std::vector<std::string>& environment, const fs::path& log,
                    std::vector<int> descriptors, std::function<void()> on_end) {
  UniqueFd output = open_log(log);
  {
    MutexLock lock(mutex_);
    if (state_ == State::ended) return false;
    on_end_ = std::move(on_end);
  }
  std::string text;
  for (const std::string& word : environment) text.append(word).push_back('\0');
  // Far less than a socket's buffer. If it has just died, its end is told as every end is.
  descriptors.insert(descriptors.begin(), output.get());
  send_message(hold_.get(), text, descriptors);
  hold_.reset();
  return true;
}

void Child::dismiss() { hold_.reset(); }

Child::State Child::state() const {
  MutexLock lock(mutex_);
  return state_;
}

Child::State Child::wait_ready(Deadline deadline) const {
  MutexLock lock(mutex_);
  while (state_ == State::starting && !deadline.passed())
    changed_.wait_until(mutex_, deadline.at());
  return state_;
}

bool Child::wait_end(Deadline deadline) const {
  MutexLock lock(mutex_);
  while (state_ != State::ended && !deadline.passed()) changed_.wait_until(mutex_, deadline.at());
  return state_ == State::ended;
}

std::string Child::how_it_ended() const {
  MutexLock lock(mutex_);
  if (how_ == CLD_EXITED) return fmt::format("exit status {}", status_);
  return fmt::format("signal {} ({})", status_, ::strsignal(status_));
}

bool Child::ended_well() const {
  MutexLock lock(mutex_);
  return state_ == State::ended && how_ == CLD_EXITED && status_ == 0;
}

Supervisor::Supervisor() : wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!wake_.valid()) throw system_error(errno, "eventfd");
  thread_ = std::thread([this] { run(); });
}

Supervisor::~Supervisor() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake();
  thread_.join();
}

void Supervisor::wake() {
  uint64_t one = 1;
  [[maybe_unused]] ssize_t done = ::write(wake_.get(), &one, sizeof one);
}

std::shared_ptr<Child> Supervisor::spawn(const Launch& launch, std::function<void()> on_end) {
  auto child = std::make_shared<Child>();
  {
    MutexLock lock(child->mutex_);
    child->on_end_ = std::move(on_end);
  }
  if (!launch.notify_socket.empty()) child->notify_ = bind_notify_socket(launch.notify_socket);
  UniqueFd input;
  if (launch.held) {
    SocketPair pair = make_socket_pair(SOCK_STREAM);
    child->hold_ = std::move(pair.ours);
    input = std::move(pair.theirs);
  }
  if (launch.warden) {
    if (!launch.held) input = open_file("/dev/null", O_RDONLY);
    child->room_ = launch.warden->start(launch.room, command_of(launch), environment_of(launch),
                                        std::move(input), open_log(launch.log));
    child->pid_ = child->room_->pid();
  }
  Request request{&launch, child, input.get()};
  MutexLock lock(mutex_);
  requests_.push_back(&request);
  wake();
  while (!request.done) answered_.wait(mutex_);
  if (request.error != 0) throw system_error(request.error, launch.program);
  return child;
}

void Supervisor::run() {
  ::pthread_setname_np(::pthread_self(), "hg-supervisor");
  for (;;) {
    wait_for_events();
    take_requests();
    MutexLock lock(mutex_);
    if (stopping_) return;
  }
}

void Supervisor::take_requests() {
  std::vector<Request*> requests;
  {
    MutexLock lock(mutex_);
    requests.swap(requests_);
  }
  for (Request* request : requests) {
    Child& child = *request->child;
    int error = 0;
    if (!child.room_) {
      error = spawn_process(*request->launch, request->input, &child.pid_);
      if (error == 0) child.pidfd_ = open_pidfd(child.pid_);
    }
    if (error == 0) children_.push_back(request->child);
    MutexLock lock(mutex_);
    request->error = error;
    request->done = true;  // From here on `request` may be gone.
    answered_.notify_all();
  }
}

void Supervisor::wait_for_events() {
  std::vector<pollfd> polls = {{wake_.get(), POLLIN, 0}};
  for (const auto& child : children_) {
    polls.push_back({child->end_fd(), POLLIN, 0});
    polls.push_back({child->notify_.get(), POLLIN, 0});
  }
  if (::poll(polls.data(), polls.size(), -1) < 0) return;  // EINTR: the caller comes again.
  uint64_t count;
  [[maybe_unused]] ssize_t done = ::read(wake_.get(), &count, sizeof count);
  for (size_t i = children_.size(); i-- > 0;) {
    if (polls[2 + 2 * i].revents != 0) read_notify(*children_[i]);
    if (polls[1 + 2 * i].revents != 0 && reap(*children_[i]))
      children_.erase(children_.begin() + static_cast<ptrdiff_t>(i));
  }
}

void Supervisor::read_notify(Child& child) {
  char message[1024];
  for (;;) {
    ssize_t size = ::recv(child.notify_.get(), message, sizeof message, 0);
    if (size <= 0) return;
    std::string_view text(message, static_cast<size_t>(size));
    if (text.find("READY=1") == std::string_view::npos) continue;
    MutexLock lock(child.mutex_);
    if (child.state_ == Child::State::starting) child.state_ = Child::State::ready;
    child.changed_.notify_all();
  }
}

bool Supervisor::reap(Child& child) {
  RoomProcess::End end{};
  if (child.room_) {
    end = child.room_->end();
  } else {
    siginfo_t info{};
    if (::waitid(P_PIDFD, static_cast<id_t>(child.pidfd_.get()), &info, WEXITED | WNOHANG) != 0 ||
        info.si_pid == 0)
      return false;
    end = {info.si_code, info.si_status};
  }
  std::function<void()> on_end;
  {
    MutexLock lock(child.mutex_);
    child.state_ = Child::State::ended;
    child.status_ = end.status;
    child.how_ = end.how;
    on_end = child.on_end_;
    child.changed_.notify_all();
  }
  if (on_end) on_end();
  return true;
}

}  // namespace halogen::compute
