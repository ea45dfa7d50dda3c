// `halogen up`: the platform itself. In the foreground this process is it; detached, a child is, in
// its own session, and this one relays its progress until it is ready.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/context.h"
#include "platform/platform.h"

namespace halogen::cli {

using nlohmann::json;

namespace {

struct UpFlags {
  bool detach = false;
  std::string host = "127.0.0.1";
  int pg_port = 5432;
  int http_port = 8080;
  int sql_port = 4444;
  size_t max_request_mb = 10;
  size_t max_response_mb = 10;
  int drain_seconds = 10;
  std::string isolation = "rooms";
  std::vector<std::string> without;
  unsigned room_uids = 0;
  uint64_t memory = 0;
  uint64_t cache_size = 0;
  uint64_t layer_cache_size = 0;
  size_t layer_kb = 64 << 10;
  size_t merge_files = 8;
  int64_t history_interval_ms = 60000;
  std::string native_redo = "on";
  std::string wal = "in-place";
  std::string libraries;
  std::string console;
  std::string key_file;
  bool forget_unreadable_passwords = false;
  bool open_metrics = false;
  double api_rate = 0;
  std::string log_format = "text";
  std::string object_store;
  std::string object_store_endpoint;
  std::string object_store_region;
  std::string object_store_credentials;
  std::string object_store_key_file;
  std::string from;
  int64_t object_store_interval_ms = 2000;
  int64_t object_store_grace_ms = 600'000;
};

// A signal asks to stop by a byte in a pipe: nothing else is safe in a handler, and a blocked mask
// would be inherited by every Postgres. The second signal is for clients that are waited for, the
// third ends at once.
int stop_pipe[2] = {-1, -1};
volatile sig_atomic_t stops_asked = 0;

void ask_to_stop(int) {
  if (stops_asked == 2) ::_exit(kFailed);
  stops_asked = stops_asked + 1;
  char byte = 0;
  [[maybe_unused]] ssize_t ignored = ::write(stop_pipe[1], &byte, 1);
}

void catch_signals() {
  if (::pipe2(stop_pipe, O_CLOEXEC) != 0) throw system_error(errno, "pipe");
  struct sigaction action{};
  action.sa_handler = ask_to_stop;
  sigfillset(&action.sa_mask);
  for (int signal : {SIGTERM, SIGINT}) ::sigaction(signal, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGHUP, SIG_IGN);
}

void wait_for_signal() {
  char byte;
  while (::read(stop_pipe[0], &byte, 1) < 0 && errno == EINTR) {
  }
}

fs::path library_folder(const UpFlags& flags) {
  if (!flags.libraries.empty()) return flags.libraries;
  return fs::read_symlink("/proc/self/exe").parent_path().parent_path() / "lib";
}

// The console: beside an installed program, or in the clone that it was built in. Empty: there is
// none.
fs::path console_folder(const UpFlags& flags) {
  if (!flags.console.empty()) return flags.console == "none" ? fs::path() : fs::path(flags.console);
  const fs::path bin = fs::read_symlink("/proc/self/exe").parent_path();
  std::error_code ignored;
  for (const char* place : {"../share/halogen/console", "../../../web/dist"})
    if (fs::path folder = bin / place; fs::exists(folder / "index.html", ignored)) return folder;
  return {};
}

IsolationLayers isolation_layers(const UpFlags& flags) {
  IsolationLayers layers;
  layers.rooms = flags.isolation == "rooms";
  for (const std::string& name : flags.without)
    if (!take_out(layers, name))
      throw Error(Errc::invalid_argument, "there is no layer of isolation named \"{}\"", name);
  return layers;
}

json result_of(platform::Platform& platform, bool has_console) {
  platform::Description self = platform.description();
  json result = json::parse(self.to_json());
  result["connection_string"] = platform.connection_string();
  if (has_console) {
    result["console_link"] = platform.console_link();
    result["operator_password"] = platform.operator_password();
  }
  return result;
}

void print_result(const Context& context, const json& result) {
  if (context.json) return print_json(result);
  std::string ca_file = result.value("ca_file", "");
  fmt::print(stderr, "\nHalogen is ready. API: {}  Log: {}\n", result.value("api_url", ""),
             result.value("log_file", ""));
  if (result.contains("console_link"))
    fmt::print(
        stderr,
        "Console: {}\n  (this link signs in once, within an hour; later {} with the password "
        "{})\n",
        result.value("console_link", ""), result.value("http_url", ""),
        result.value("operator_password", ""));
  fmt::print(stderr, "To check the server's identity, too: sslmode=verify-full sslrootcert={}\n",
             ca_file);
  fmt::print(stderr, "Connect with psql and this connection string:\n\n");
  fmt::print("{}\n", result.value("connection_string", ""));
  std::fflush(stdout);
}

// Runs until a signal; `ready` is told once the platform answers.
void run_platform(const platform::Options& options, std::chrono::seconds drain_time,
                  const platform::Progress& progress,
                  const std::function<void(const json&)>& ready) {
  catch_signals();
  platform::Platform platform(options, progress);
  platform.start();
  ready(result_of(platform, !options.console_folder.empty()));
  wait_for_signal();
  progress("Stopping");
  platform.drain(drain_time, [] { return stops_asked < 2; });
  platform.stop();
}

// What the child says to the parent, one line each: ". progress", "! error", "= result".
void say(int fd, char kind, const std::string& text) {
  std::string line = fmt::format("{} {}\n", kind, text);
  [[maybe_unused]] ssize_t ignored = ::write(fd, line.data(), line.size());
}

[[noreturn]] void run_detached(const platform::Options& options, std::chrono::seconds drain_time,
                               UniqueFd to_parent) {
  int fd = to_parent.get();
  try {
    ::setsid();
    platform::Layout layout(options.home);
    UniqueFd output = open_file(layout.output, O_WRONLY | O_CREAT | O_APPEND, 0640);
    UniqueFd nothing = open_file("/dev/null", O_RDONLY);
    ::dup2(nothing.get(), 0);
    ::dup2(output.get(), 1);
    ::dup2(output.get(), 2);
    run_platform(
        options, drain_time,
        [&](const std::string& line) {
          if (to_parent.valid()) say(fd, '.', line);
        },
        [&](const json& result) {
          say(fd, '=', result.dump());
          to_parent.reset();
        });
    ::_exit(kOk);
  } catch (const std::exception& error) {
    if (to_parent.valid()) say(fd, '!', error.what());
    ::_exit(kFailed);
  }
}

void detach(const Context& context, const platform::Options& options,
            std::chrono::seconds drain_time) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw system_error(errno, "pipe");
  UniqueFd from_child(ends[0]);
  UniqueFd to_parent(ends[1]);
  std::fflush(nullptr);
  pid_t pid = ::fork();
  if (pid < 0) throw system_error(errno, "fork");
  if (pid == 0) {
    from_child.reset();
    run_detached(options, drain_time, std::move(to_parent));
  }
  to_parent.reset();
  FILE* lines = ::fdopen(from_child.release(), "r");
  char* line = nullptr;
  size_t room = 0;
  while (::getline(&line, &room, lines) > 2) {
    std::string text(line + 2, std::strlen(line + 2) - 1);
    if (line[0] == '.') fmt::print(stderr, "{}...\n", text);
    if (line[0] == '!') throw Error(Errc::internal, "{}", text);
    if (line[0] == '=') return print_result(context, json::parse(text));
  }
  throw Error(Errc::internal, "it ended while starting. See {} and {}",
              platform::Layout(options.home).output.string(),
              platform::Layout(options.home).log.string());
}

platform::ObjectStoreFlags store_flags(const UpFlags& flags) {
  return {.url = flags.object_store,
          .endpoint = flags.object_store_endpoint,
          .region = flags.object_store_region,
          .credentials_file = flags.object_store_credentials,
          .key_file = flags.object_store_key_file,
          .from = flags.from,
          .interval = std::chrono::milliseconds(flags.object_store_interval_ms),
          .grace = std::chrono::milliseconds(flags.object_store_grace_ms)};
}

void up(const Context& context, const UpFlags& flags) {
  platform::Options options;
  options.home = context.layout().home;
  options.host = flags.host;
  options.pg_port = flags.pg_port;
  options.http_port = flags.http_port;
  options.sql_port = flags.sql_port;
  options.max_request = flags.max_request_mb << 20;
  options.max_response = flags.max_response_mb << 20;
  options.libraries = library_folder(flags);
  options.console_folder = console_folder(flags);
  options.layers = isolation_layers(flags);
  if (!flags.key_file.empty()) options.key_file = fs::absolute(flags.key_file);
  options.forget_unreadable_passwords = flags.forget_unreadable_passwords;
  options.open_metrics = flags.open_metrics;
  options.api_rate = flags.api_rate;
  options.log_json = flags.log_format == "json";
  options.first_room_uid = flags.room_uids;
  options.memory_bytes = flags.memory;
  options.cache_bytes = flags.cache_size;
  if (flags.layer_cache_size > 0) options.local_layer_bytes = flags.layer_cache_size;
  options.layer_bytes = flags.layer_kb << 10;
  options.merge_files = flags.merge_files;
  options.native_redo = flags.native_redo;
  options.history_interval = std::chrono::milliseconds(flags.history_interval_ms);
  options.wal = flags.wal == "pull" ? WalPath::pull : WalPath::in_place;
  options.store_flags = store_flags(flags);
  platform::prepare(options);
  std::chrono::seconds drain_time(flags.drain_seconds);
  if (flags.detach) return detach(context, options, drain_time);
  run_platform(
      options, drain_time, [](const std::string& line) { fmt::print(stderr, "{}...\n", line); },
      [&](const json& result) {
        print_result(context, result);
        fmt::print(stderr, "\nCtrl-C stops it; the data stays.\n");
      });
}

void add_store_options(CLI::App* command, UpFlags& flags) {
  command
      ->add_option("--object-store", flags.object_store,
                   "Copy all that is stored there, within seconds: file:///path or "
                   "s3://bucket/prefix. Remembered; none: no more")
      ->type_name("URL")
      ->envname("HALOGEN_OBJECT_STORE");
  command
      ->add_option("--from", flags.from,
                   "Begin with what this object store has, in an empty home, and go on copying "
                   "there")
      ->type_name("URL");
  command
      ->add_option("--object-store-endpoint", flags.object_store_endpoint,
                   "Of an S3 service that is not Amazon's: http(s)://host:port. Remembered")
      ->type_name("URL");
  command->add_option("--object-store-region", flags.object_store_region,
                      "Of the bucket; by default us-east-1. Remembered");
  command
      ->add_option("--object-store-credentials", flags.object_store_credentials,
                   "A file as ~/.aws/credentials is; by default AWS_ACCESS_KEY_ID and "
                   "AWS_SECRET_ACCESS_KEY in the environment. Remembered")
      ->type_name("PATH");
  command
      ->add_option("--object-store-key-file", flags.object_store_key_file,
                   "A file with a long random line. It seals the keys of passwords and "
                   "certificates, which go to the store only with it. Keep a copy elsewhere. "
                   "Remembered")
      ->type_name("PATH");
  command
      ->add_option("--object-store-interval-ms", flags.object_store_interval_ms,
                   "Between two copies of WAL and the catalog: what a lost machine loses")
      ->check(CLI::Range(100, 60000))
      ->capture_default_str();
  command
      ->add_option("--layer-cache-size", flags.layer_cache_size,
                   "How much of the layer files that the object store has stays on the disk, as "
                   "20GB; by default as much as there is room for")
      ->envname("HALOGEN_LAYER_CACHE_SIZE")
      ->transform(CLI::AsSizeValue(false))
      ->check(CLI::Range(uint64_t{1} << 20, uint64_t{1} << 50));
  command
      ->add_option("--object-store-grace-ms", flags.object_store_grace_ms,
                   "Before what nothing names any more is removed from the store")
      ->check(CLI::Range(0, 86'400'000))
      ->group("");
}

}  // namespace

