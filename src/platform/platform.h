// platform.h: every service in one process, wired together. The only place that sees them all.
#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/file.h"
#include "platform/home.h"
#include "platform/object_store.h"
#include "protocol/isolation.h"
#include "protocol/safekeeper_admin.h"

namespace halogen::compute {
class Warden;
}

namespace halogen::control::console {
class ConsoleFiles;
}

namespace halogen::platform {

struct Options {
  fs::path home;
  std::string host = "127.0.0.1";  // 127.0.0.1 means ::1, too; 0.0.0.0 means :: too.
  int pg_port = 5432;              // 0 = any free one.
  int http_port = 8080;            // Likewise.
  int sql_port = 4444;             // Likewise: SQL over HTTP and WebSockets.
  size_t max_request = 10 << 20;   // What a query over HTTP may be long,
  size_t max_response = 10 << 20;  // and its answer, in bytes.
  std::string region = "us-east-1";
  std::string domain = "localhost";
  IsolationLayers layers{};
  fs::path key_file;  // Of the catalog's passwords; empty: <home>/catalog.keys.
  bool forget_unreadable_passwords = false;
  bool open_metrics = false;    // /metrics needs no key.
  double api_rate = 0;          // Requests a second of one API key; 0: no limit.
  bool log_json = false;        // Lines of the log are JSON (base/log_trace.h).
  unsigned first_room_uid = 0;  // Of the users that computes run as, if we are root. 0: choose.
  uint64_t memory_bytes = 0;    // Of caches and WAL in this process. 0: prepare() chooses.
  uint64_t cache_bytes = 0;     // On the disk, of each running compute. 0: a share of it.
  uint64_t local_layer_bytes = UINT64_MAX;  // Of layer files here that the object store has, too.
  size_t layer_bytes = 64 << 20;   // How much of a timeline's WAL is in memory, then in one file.
  size_t merge_files = 8;          // How many files of one size become one.
  std::string native_redo = "on";  // See pageserver::NativeRedo::Mode.
  std::chrono::milliseconds history_interval{60000};  // How often what is too old is forgotten.
  WalPath wal = WalPath::in_place;  // How a compute's WAL comes to the safekeeper.
  fs::path console_folder;          // Where the console was built; empty: none is served.
  std::shared_ptr<const control::console::ConsoleFiles> console;  // By prepare(): what is there.
  ObjectStoreFlags store_flags;
  std::optional<ObjectStore> store;           // By prepare(), with its credentials.
  std::optional<ObjectStore> store_to_leave;  // Likewise, as long as files are there alone.
  fs::path libraries;  // Where halogen.so, halogen.sql and libhalogen_shim.so were built.
  // By prepare(): sockets that listen where only root may, by host and port.
  using Bound = std::map<std::pair<std::string, int>, UniqueFd>;
  std::shared_ptr<Bound> bound;
  // By prepare(): makes the computes' rooms, and what bounds their use of the machine.
  std::shared_ptr<compute::Warden> warden;
  std::string shares = "none";
};

// Told what is being done, one line each, for a person who waits.
using Progress = std::function<void(const std::string&)>;

// Everything that must come before threads, in this order: is it running already, are the ports
// free, is Postgres there, is there space; then the home is made and taken (as root: for another
// user, whom we become), the libraries are copied, and the warden of the computes' rooms is
// started. From here on nobody looks into this process (no core, no ptrace), and what is made
// without a thought of its mode is the owner's alone. Fills in ports that are 0, the libraries and
// the warden.
void prepare(Options& options);

class Platform {
 public:
  // Takes the home's lock and opens the log. Throws conflict if another has it.
  Platform(Options options, Progress progress);
  ~Platform();

  // Starts everything, in the order of dependencies; makes the template, if there is none, and the
  // first project. Then platform.json is there. What was started is stopped again if it throws.
  void start();
  // Ends clients as they come to rest, so that stop() cuts off few: see Proxy::drain().
  void drain(std::chrono::milliseconds patience, const std::function<bool()>& goes_on);
  // The reverse; computes are suspended cleanly.
  void stop();

  Description description() const;
  // Direct, of the oldest project's default branch.
  std::string connection_string() const;
  // A link into the console that works once, and the password that always does.
  std::string console_link();
  std::string operator_password();

 private:
  struct Services;
  void take_up_store();
  void start_storage();
  void start_archive();
  void make_template();
  void start_control();
  void describe();

  Options options_;
  Layout layout_;
  Progress progress_;
  std::string connection_string_;
  std::unique_ptr<HomeLock> lock_;
  std::unique_ptr<Services> services_;
};

}  // namespace halogen::platform
