#include "pageserver/redo/redo_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "pageserver/redo/redo_directory.h"
#include "protocol/redo_protocol.h"

namespace halogen::pageserver {
namespace {

constexpr int kPipeSize = 1 << 20;  // A chain of a few hundred records in one write.

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Pipe make_pipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) throw system_error(errno, "pipe");
  Pipe made{UniqueFd(fds[0]), UniqueFd(fds[1])};
  // A wish: an unprivileged user has a budget for large pipes.
  (void)fcntl(fds[1], F_SETPIPE_SZ, kPipeSize);
  return made;
}

void set_nonblocking(const UniqueFd& fd) {
  if (fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) throw system_error(errno, "fcntl");
}

std::vector<std::string> command_line(const RedoProcessOptions& options,
                                      const fs::path& directory) {
  std::vector<std::string> args;
  if (options.run_as)
    args = {"/usr/bin/setpriv",
            "--reuid",
            std::to_string(options.run_as->uid),
            "--regid",
            std::to_string(options.run_as->gid),
            "--clear-groups"};
  for (const auto& arg :
       {options.postgres_bin, std::string("--single"), std::string("-D"), directory.string()})
    args.push_back(arg);
  // The smallest server there is. wal_level: redo of visibility maps asks whether WAL is needed.
  for (const char* setting :
       {"config_file=/dev/null", "shared_buffers=128", "max_connections=1",
        "autovacuum_max_workers=1", "max_worker_processes=0", "max_wal_senders=0", "wal_buffers=4",
        "dynamic_shared_memory_type=mmap", "wal_level=replica", "log_min_messages=fatal",
        "log_line_prefix=", "huge_pages=off"})
    args.insert(args.end(), {"-c", setting});
  args.insert(args.end(), {"-c", "shared_preload_libraries=" + options.extension.string()});
  args.push_back("postgres");
  return args;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (auto& string : strings) out.push_back(string.data());
  out.push_back(nullptr);
  return out;
}

struct FileActions {
  posix_spawn_file_actions_t actions;
  FileActions() { posix_spawn_file_actions_init(&actions); }
  ~FileActions() { posix_spawn_file_actions_destroy(&actions); }
};

struct Attributes {
  posix_spawnattr_t attributes;
  Attributes() {
    posix_spawnattr_init(&attributes);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    // Its own group: a Ctrl-C at our terminal is for us, it ends when we do.
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  }
  ~Attributes() { posix_spawnattr_destroy(&attributes); }
};

void give_away(const fs::path& directory, const RedoProcessOptions::RunAs& owner) {
  if (chown(directory.c_str(), owner.uid, owner.gid) != 0) throw system_error(errno, "chown");
  for (const auto& entry : fs::recursive_directory_iterator(directory))
    if (chown(entry.path().c_str(), owner.uid, owner.gid) != 0) throw system_error(errno, "chown");
}

std::string how_it_ended(int status) {
  if (WIFSIGNALED(status)) return fmt::format("killed by {}", strsignal(WTERMSIG(status)));
  return fmt::format("exited with {}", WEXITSTATUS(status));
}

// By its own doing, that is by what it was given; not so if it was killed or ran out of something.
bool crashed(int status) {
  if (!WIFSIGNALED(status)) return false;
  switch (WTERMSIG(status)) {
    case SIGSEGV:
    case SIGBUS:
    case SIGABRT:
    case SIGFPE:
    case SIGILL:
    case SIGSYS:
      return true;
    default:
      return false;
  }
}

}  // namespace

RedoProcess::RedoProcess(const RedoProcessOptions& options, fs::path directory)
    : directory_(std::move(directory)) {
  try {
    make_redo_directory(directory_, options.major);
    if (options.run_as) give_away(directory_, *options.run_as);
    spawn(options);
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(directory_, ignored);
    throw;
  }
}

void RedoProcess::spawn(const RedoProcessOptions& options) {
  Pipe in = make_pipe();
  Pipe out = make_pipe();
  log_ = UniqueFd(memfd_create("redo-log", MFD_CLOEXEC));
  if (!log_.valid()) throw system_error(errno, "memfd_create");
  set_nonblocking(in.write);
  set_nonblocking(out.read);

  FileActions files;
  posix_spawn_file_actions_adddup2(&files.actions, in.read.get(), 0);
  posix_spawn_file_actions_adddup2(&files.actions, out.write.get(), 1);
  posix_spawn_file_actions_adddup2(&files.actions, log_.get(), 2);
  // A descriptor that leaked into the sandbox would be in an attacker's hands.
  posix_spawn_file_actions_addclosefrom_np(&files.actions, 3);
  Attributes attributes;
  auto args = command_line(options, directory_);
  std::vector<std::string> environment = {
      "HALOGEN_REDO=1", fmt::format("HALOGEN_REDO_MEMORY={}", options.memory_limit), "LC_ALL=C",
      "TZ=UTC"};
  int failed = posix_spawn(&pid_, args[0].c_str(), &files.actions, &attributes.attributes,
                           pointers(args).data(), pointers(environment).data());
  if (failed != 0) {
    pid_ = -1;
    throw system_error(failed, args[0]);
  }
  requests_ = std::move(in.write);
  replies_ = std::move(out.read);
}