void add_up(CLI::App& app, Context& context) {
  auto flags = std::make_shared<UpFlags>();
  CLI::App* command =
      app.add_subcommand("up", "Start everything; prints the first project's connection string");
  command->add_flag("-d,--detach", flags->detach, "Return when it is ready; it goes on alone");
  command->add_option("--host", flags->host, "The IP address to listen on")->capture_default_str();
  command->add_option("--pg-port", flags->pg_port, "For Postgres clients; 0: any free one")
      ->envname("HALOGEN_PG_PORT")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  command->add_option("--http-port", flags->http_port, "For the API; 0: any free one")
      ->envname("HALOGEN_HTTP_PORT")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  command
      ->add_option("--sql-port", flags->sql_port,
                   "For SQL over HTTP and WebSockets, with TLS; 0: any free one")
      ->envname("HALOGEN_SQL_PORT")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  command
      ->add_option("--sql-max-request", flags->max_request_mb,
                   "How long a query over HTTP may be, in MiB")
      ->envname("HALOGEN_SQL_MAX_REQUEST")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command
      ->add_option("--sql-max-response", flags->max_response_mb,
                   "How long the answer to one may be, in MiB; beyond 10 it is streamed")
      ->envname("HALOGEN_SQL_MAX_RESPONSE")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command
      ->add_option("--drain-timeout", flags->drain_seconds,
                   "For transactions to end when it is stopped, in seconds")
      ->envname("HALOGEN_DRAIN_TIMEOUT")
      ->check(CLI::Range(0, 120))
      ->capture_default_str();
  command
      ->add_option("--isolation", flags->isolation,
                   "rooms: computes see neither the machine nor each other; none: a database's "
                   "owner can become this program's user")
      ->envname("HALOGEN_ISOLATION")
      ->check(CLI::IsMember({"rooms", "none"}))
      ->capture_default_str();
  command
      ->add_option(
          "--room-uids", flags->room_uids,
          "As root: the first of the 128 user ids that computes run as; by default a range "
          "above 1900000000 that the home's path determines")
      ->envname("HALOGEN_ROOM_UIDS")
      ->check(CLI::Range(1000, 2'000'000'000));
  command
      ->add_option("--memory", flags->memory,
                   "For caches and for WAL that is not in files yet, as 512MB or 2GB; by default a "
                   "quarter of the machine's, at least 256MB")
      ->envname("HALOGEN_MEMORY")
      ->transform(CLI::AsSizeValue(false))
      ->check(CLI::Range(uint64_t{64} << 20, uint64_t{1} << 50));
  command
      ->add_option("--cache-size", flags->cache_size,
                   "How much of its tables and indexes each running compute keeps on the disk; by "
                   "default an eighth of what is free, at least 256MB")
      ->envname("HALOGEN_CACHE_SIZE")
      ->transform(CLI::AsSizeValue(false))
      ->check(CLI::Range(uint64_t{16} << 20, uint64_t{1} << 50));
  command
      ->add_option("--key-file", flags->key_file,
                   "Keys of the passwords in the catalog; by default catalog.keys in the home")
      ->type_name("PATH")
      ->envname("HALOGEN_KEY_FILE");
  command->add_flag("--forget-unreadable-passwords", flags->forget_unreadable_passwords,
                    "When the key file is lost: start without the passwords it encrypts");
  command
      ->add_option(
          "--api-rate", flags->api_rate,
          "Requests a second that one API key may make, and twice as many at once; more are "
          "answered with 429. 0 (the default): as many as it likes")
      ->check(CLI::NonNegativeNumber);
  command->add_flag("--open-metrics", flags->open_metrics, "/metrics needs no key")
      ->envname("HALOGEN_OPEN_METRICS");
  command
      ->add_option("--log-format", flags->log_format, "Of halogen.log: lines of text, or of JSON")
      ->envname("HALOGEN_LOG_FORMAT")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  add_store_options(command, *flags);
  // For tests/isolation: each attack must succeed once the layer that stops it is out.
  command->add_option("--unsafe-without", flags->without, "Layers of isolation to leave out")
      ->delimiter(',')
      ->group("");
  // For tests/chaos: small layers are flushed and merged often.
  command->add_option("--layer-kb", flags->layer_kb, "Size of a layer file")
      ->check(CLI::Range(64, 1 << 20))
      ->group("");
  command->add_option("--merge-files", flags->merge_files, "How many layer files become one")
      ->check(CLI::Range(2, 64))
      ->group("");
  command
      ->add_option("--history-interval-ms", flags->history_interval_ms,
                   "Between two looks at what is too old")
      ->check(CLI::Range(10, 3600000))
      ->group("");
  // Off if our code is suspected of a wrong page; compare: Postgres checks each of its pages.
  command
      ->add_option("--native-redo", flags->native_redo,
                   "Whether the commonest WAL records are applied without redo processes")
      ->envname("HALOGEN_NATIVE_REDO")
      ->check(CLI::IsMember({"on", "off", "compare"}));
  // What safekeepers on other machines will need, kept at work by tests.
  command->add_option("--wal", flags->wal, "How a compute's WAL comes to the safekeeper")
      ->envname("HALOGEN_WAL")
      ->check(CLI::IsMember({"in-place", "pull"}))
      ->group("");
  command
      ->add_option("--console", flags->console,
                   "The folder with the built console; none: it is not served")
      ->envname("HALOGEN_CONSOLE");
  command->add_option("--libraries", flags->libraries, "Where halogen.so was built")->group("");
  explain(command, {"halogen up --detach --pg-port 5433"});
  command->callback([&context, flags] { up(context, *flags); });
}

}  // namespace halogen::cli
