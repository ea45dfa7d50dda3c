#include "compute/agent/postmaster.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "compute/agent/process.h"

namespace halogen::compute {
namespace {

const log::Logger logger("compute");

constexpr std::chrono::seconds kKillDeadline{20};

uint64_t size_of(const fs::path& path) {
  std::error_code error;
  uint64_t size = fs::file_size(path, error);
  return error ? 0 : size;
}

Launch launch_of(const fs::path& program, const std::vector<std::string>& arguments,
                 const Postmaster::Options& options) {
  Launch launch;
  launch.program = program.string();
  launch.arguments = {"-D", options.data.string()};
  launch.arguments.insert(launch.arguments.end(), arguments.begin(), arguments.end());
  launch.environment = {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8",
                        "HOME=" + options.data.string()};
  launch.folder = options.data;
  launch.log = options.log;
  launch.notify_socket = options.socket_folder / "notify";
  return launch;
}

}  // namespace

const char* Postmaster::settings_file(std::string_view name) {
  if (name == "config_file") return "postgresql.conf";
  if (name == "hba_file") return "pg_hba.conf";
  CHECK(name == "ident_file");
  return "pg_ident.conf";
}

fs::path postgres_bin_dir(int major) {
  fs::path bin = fmt::format("/usr/lib/postgresql/{}/bin", major);
  if (::access((bin / "postgres").c_str(), X_OK) != 0)
    throw Error(Errc::unavailable,
                "PostgreSQL {0} is not installed ({1} is missing): apt-get install postgresql-{0}",
                major, (bin / "postgres").string());
  return bin;
}

Postmaster::Postmaster(Supervisor& supervisor, const fs::path& program,
                       const std::vector<std::string>& arguments, Options options)
    : options_(std::move(options)), log_start_(size_of(options_.log)) {
  refuse_root();
  child_ = supervisor.spawn(launch_of(program, arguments, options_));
}

Postmaster::Postmaster(SparePostmaster& spare, const std::vector<std::string>& environment,
                       Options options, std::function<void()> on_exit)
    : options_(std::move(options)), log_start_(size_of(options_.log)), child_(spare.take()) {
  std::vector<std::string> words = {"PGDATA=" + options_.data_inside.string(),
                                    "HOME=" + options_.data_inside.string()};
  words.insert(words.end(), environment.begin(), environment.end());
  if (!child_->release(words, options_.log, options_.wal, std::move(on_exit)))
    throw Error(Errc::unavailable, "postgres ended before it began ({})", child_->how_it_ended());
}

Postmaster::~Postmaster() {
  try {
    kill();
  } catch (const std::exception& error) {
    logger.error("{}: {}", options_.data.string(), error.what());
  }
}

void Postmaster::wait_ready(Deadline deadline) {
  switch (child_->wait_ready(deadline)) {
    case Child::State::ready:
      return;
    case Child::State::ended:
      throw Error(Errc::unavailable, "postgres ended while starting ({}): {}",
                  child_->how_it_ended(), last_words());
    case Child::State::starting:
      throw Error(Errc::timed_out, "postgres was not ready in time: {}", last_words());
  }
}

bool Postmaster::stop_cleanly(Deadline deadline) {
  child_->signal(SIGINT);
  return child_->wait_end(deadline) && child_->ended_well();
}

void Postmaster::kill(std::chrono::milliseconds grace) {
  if (running() && grace.count() > 0) {
    child_->signal(SIGQUIT);
    child_->wait_end(Deadline::after(grace));
  }
  bool gone = !running();
  if (!gone) child_->kill();
  if (gone && child_->ended_well()) return;  // It waits for all its children before it goes.
  if (!child_->has_room()) kill_postgres_in(options_.data, Deadline::after(kKillDeadline));
  if (!child_->wait_end(Deadline::after(kKillDeadline)))
    throw Error(Errc::timed_out, "postgres (pid {}) does not die", pid());
  if (!child_->has_room()) remove_shared_memory(options_.data);
}

std::string last_lines(const fs::path& log, uint64_t start) {
  constexpr uint64_t kMost = 2000;
  uint64_t size = size_of(log);
  uint64_t from = std::max(start, size > kMost ? size - kMost : 0);
  if (from >= size) return "its log is empty";
  UniqueFd fd = open_file(log, O_RDONLY);
  std::string text = pread_exact(fd.get(), size - from, from);
  if (from > start) text.erase(0, text.find('\n') + 1);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

void rotate_log(const fs::path& path, uint64_t limit) {
  if (size_of(path) <= limit) return;
  fs::path old = path;
  old += ".1";
  std::error_code error;
  fs::copy_file(path, old, fs::copy_options::overwrite_existing, error);
  // The writers append, so they go on at the new end. A line written in between is lost.
  ::truncate(path.c_str(), 0);
}

}  // namespace halogen::compute