RedoProcess::~RedoProcess() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) continue;
  }
  if (directory_.empty()) return;
  try {
    remove_redo_directory(directory_);
  } catch (const Error&) {
    // The pool tries again when it starts anew.
  }
}

void RedoProcess::wait_ready(Deadline deadline) {
  Reply hello = receive_reply(deadline);
  if (hello.status != REDO_READY)
    throw Error(Errc::unavailable, "redo process cannot start: {}", hello.body);
  if (hello.detail != REDO_VERSION)
    throw Error(Errc::unavailable, "{} speaks version {} of the redo protocol, not {}",
                "the extension", hello.detail, REDO_VERSION);
  remove_redo_directory(directory_);
  directory_.clear();
}

RedoProcess::Reply RedoProcess::exchange(Bytes request, Deadline deadline) {
  send(request, deadline);
  return receive_reply(deadline);
}

void RedoProcess::wait_for(int fd, short events, Deadline deadline) {
  pollfd wanted{fd, events, 0};
  while (true) {
    auto left = std::min<std::chrono::milliseconds>(deadline.left(), std::chrono::hours(1));
    int ready = poll(&wanted, 1, static_cast<int>(left.count()));
    if (ready > 0) return;
    if (ready < 0 && errno != EINTR) throw system_error(errno, "poll");
    if (deadline.passed()) throw Error(Errc::timed_out, "redo took longer than the deadline");
  }
}

void RedoProcess::send(Bytes bytes, Deadline deadline) {
  while (!bytes.empty()) {
    ssize_t done = write(requests_.get(), bytes.data(), bytes.size());
    if (done >= 0)
      bytes = bytes.subspan(static_cast<size_t>(done));
    else if (errno == EAGAIN)
      wait_for(requests_.get(), POLLOUT, deadline);
    else if (errno == EPIPE)
      throw_ended();
    else if (errno != EINTR)
      throw system_error(errno, "write to a redo process");
  }
}

void RedoProcess::receive(std::span<std::byte> to, Deadline deadline) {
  while (!to.empty()) {
    ssize_t done = read(replies_.get(), to.data(), to.size());
    if (done > 0)
      to = to.subspan(static_cast<size_t>(done));
    else if (done == 0)
      throw_ended();
    else if (errno == EAGAIN)
      wait_for(replies_.get(), POLLIN, deadline);
    else if (errno != EINTR)
      throw system_error(errno, "read from a redo process");
  }
}

RedoProcess::Reply RedoProcess::receive_reply(Deadline deadline) {
  RedoReply header;
  wait_for(replies_.get(), POLLIN, deadline);  // It is never there at once: spare a read.
  receive(std::as_writable_bytes(std::span(&header, 1)), deadline);
  if (header.magic != REDO_REPLY_MAGIC || header.body > REDO_PAGE_SIZE)
    throw Error(Errc::unavailable, "a redo process answers nonsense");
  Reply reply{header.status, header.detail, std::string(header.body, '\0')};
  receive(std::as_writable_bytes(std::span(reply.body)), deadline);
  if (reply.status == REDO_PAGE && reply.body.size() != REDO_PAGE_SIZE)
    throw Error(Errc::unavailable, "a redo process answers half a page");
  return reply;
}

// The stream's end comes before the process is gone: wait for it, the reason is worth having.
void RedoProcess::throw_ended() {
  int status = 0;
  kill(pid_, SIGKILL);  // Without effect on one that has ended.
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) continue;
  pid_ = -1;

  char said[512];
  off_t size = lseek(log_.get(), 0, SEEK_END);
  off_t from = std::max<off_t>(0, size - static_cast<off_t>(sizeof said));
  ssize_t got = pread(log_.get(), said, sizeof said, from);
  std::string_view text(said, got > 0 ? static_cast<size_t>(got) : 0);
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  throw Error(crashed(status) ? Errc::corrupt : Errc::unavailable, "redo process {}{}{}",
              how_it_ended(status), text.empty() ? "" : ": ", text);
}

}  // namespace halogen::pageserver
