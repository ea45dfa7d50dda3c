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
  fs::path api_key;  // The operator's key of the API.
};

// What the command line needs to find a running platform, but for the key of its API: that is in a
// file of its own, so that what is printed, sent or attached to a report of a fault has no secret.
struct Description {
  int pid = 0;
  std::string pg_host;
  int pg_port = 0;
  int sql_port = 0;  // SQL over HTTP and WebSockets.
  std::string http_url;
  std::string api_url;
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

// Closes what an older program left open in the home: no file or folder right in it lets anyone but
// its owner in, logs their group, `certificates` and `lib` everybody.
void close_home(const Layout& layout);

// Holds the home for this process. conflict, naming the pid, if another has it.
class HomeLock {
 public:
  explicit HomeLock(const Layout& layout);

 private:
  UniqueFd fd_;
};

}  // namespace halogen::platform
