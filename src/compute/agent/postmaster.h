// postmaster.h: one running PostgreSQL server: start, readiness, the ways to stop it.
//
// Safe from any thread, but start and stop are one caller's business.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "compute/agent/spare_postmasters.h"
#include "protocol/compute_host.h"

namespace halogen::compute {

// Where this machine has a Postgres major version: /usr/lib/postgresql/15/bin. Throws unavailable
// and names the package to install.
fs::path postgres_bin_dir(int major);

// What a program wrote to its log from `start` on, the last lines only. Throws io.
std::string last_lines(const fs::path& log, uint64_t start);

class Postmaster {
 public:
  struct Options {
    fs::path data;           // The data directory.
    fs::path data_inside;    // The server's name for it.
    fs::path log;            // Appended to.
    fs::path socket_folder;  // Where we connect to it; a short path.
    // Of a compute that writes its WAL in place; else none. It needs them until it is released.
    std::vector<int> wal{};
  };

  // The usual name of the file that the setting `name` names: in the data directory of one without
  // a room, in its room's configuration of one with.
  static const char* settings_file(std::string_view name);

  // Spawns `program` (.../bin/postgres) with `arguments` besides -D.
  Postmaster(Supervisor& supervisor, const fs::path& program,
             const std::vector<std::string>& arguments, Options options);
  // Lets one that waits begin, with `environment` for the shim.
  // `on_exit` is called once when the process has ended, however; it must not block. Throws
  // unavailable if it has ended already.
  Postmaster(SparePostmaster& spare, const std::vector<std::string>& environment, Options options,
             std::function<void()> on_exit);
  // Kills what still runs.
  ~Postmaster();
  Postmaster(const Postmaster&) = delete;
  Postmaster& operator=(const Postmaster&) = delete;

  // Throws unavailable, with the log's last lines, if it ends instead; timed_out.
  void wait_ready(Deadline deadline);
  bool running() const { return child_->state() != Child::State::ended; }
  int pid() const { return child_->pid(); }
  const Child& process() const { return *child_; }
  ComputeAddress address() const { return {options_.socket_folder.string(), 5432}; }

  // Fast shutdown: sessions are ended, the shutdown checkpoint is written and streamed. False if it
  // did not end cleanly by the deadline: then it still runs, or has crashed.
  bool stop_cleanly(Deadline deadline);
  // Ends every process of it at once, gently for at most `grace`. Nothing of it lives after.
  void kill(std::chrono::milliseconds grace = std::chrono::milliseconds(0));

  // What it wrote to its log since it started, the last lines only.
  std::string last_words() const { return last_lines(options_.log, log_start_); }
  std::string how_it_ended() const { return child_->how_it_ended(); }

 private:
  Options options_;
  uint64_t log_start_;
  std::shared_ptr<Child> child_;
};

// Keeps a log that other processes hold open (for appending) below `limit`: what is there moves to
// `<path>.1`.
void rotate_log(const fs::path& path, uint64_t limit);

}  // namespace halogen::compute
