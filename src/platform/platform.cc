#include "platform/platform.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>

#include "archive/archive.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/log.h"
#include "base/log_trace.h"
#include "compute/agent/agent.h"
#include "compute/rooms/warden.h"
#include "control/catalog_backup.h"
#include "control/control.h"
#include "net/socket.h"
#include "pageserver/pageserver.h"
#include "pageserver/redo/native_redo.h"
#include "pageserver/redo/redo_pool.h"
#include "platform/checks.h"
#include "platform/disk_watch.h"
#include "platform/memory_shares.h"
#include "platform/privileges.h"
#include "platform/recovery.h"
#include "proxy/proxy.h"
#include "safekeeper/safekeeper.h"

namespace halogen::platform {
namespace {

const log::Logger logger("platform");

constexpr int kMajor = 15;
constexpr uint32_t kRoomUsers = 128;
// What runs for computes, and in them.
const std::vector<std::string> kLibraries = {"halogen.so", "halogen.sql", "halogen_outgoing",
                                             "libhalogen_shim.so"};

// The wildcard and the loopback address stand for both families.
std::vector<std::string> listen_hosts(const std::string& host) {
  if (host == "127.0.0.1") return present_addresses({host, "::1"});
  if (host == "0.0.0.0") return present_addresses({"::", host});
  return {host};
}

void make_own_folder(const fs::path& path) {
  make_private_folder(path, {::geteuid(), ::getegid()});
}

std::string now_text() {
  std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

std::vector<std::string_view> names_of_layers_out(const IsolationLayers& layers) {
  std::vector<std::string_view> names;
  for (const auto& [name, layer] : kIsolationLayers)
    if (!(layers.*layer)) names.push_back(name);
  return names;
}

log::Level log_level() {
  const char* wanted = std::getenv("HALOGEN_LOG");
  return wanted != nullptr && std::string(wanted) == "debug" ? log::Level::debug : log::Level::info;
}

// Far from users of people and packages, and from what container managers take; another range for
// each home, by chance.
compute::UserRange room_users(const Options& options, const Layout& layout) {
  if (::geteuid() != 0) return {};
  constexpr uid_t kFirst = 1'900'000'000;
  uid_t first = options.first_room_uid;
  if (first == 0) first = kFirst + crc32c(as_bytes(layout.home.native())) % 65536 * kRoomUsers;
  return {first, kRoomUsers};
}

// Null where there are none, and then `why_not` says why.
std::shared_ptr<const compute::ControlGroups> take_groups(const Layout& layout, const Owner& owner,
                                                          std::string& why_not) {
  const std::string name = fmt::format("halogen-{:08x}", crc32c(as_bytes(layout.home.native())));
  try {
    return std::make_shared<const compute::ControlGroups>(
        compute::ControlGroups::find_place(name, {owner.uid, owner.gid}));
  } catch (const Error& error) {
    why_not = error.what();
    return nullptr;
  }
}

void start_warden(Options& options, const Layout& layout, const Owner& owner) {
  make_private_folder(layout.home / "compute", owner);
  std::string why_not = "this kernel makes no process in another's group";
  auto groups = take_groups(layout, owner, why_not);
  options.warden = std::make_shared<compute::Warden>(
      compute::RoomsPlan{.rooms = compute::ComputeAgent::rooms_in(layout.home / "compute"),
                         .libraries = options.libraries,
                         .pages = layout.run / "pageserver",
                         .owner = {owner.uid, owner.gid},
                         .users = room_users(options, layout),
                         .groups = groups});
  options.shares = options.warden->has_groups()
                       ? fmt::format("by control groups ({})", groups->controllers())
                       : "only limits of each process: " + why_not;
}

// How computes are kept apart, for status.
std::string describe_rooms(const Options& options) {
  if (!options.warden) return "none";
  if (options.warden->users() == 0) return "rooms, all as one user";
  return "rooms, each as a user of its own";
}

void say_what_stop_waits_for(size_t count, std::string_view what) {
  if (count > 0) logger.info("stopping: waiting for {} {}", count, what);
}

constexpr std::chrono::seconds kArchiveStop{20};
constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kLeastMemory = 256 * kMiB;
constexpr uint64_t kLayersDropped = 256 * kMiB;  // Each second, while the disk is nearly full.

uint64_t memory_of_machine() {
  return static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
         static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::string describe_memory(const pageserver::Pageserver::Memory& memory, uint64_t messages,
                            uint64_t limit) {
  return fmt::format(
      "{} of {} MiB: {} pages, {} blocks and {} indexes of files, {} WAL, {} messages",
      (memory.total() + messages) / kMiB, limit / kMiB, memory.pages / kMiB, memory.blocks / kMiB,
      memory.indexes / kMiB, memory.layers / kMiB, messages / kMiB);
}

// One endpoint, or one client's address, may have half of it.
proxy::ByteBudget::Limits limits_of(uint64_t bytes) {
  const uint64_t half = std::max(bytes / 2, MemoryShares::kLeastHeld);
  return {.message = half, .endpoint = half, .all = bytes};
}

std::string describe_timelines(const pageserver::Pageserver::Counts& counts) {
  return fmt::format("{} timelines, {} of them awake", counts.timelines, counts.awake);
}

std::string describe_lost(const std::vector<std::string>& branches) {
  constexpr size_t kNamed = 10;
  std::string text = fmt::format("{} were not brought back and cannot be used:", branches.size());
  for (size_t i = 0; i < std::min(kNamed, branches.size()); i++) text += " " + branches[i];
  return branches.size() > kNamed ? text + " and others" : text;
}

std::string describe_layers(const pageserver::LocalLayers::Status& now) {
  std::string text = fmt::format("{} files of {} MiB here", now.files_here, now.bytes_here / kMiB);
  if (now.limit != pageserver::LocalLayers::kNoLimit)
    text += fmt::format(", of {} MiB at most", now.limit / kMiB);
  if (now.files_away > 0)
    text += fmt::format(", {} of {} MiB in the object store alone", now.files_away,
                        now.bytes_away / kMiB);
  if (!now.problem.empty()) text += ", which does not answer: " + now.problem;
  return text;
}

// Before we are no longer root. What does not work here is tried again, and told, by who needs it.
void bind_low_ports(Options& options, const std::vector<std::string>& hosts) {
  constexpr int kFirstForAll = 1024;
  constexpr int kBacklog = 65'535;
  options.bound = std::make_shared<Options::Bound>();
  auto bind = [&](const std::string& host, int port) {
    if (::geteuid() != 0 || port >= kFirstForAll) return;
    try {
      options.bound->emplace(std::pair(host, port), net::listen_tcp(host, port, kBacklog));
    } catch (const Error&) {  // Who needs it finds out why.
    }
  };
  for (const std::string& host : hosts)
    for (int port : {options.pg_port, options.sql_port}) bind(host, port);
  bind(options.host, options.http_port);
}

// A store in a local folder that is not there yet is made while we may be root.
void make_store_folder(const ObjectStore& store, const Owner& owner) {
  constexpr std::string_view kFile = "file://";
  if (!store.settings.config.url.starts_with(kFile)) return;
  const fs::path folder = store.settings.config.url.substr(kFile.size());
  if (fs::is_directory(folder.parent_path()) && !fs::exists(folder))
    make_private_folder(folder, owner);
}

// What goes with the catalog: without it no password can be read, and clients take the new machine
// for a stranger.
archive::SecretFiles secrets_of(const Layout& layout, const fs::path& key_file) {
  archive::SecretFiles files;
  auto add = [&](const std::string& name, const fs::path& file) {
    if (fs::is_regular_file(file)) files[name] = read_file(file);
  };
  add("catalog.keys", key_file.empty() ? layout.home / "catalog.keys" : key_file);
  add("operator_password", layout.home / "operator_password");
  if (fs::is_directory(layout.certificates))
    for (const auto& entry : fs::directory_iterator(layout.certificates))
      add("certificates/" + entry.path().filename().string(), entry.path());
  return files;
}

// What root has bound, if it has.
UniqueFd bound_at(Options::Bound* bound, const std::string& host, int port) {
  if (bound == nullptr) return UniqueFd();
  auto found = bound->find({host, port});
  return found == bound->end() ? UniqueFd() : std::move(found->second);
}

// That, or a new one.
UniqueFd listen_at(Options::Bound* bound, const std::string& host, int port, int backlog) {
  UniqueFd listener = bound_at(bound, host, port);
  return listener.valid() ? std::move(listener) : net::listen_tcp(host, port, backlog);
}

}  // namespace

void prepare(Options& options) {
  Layout layout(options.home);
  if (std::optional<int> pid = lasting_pid(layout))
    throw Error(
        Errc::conflict,
        "Halogen is already running in {} (pid {}). See it with `halogen status`, stop it "
        "with `halogen down`, or run a second one with another HALOGEN_HOME and other ports",
        layout.home.string(), *pid);
  std::vector<std::string> hosts = listen_hosts(options.host);
  if (options.pg_port == 0) options.pg_port = free_port(hosts);
  if (options.http_port == 0) options.http_port = free_port({options.host});
  if (options.sql_port == 0) options.sql_port = free_port(hosts);
  for (const std::string& host : hosts) {
    check_port(host, options.pg_port, "--pg-port");
    check_port(host, options.sql_port, "--sql-port");
  }
  check_port(options.host, options.http_port, "--http-port");
  check_postgres_package(kMajor);
  check_disk_space(layout.home);
  options.store = find_object_store(layout, options.store_flags);
  options.store_to_leave = find_store_to_leave(layout, options.store);
  // No process that is started has them.
  objectstore::forget_credentials_in_environment();
  if (!options.console_folder.empty())
    options.console = control::console::ConsoleFiles::load(options.console_folder);
  if (options.memory_bytes == 0)
    options.memory_bytes = std::max(memory_of_machine() / 4, kLeastMemory);
  ::umask(0077);
  take_home(layout.home, [&](const Owner& owner) {
    options.libraries = copy_libraries(options.libraries, kLibraries, layout.home);
    make_private_folder(layout.run, owner);
    // Computes may be other users; only rooms show it to them.
    make_private_folder(layout.run / "pageserver", owner);
    fs::permissions(layout.run / "pageserver", fs::perms{0711});
    if (options.layers.rooms) start_warden(options, layout, owner);
    if (options.store) make_store_folder(*options.store, owner);
    bind_low_ports(options, hosts);  // After the warden, which would have them, too.
  });
  close_process();
}

// In the order of their dependencies; destroyed in the reverse.
struct Platform::Services {
  std::unique_ptr<archive::Archive> archive;
  std::unique_ptr<safekeeper::Safekeeper> safekeeper;
  std::unique_ptr<pageserver::RedoPool> redo;
  std::unique_ptr<pageserver::NativeRedo> native_redo;
  std::unique_ptr<pageserver::Pageserver> pageserver;
  std::unique_ptr<compute::ComputeAgent> agent;
  std::unique_ptr<DiskWatch> disk;
  std::unique_ptr<control::Control> control;
  std::unique_ptr<proxy::Proxy> proxy;
  std::string started_at = now_text();
  std::vector<std::string> lost_branches;
};

Platform::Platform(Options options, Progress progress)
    : options_(std::move(options)),
      layout_(options_.home),
      progress_(std::move(progress)),
      lock_(std::make_unique<HomeLock>(layout_)),
      services_(std::make_unique<Services>()) {
  log::set_format(options_.log_json ? log::Format::json : log::Format::text);
  log::init(log_level(), layout_.log);
  close_home(layout_);
  raise_file_limit();
  std::error_code ignored;
  fs::remove(layout_.description, ignored);  // A killed platform's.
}

Platform::~Platform() {
  stop();
  if (options_.warden) options_.warden->end();
}

void Platform::start() {
  logger.info("starting in {} (pid {})", layout_.home.string(), ::getpid());
  if (std::string out = layers_out(options_.layers); !out.empty())
    logger.warn("tenants are not isolated from each other and from the platform: without {}", out);
  logger.info("computes: {}; shares of the machine {}", describe_rooms(options_), options_.shares);
  try {
    take_up_store();
    start_storage();
    make_template();
    start_control();
    start_archive();
    connection_string_ = services_->control->first_connection_string();
    describe();
    write_file_durably(layout_.description, description().to_json(), 0600);
  } catch (const std::exception& error) {
    logger.error("did not start: {}", error.what());
    stop();
    throw;
  }
  logger.info("ready: Postgres on {}:{}, SQL over HTTP on {}, API on {}", options_.host,
              options_.pg_port, options_.sql_port, options_.http_port);
}

// What it has that is not here comes first.
void Platform::take_up_store() {
  const RecoveryOptions recovery{options_.key_file, options_.forget_unreadable_passwords,
                                 progress_};
  if (options_.store_to_leave) bring_layers_back(layout_, *options_.store_to_leave, recovery);
  if (!options_.store_flags.from.empty()) {
    restore_home(layout_, *options_.store, recovery);
    options_.store->settings.restoring = false;
  } else if (options_.store) {
    restore_lost_pages(layout_, *options_.store, recovery);
  }
  remember_object_store(layout_, options_.store);
  if (!options_.store) return;
  services_->lost_branches = lost_branches(layout_);
  services_->archive = std::make_unique<archive::Archive>(
      archive::Archive::Options{.store = options_.store->open(),
                                .home = options_.store->settings.home,
                                .passphrase = options_.store->passphrase,
                                .interval = options_.store_flags.interval,
                                .grace = options_.store_flags.grace});
}

void Platform::start_archive() {
  Services& s = *services_;
  if (!s.archive) return;
  auto backup = std::make_shared<control::CatalogBackup>(layout_.catalog);
  s.archive->start(
      *s.pageserver, *s.safekeeper,
      {.changed = [backup] { return backup->changed(); },
       .image = [backup] { return backup->image(); },
       .timelines = [backup] { return backup->all_timelines(); },
       .ready = [backup] { return backup->ready_timelines(); },
       .secrets = [layout = layout_,
                   key_file = options_.key_file] { return secrets_of(layout, key_file); }});
}

void Platform::start_storage() {
  progress_("Starting storage");
  Services& s = *services_;
  for (const char* part : {"safekeeper", "pageserver", "redo", "compute"})
    make_own_folder(layout_.home / part);
  fsync_folder(layout_.home);  // Also what a killed platform has made: keys, the catalog.
  compute::ComputeAgent::end_leftovers(layout_.home / "compute", options_.warden.get());
  s.safekeeper = std::make_unique<safekeeper::Safekeeper>(
      safekeeper::Safekeeper::Options{.home = layout_.home / "safekeeper",
                                      .socket_folder = layout_.run / "safekeeper",
                                      .asks_for_token = options_.layers.storage_tokens,
                                      .archive = s.archive.get()});
  s.redo = std::make_unique<pageserver::RedoPool>(
      pageserver::RedoPool::Options{.process = {.extension = options_.libraries / "halogen.so"},
                                    .scratch = layout_.home / "redo"});
  s.native_redo = std::make_unique<pageserver::NativeRedo>(
      *s.redo, pageserver::NativeRedo::mode_of(options_.native_redo));
  const MemoryShares memory = MemoryShares::of(options_.memory_bytes);
  s.pageserver = std::make_unique<pageserver::Pageserver>(
      pageserver::Pageserver::Options{
          .home = layout_.home / "pageserver",
          .page_socket = layout_.run / "pageserver" / "pages",
          .page_cache_bytes = memory.pages,
          .block_cache_bytes = memory.blocks,
          .index_cache_bytes = memory.indexes,
          .layer_memory_bytes = memory.layers,
          .flush_bytes = options_.layer_bytes,
          .merge_files = options_.merge_files,
          .history_interval = options_.history_interval,
          .asks_for_token = options_.layers.storage_tokens,
          .following = {.wal_password =
                            [&safekeeper = *s.safekeeper](TimelineId id) {
                              return safekeeper.grant_wal(id, WalConsumer::pageserver).str();
                            },
                        .wal_end = [&safekeeper = *s.safekeeper](
                                       TimelineId id) { return safekeeper.known_end(id); }},
          .archive = s.archive.get(),
          .origin = s.archive.get(),
          .local_layer_bytes = options_.local_layer_bytes},
      *s.native_redo);
  s.agent = std::make_unique<compute::ComputeAgent>(
      compute::ComputeAgent::Options{.home = layout_.home / "compute",
                                     .run = layout_.run / "compute",
                                     .libraries = options_.libraries,
                                     .warden = options_.warden.get(),
                                     .pageserver = *s.pageserver,
                                     .safekeeper = *s.safekeeper,
                                     .wal = options_.wal,
                                     .layers = options_.layers,
                                     .cache_bytes = options_.cache_bytes});
  s.disk =
      std::make_unique<DiskWatch>(layout_.home, [&agent = *s.agent, &pageserver = *s.pageserver] {
        agent.drop_one_kept();
        pageserver.drop_layers(kLayersDropped);
      });
}

void Platform::make_template() {
  Services& s = *services_;
  try {
    s.pageserver->template_timeline(kMajor);
    return;
  } catch (const Error& error) {
    if (error.code() != Errc::not_found) throw;
  }
  progress_(fmt::format("Making the PostgreSQL {} template (once)", kMajor));
  compute::TemplateCluster cluster = s.agent->build_template(kMajor);
  s.pageserver->import_template(kMajor, cluster.data_directory, cluster.lsn);
  fs::remove_all(cluster.data_directory);
}

void Platform::start_control() {
  progress_("Starting the control plane and the proxy");
  Services& s = *services_;
  s.control = std::make_unique<control::Control>(control::Control::Options{
      .home = layout_.home,
      .http_host = options_.host,
      .http_port = options_.http_port,
      .http_listener = [bound = options_.bound](
                           const std::string& host,
                           int port) { return bound_at(bound.get(), host, port); },
      .pg_port = options_.pg_port,
      .region = options_.region,
      .key_file = options_.key_file,
      .forget_unreadable_passwords = options_.forget_unreadable_passwords,
      .open_metrics = options_.open_metrics,
      .requests_per_second = options_.api_rate,
      .domain = options_.domain,
      .pageserver = *s.pageserver,
      .safekeeper = *s.safekeeper,
      .compute = *s.agent,
      .layers = options_.layers,
      .console = options_.console});
  const MemoryShares memory = MemoryShares::of(options_.memory_bytes);
  s.proxy = std::make_unique<proxy::Proxy>(
      proxy::Proxy::Options{
          .hosts = listen_hosts(options_.host),
          .port = options_.pg_port,
          .listen = [bound = options_.bound](
                        const std::string& host, int port,
                        int backlog) { return listen_at(bound.get(), host, port, backlog); },
          .certificate_directory = layout_.certificates,
          .domain = options_.domain,
          .region = options_.region,
          .held_bytes = limits_of(memory.messages),
          .web = {.port = options_.sql_port,
                  .max_request = options_.max_request,
                  .max_response = options_.max_response,
                  .bytes = limits_of(memory.bodies)}},
      s.control->endpoints());
  s.control->set_pooler(*s.proxy);
  s.control->set_sql_door(*s.proxy);
  s.control->start();
  s.proxy->start();
}

void Platform::describe() {
  Description self = description();
  nlohmann::json shape = nlohmann::json::parse(self.to_json());
  shape["isolation"] = {{"computes", describe_rooms(options_)},
                        {"shares", options_.shares},
                        {"without", names_of_layers_out(options_.layers)}};
  shape["wal_host"] = services_->safekeeper->wal_host();
  shape["wal_port"] = services_->safekeeper->wal_port();
  services_->control->describe(
      shape.dump(),
      [this] {
        Services& s = *services_;
        std::vector<control::Component> components{
            {"safekeeper", "running", "embedded, one"},
            {"pageserver", "running", describe_timelines(s.pageserver->counts())},
            {"memory", "running",
             describe_memory(s.pageserver->memory(), s.proxy->held_bytes(), options_.memory_bytes)},
            {"compute", "running", fmt::format("{} running", s.agent->processes().size())},
            {"control", "running", fmt::format("API on port {}", s.control->http_port())},
            {"proxy", "running",
             fmt::format("ports {} and {}, file descriptors for {} clients", s.proxy->port(),
                         s.proxy->sql_port(), s.proxy->room_for_clients())}};
        if (s.archive)
          components.push_back({"object store", s.archive->status().state, s.archive->describe()});
        if (!s.lost_branches.empty())
          components.push_back({"branches", "lost", describe_lost(s.lost_branches)});
        if (const auto layers = s.pageserver->local_layers())
          components.push_back({"layer cache", layers->problem.empty() ? "running" : "away",
                                describe_layers(*layers)});
        return components;
      },
      [folder = layout_.home / "compute"](const std::string& endpoint_id) {
        std::vector<fs::path> kept = compute::Compute::data_directories(folder / endpoint_id);
        return kept.empty() ? std::string() : kept.back().native();
      });
}

void Platform::drain(std::chrono::milliseconds patience, const std::function<bool()>& goes_on) {
  services_->proxy->drain(patience, goes_on);
}

void Platform::stop() {
  Services& s = *services_;
  if (!s.safekeeper) return;
  logger.info("stopping");
  std::error_code ignored;
  fs::remove(layout_.description, ignored);
  if (s.proxy) s.proxy->stop();
  if (s.control) s.control->stop();
  s.proxy.reset();
  s.control.reset();
  s.disk.reset();
  if (s.agent) say_what_stop_waits_for(s.agent->processes().size(), "computes to stop");
  s.agent.reset();
  if (s.pageserver)
    say_what_stop_waits_for(s.pageserver->counts().awake, "branches' WAL to be in files");
  if (s.pageserver) s.pageserver->stop();
  if (s.archive) s.archive->stop(Deadline::after(kArchiveStop));
  s.pageserver.reset();
  s.native_redo.reset();
  s.redo.reset();
  s.safekeeper.reset();
  s.archive.reset();
  logger.info("stopped");
  log::flush();
}

Description Platform::description() const {
  const Services& s = *services_;
  std::string shown = options_.host == "0.0.0.0" ? "127.0.0.1" : options_.host;
  Description self;
  self.pid = ::getpid();
  self.pg_host = shown;
  self.pg_port = options_.pg_port;
  self.sql_port = options_.sql_port;
  self.http_url = fmt::format("http://{}:{}", shown, options_.http_port);
  self.api_url = self.http_url + "/api/v2";
  self.ca_file = s.proxy->ca_file();
  self.home = layout_.home;
  self.log_file = layout_.log;
  self.started_at = s.started_at;
  return self;
}

std::string Platform::connection_string() const { return connection_string_; }

std::string Platform::console_link() {
  return description().http_url + "/sign-in#" + services_->control->sign_in_secret();
}

std::string Platform::operator_password() { return services_->control->operator_password(); }

}  // namespace halogen::platform
