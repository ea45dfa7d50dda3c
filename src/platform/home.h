// home.h: the one folder everything lives below, who uses it now, and where that one listens.
#pragma once
#include <optional>
#include <string>

#include "base/deadline.h"
#include "base/file.h"

namespace halogen::platform {

// $HALOGEN_HOME, else /var/lib/halogen for root, else ~/.local/share/halogen.
fs::path default_home();

// What lies where. Only `run` may be outside: socket paths are short by law (107 bytes).
struct Layout {
  explicit Layout(fs::path home);

  fs::path home;
  fs::path run;
  fs::path lock;         // Held with flock while a platform uses the home; the pid is in it.
  fs::path description;  // platform.json, while a platform is ready.
  fs::path log;          // The platform's log.
  fs::path output;       // Standard output and error of one that was detached.
  fs::path certificates;
  fs::path catalog;
};

// What the command line needs to find a running platform. Kept at mode 0600: it has the key.
struct Description {
  int pid = 0;
  std::string pg_host;
  int pg_port = 0;
  std::string http_url;
  std::string api_url;
  std::string api_key;
  std::string ca_file;
  std::string home;
  std::string log_file;
  std::string started_at;

  std::string to_json() const;
  static Description from_json(const std::string& text);
};

// The pid of the platform that uses this home now. permission_denied if we may not look.
std::optional<int> running_pid(const Layout& layout);
// As running_pid(), but one that has been killed and is still being taken apart by the kernel
// (which takes its time with threads and mappings) is waited for.
std::optional<int> lasting_pid(const Layout& layout);
// False if the process still runs at the deadline.
bool wait_for_end(int pid, Deadline deadline);
// not_found, saying what to do, if none runs; unavailable while it starts.
Description running_platform(const Layout& layout);

// Holds the home for this process. conflict, naming the pid, if another has it.
class HomeLock {
 public:
  explicit HomeLock(const Layout& layout);

 private:
  UniqueFd fd_;
};

}  // namespace halogen::platform
