// redo_process.h: one sandboxed postgres in redo mode, and one request at a time to it.
//
// It lives as long as the object: killed by the destructor, and it ends by itself when this process
// dies, at the end of its input. Once ready it has no files; while it starts it has a directory.
//
// Threads: one at a time.
#pragma once
#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "base/bytes.h"
#include "base/deadline.h"
#include "base/file.h"
#include "pageserver/redo/redo.h"

namespace halogen::pageserver {

struct RedoProcessOptions {
  int major = 15;
  std::string postgres_bin = "/usr/lib/postgresql/15/bin/postgres";
  fs::path extension;                         // halogen.so, an absolute path.
  uint64_t memory_limit = uint64_t{1} << 30;  // Of its address space, once it is ready.
  // For tests that run as root, which postgres refuses: start it as this user.
  struct RunAs {
    uid_t uid;
    gid_t gid;
  };
  std::optional<RunAs> run_as;
};

class RedoProcess {
 public:
  // Starts it on a new directory of that name; io when that fails. Not ready yet.
  RedoProcess(const RedoProcessOptions& options, fs::path directory);
  ~RedoProcess();
  RedoProcess(const RedoProcess&) = delete;
  RedoProcess& operator=(const RedoProcess&) = delete;

  // Until it is sandboxed and waits for requests (about 30 ms). Throws unavailable with what it
  // said, or timed_out.
  void wait_ready(Deadline deadline);

  struct Reply {
    uint16_t status;  // REDO_PAGE, REDO_REFUSED, REDO_FAILED or REDO_SHORT.
    uint32_t detail;
    std::string body;
  };
  // One whole request (see redo_protocol.h) and its answer. Throws unavailable when the process
  // was killed or ended, corrupt when it crashed, timed_out; after any of them, REDO_FAILED or
  // REDO_SHORT, the object is good for nothing but destruction.
  Reply exchange(Bytes request, Deadline deadline);

  pid_t pid() const { return pid_; }

 private:
  void spawn(const RedoProcessOptions& options);
  void wait_for(int fd, short events, Deadline deadline);
  void send(Bytes bytes, Deadline deadline);
  void receive(std::span<std::byte> to, Deadline deadline);
  Reply receive_reply(Deadline deadline);
  [[noreturn]] void throw_ended();

  fs::path directory_;  // Empty once removed.
  pid_t pid_ = -1;
  UniqueFd requests_;  // Our ends of the pipes, non-blocking.
  UniqueFd replies_;
  UniqueFd log_;  // What it writes to standard error, in memory.
};

}  // namespace halogen::pageserver
