#include "platform/home.h"

#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/checksum.h"
#include "base/deadline.h"
#include "base/error.h"

namespace halogen::platform {

using nlohmann::json;

namespace {

constexpr std::chrono::seconds kDeathTakes{10};
constexpr size_t kLongestRun = 48;  // Leaves room for what the services put below.

fs::path run_folder(const fs::path& home) {
  fs::path inside = home / "run";
  if (inside.native().size() <= kLongestRun) return inside;
  return fs::path("/tmp") / fmt::format("halogen-{:08x}", crc32c(as_bytes(home.native())));
}

// False for one that is gone, or a zombie whose threads may still be on their way out.
bool is_alive(int pid) {
  std::ifstream stat(fmt::format("/proc/{}/stat", pid));
  std::string text;
  if (!std::getline(stat, text)) return false;
  size_t state = text.rfind(')') + 2;  // "pid (name) S ...": the name may hold anything.
  return state < text.size() && text[state] != 'Z' && text[state] != 'X';
}

}  // namespace

fs::path default_home() {
  if (const char* home = std::getenv("HALOGEN_HOME"); home != nullptr && *home != 0)
    return fs::absolute(home).lexically_normal();
  if (::geteuid() == 0) return "/var/lib/halogen";
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == 0) {
    const passwd* user = ::getpwuid(::geteuid());
    if (user == nullptr) throw Error(Errc::invalid_argument, "set HALOGEN_HOME: there is no HOME");
    home = user->pw_dir;
  }
  return fs::path(home) / ".local/share/halogen";
}

Layout::Layout(fs::path folder) {
  std::string path = folder.lexically_normal().native();
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  home = path;
  run = run_folder(home);
  lock = home / "platform.lock";
  description = home / "platform.json";
  log = home / "halogen.log";
  output = home / "output.log";
  certificates = home / "certificates";
  catalog = home / "catalog.db";
  api_key = home / "api_key";
}

std::string Description::to_json() const {
  json object = {{"pid", pid},           {"pg_host", pg_host},
                 {"pg_port", pg_port},   {"sql_port", sql_port},
                 {"http_url", http_url}, {"api_url", api_url},
                 {"ca_file", ca_file},   {"home", home},
                 {"log_file", log_file}, {"started_at", started_at}};
  return object.dump(2) + "\n";
}

Description Description::from_json(const std::string& text) {
  json object = json::parse(text, nullptr, false);
  if (!object.is_object()) throw Error(Errc::corrupt, "platform.json is damaged");
  Description found;
  found.pid = object.value("pid", 0);
  found.pg_host = object.value("pg_host", "");
  found.pg_port = object.value("pg_port", 0);
  found.sql_port = object.value("sql_port", 0);
  found.http_url = object.value("http_url", "");
  found.api_url = object.value("api_url", "");
  found.ca_file = object.value("ca_file", "");
  found.home = object.value("home", "");
  found.log_file = object.value("log_file", "");
  found.started_at = object.value("started_at", "");
  return found;
}

std::optional<int> running_pid(const Layout& layout) {
  UniqueFd fd(::open(layout.lock.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) {
    if (errno == EACCES)
      throw Error(Errc::permission_denied,
                  "{} belongs to another user: use sudo, or set HALOGEN_HOME to a home of yours",
                  layout.home.string());
    return std::nullopt;
  }
  if (::flock(fd.get(), LOCK_SH | LOCK_NB) == 0) return std::nullopt;
  char text[32] = {};
  ssize_t size = ::pread(fd.get(), text, sizeof text - 1, 0);
  return size > 0 ? std::atoi(text) : 0;
}

std::optional<int> lasting_pid(const Layout& layout) {
  Deadline deadline = Deadline::after(kDeathTakes);
  for (;;) {
    std::optional<int> pid = running_pid(layout);
    if (!pid || is_alive(*pid) || deadline.passed()) return pid;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

bool wait_for_end(int pid, Deadline deadline) {
  // Readable once the process and all its threads are gone, and with them its files and locks.
  UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!process.valid()) return errno == ESRCH;
  pollfd wanted{process.get(), POLLIN, 0};
  while (::poll(&wanted, 1, static_cast<int>(deadline.left().count())) <= 0)
    if (deadline.passed()) return false;
  return true;
}

Description running_platform(const Layout& layout) {
  std::optional<int> pid = running_pid(layout);
  if (!pid)
    throw Error(Errc::not_found, "Halogen is not running in {}. Start it with: halogen up --detach",
                layout.home.string());
  std::error_code ignored;
  if (!fs::exists(layout.description, ignored))
    throw Error(Errc::unavailable, "Halogen (pid {}) is still starting in {}: try again shortly",
                *pid, layout.home.string());
  return Description::from_json(read_file(layout.description));
}

void close_home(const Layout& layout) {
  for (const auto& entry : fs::directory_iterator(layout.home)) {
    std::string name = entry.path().filename();
    if (entry.is_symlink() || name == "certificates" || name == "lib") continue;
    fs::perms closed = fs::perms::group_all | fs::perms::others_all;
    if (name.ends_with(".log")) closed &= ~fs::perms::group_read;
    std::error_code not_ours;
    fs::permissions(entry.path(), closed, fs::perm_options::remove, not_ours);
  }
}

HomeLock::HomeLock(const Layout& layout) : fd_(open_file(layout.lock, O_RDWR | O_CREAT, 0600)) {
  if (::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
    std::optional<int> pid = running_pid(layout);
    throw Error(Errc::conflict, "Halogen is already running in {} (pid {})", layout.home.string(),
                pid.value_or(0));
  }
  std::string text = fmt::format("{}\n", ::getpid());
  if (::ftruncate(fd_.get(), 0) != 0) throw system_error(errno, layout.lock.string());
  pwrite_all(fd_.get(), as_bytes(text), 0);
}

}  // namespace halogen::platform
