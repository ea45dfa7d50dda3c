#include "compute/agent/agent.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "compute/agent/process.h"
#include "compute/agent/schema_dump.h"
#include "compute/agent/sql.h"

namespace halogen::compute {
namespace {

const log::Logger logger("compute");

constexpr size_t kLongestRunPath = 72;  // "/xxxxxxxx/data/sockets/.s.PGSQL.5432" takes the rest.
constexpr std::chrono::seconds kLeftoversDeadline{30};
constexpr std::chrono::seconds kHousekeeping{60};
constexpr std::chrono::milliseconds kReadsLookedAt{500};
constexpr std::chrono::seconds kRoleConnectionKept{30};  // Without a login.

// The id is a folder's name, so it must not be able to be anything else.
void check_endpoint_id(const std::string& id) {
  auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  if (id.empty() || id.size() > 100 || !std::all_of(id.begin(), id.end(), allowed))
    throw Error(Errc::invalid_argument, "\"{}\" is not an endpoint id", id);
}

UniqueFd lock_home(const fs::path& home) {
  UniqueFd fd = open_file(home / ".lock", O_RDWR | O_CREAT);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0)
    throw Error(Errc::conflict, "{} is in use by another running Halogen", home.string());
  return fd;
}

fs::path private_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw Error(Errc::io, "{}: {}", path.string(), error.message());
  if (::chmod(path.c_str(), 0700) != 0) throw system_error(errno, path.string());
  return fs::canonical(path);
}

ComputeAgent::Options checked(ComputeAgent::Options options) {
  refuse_root();
  options.home = private_folder(options.home);
  options.run = private_folder(options.run);
  private_folder(ComputeAgent::rooms_in(options.home));
  options.libraries = fs::absolute(options.libraries).lexically_normal();
  if (options.run.string().size() > kLongestRunPath)
    throw Error(Errc::invalid_argument,
                "{} is too long for unix sockets (at most {} bytes): choose a shorter home",
                options.run.string(), kLongestRunPath);
  return options;
}

}  // namespace

ComputeAgent::ComputeAgent(Options options)
    : options_(checked(std::move(options))), lock_(lock_home(options_.home)) {
  end_leftovers(options_.home, options_.warden);
  for (const auto& entry : fs::directory_iterator(options_.run)) fs::remove_all(entry.path());
  folders_ = std::make_unique<FolderPool>(options_.home, options_.ready_folders);
  discard_leftovers();
  const RoomPlaces places{rooms_in(options_.home), options_.run, options_.libraries,
                          options_.warden};
  spares_ = std::make_unique<SparePostmasters>(*supervisor_, places);
  services_ = std::make_unique<ComputeServices>(ComputeServices{options_.pageserver,
                                                                options_.safekeeper,
                                                                options_.wal,
                                                                *folders_,
                                                                *spares_,
                                                                *supervisor_,
                                                                options_.home,
                                                                options_.cache_bytes,
                                                                options_.reads_move_on,
                                                                places,
                                                                options_.layers,
                                                                {}});
  services_->process_ended = [this](const std::string& id) {
    events_->post([this, id] { handle_end(id); });
  };
  events_ = std::make_unique<Worker>("hg-computes");
  events_->every(kHousekeeping, [this] {
    for (const auto& compute : all()) compute->rotate_log();
    drop_unused_role_connections();
  });
  reads_ = std::make_unique<Worker>("hg-read-lsns");
  reads_->every(kReadsLookedAt, [this] { advance_reads(); });
}

ComputeAgent::~ComputeAgent() {
  stop_all();
  reads_.reset();
  std::map<std::string, std::shared_ptr<Compute>> computes;
  {
    MutexLock lock(mutex_);
    computes.swap(computes_);
  }
  computes.clear();
  spares_.reset();
  supervisor_.reset();  // Its thread posts to events_, so it ends first.
  events_.reset();
}

// What a killed agent left must not go on writing, and what it kept running is not clean.
void ComputeAgent::end_leftovers(const fs::path& home, const Warden* warden) {
  Deadline deadline = Deadline::after(kLeftoversDeadline);
  const fs::path rooms = rooms_in(home);
  if (!fs::exists(rooms)) return;
  std::vector<fs::path> markers;
  for (const auto& entry : fs::directory_iterator(rooms))
    if (entry.path().filename().string().starts_with(kMarkerPrefix) &&
        !(warden && entry.path().filename() == warden->marker().filename()))
      markers.push_back(entry.path());
  int killed = kill_rooms(markers, deadline) + kill_postgres_in(home, deadline);
  if (killed > 0) logger.info("ended {} processes that a former run left behind", killed);
  for (const fs::path& marker : markers) fs::remove(marker);
  for (const auto& room : fs::directory_iterator(rooms))
    for (const auto& data : Compute::data_directories(room.path() / kRoomData))
      remove_shared_memory(data);
}

// None of it is clean, except for what is named so.
void ComputeAgent::discard_leftovers() {
  std::vector<fs::path> rooms;
  for (const auto& entry : fs::directory_iterator(rooms_in(options_.home)))
    if (!entry.path().filename().string().starts_with(".")) rooms.push_back(entry.path());
  for (const fs::path& room : rooms) folders_->discard(room);
  for (const auto& folder : endpoint_folders())
    if (!fs::exists(folder / Compute::kCleanFile)) Compute::discard_data(*folders_, folder);
}

std::vector<fs::path> ComputeAgent::endpoint_folders() const {
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(options_.home))
    if (entry.is_directory() && !entry.path().filename().string().starts_with("."))
      folders.push_back(entry.path());
  return folders;
}

std::shared_ptr<Compute> ComputeAgent::find(const std::string& endpoint_id) {
  MutexLock lock(mutex_);
  auto found = computes_.find(endpoint_id);
  return found == computes_.end() ? nullptr : found->second;
}

std::shared_ptr<Compute> ComputeAgent::find_or_make(const std::string& endpoint_id) {
  check_endpoint_id(endpoint_id);
  MutexLock lock(mutex_);
  if (stopping_) throw Error(Errc::cancelled, "the compute agent is stopping");
  auto& compute = computes_[endpoint_id];
  if (!compute) compute = std::make_shared<Compute>(endpoint_id, *services_);
  return compute;
}

std::vector<std::shared_ptr<Compute>> ComputeAgent::all() {
  std::vector<std::shared_ptr<Compute>> out;
  MutexLock lock(mutex_);
  for (const auto& [id, compute] : computes_) out.push_back(compute);
  return out;
}

ComputeAddress ComputeAgent::start(const ComputeSpec& spec, Deadline deadline) {
  return find_or_make(spec.endpoint_id)->start(spec, deadline);
}

ComputeStopped ComputeAgent::suspend(const std::string& endpoint_id, bool force,
                                     Deadline deadline) {
  take_role_connection(endpoint_id);
  ComputeStopped stopped = find_or_make(endpoint_id)->suspend(force, deadline);
  events_->post([this] { limit_kept(); });
  return stopped;
}

void ComputeAgent::destroy(const std::string& endpoint_id) {
  take_role_connection(endpoint_id);
  find_or_make(endpoint_id)->destroy();
  MutexLock lock(mutex_);
  computes_.erase(endpoint_id);
}

void ComputeAgent::require_outgoing_traffic() {
  if (options_.warden != nullptr) OutgoingTraffic::require_possible();
}

bool ComputeAgent::running(const std::string& endpoint_id) {
  auto compute = find(endpoint_id);
  return compute && compute->running();
}

std::vector<ComputeProcess> ComputeAgent::processes() {
  std::vector<ComputeProcess> out;
  for (const auto& compute : all())
    if (auto process = compute->process()) out.push_back(*process);
  return out;
}

// Asked wherever known_roles() are not enough. What a connection costs is the backend that Postgres
// makes for it, so one is kept for those that come soon.
RoleList ComputeAgent::roles(const std::string& endpoint_id) {
  Deadline deadline = Deadline::after(options_.sql_deadline);
  std::shared_ptr<Compute> compute = find_or_make(endpoint_id);
  ComputeAddress address = compute->address();
  const uint64_t changes = compute->role_changes();  // Before they are read.
  std::unique_ptr<SqlConnection> sql = take_role_connection(endpoint_id);
  std::optional<RoleList> roles;
  if (sql) {
    try {
      roles = read_roles(*sql, deadline);
    } catch (const Error& error) {
      logger.debug("{}: the kept connection is of no use: {}", endpoint_id, error.what());
    }
  }
  if (!roles) {
    sql = std::make_unique<SqlConnection>(address, "postgres", deadline);
    roles = read_roles(*sql, deadline);
  }
  keep_role_connection(endpoint_id, std::move(sql));
  compute->note_roles(changes, std::make_shared<const RoleList>(*roles));
  return *std::move(roles);
}

std::shared_ptr<const RoleList> ComputeAgent::known_roles(const std::string& endpoint_id) {
  std::shared_ptr<Compute> compute = find(endpoint_id);
  return compute ? compute->known_roles() : nullptr;
}

std::vector<StoredDatabase> ComputeAgent::databases(const std::string& endpoint_id) {
  Deadline deadline = Deadline::after(options_.sql_deadline);
  SqlConnection sql(find_or_make(endpoint_id)->address(), "postgres", deadline);
  return read_databases(sql, deadline);
}

std::unique_ptr<SqlConnection> ComputeAgent::take_role_connection(const std::string& endpoint_id) {
  MutexLock lock(mutex_);
  auto kept = role_connections_.extract(endpoint_id);
  return kept.empty() ? nullptr : std::move(kept.mapped().sql);
}

void ComputeAgent::keep_role_connection(const std::string& endpoint_id,
                                        std::unique_ptr<SqlConnection> sql) {
  RoleConnection kept{std::move(sql), steady_clock::now()};
  MutexLock lock(mutex_);
  std::swap(role_connections_[endpoint_id], kept);  // Another's is closed without the lock.
}

void ComputeAgent::drop_unused_role_connections() {
  std::vector<RoleConnection> dropped;
  MutexLock lock(mutex_);
  for (auto one = role_connections_.begin(); one != role_connections_.end();) {
    auto next = std::next(one);
    if (steady_clock::now() - one->second.used >= kRoleConnectionKept)
      dropped.push_back(std::move(role_connections_.extract(one).mapped()));
    one = next;
  }
}

void ComputeAgent::execute(const std::string& endpoint_id, const std::string& database,
                           const std::string& sql) {
  Deadline deadline = Deadline::after(options_.sql_deadline);
  SqlConnection connection(find_or_make(endpoint_id)->address(), database, deadline);
  connection.query(sql, deadline);
}

std::vector<std::vector<std::string>> ComputeAgent::query(const std::string& endpoint_id,
                                                          const std::string& database,
                                                          const std::string& sql) {
  Deadline deadline = Deadline::after(options_.sql_deadline);
  SqlConnection connection(find_or_make(endpoint_id)->address(), database, deadline);
  return connection.query(sql, deadline);
}

std::optional<BlockUse> ComputeAgent::block_use(const std::string& endpoint_id) {
  std::shared_ptr<Compute> compute = find(endpoint_id);
  if (!compute) return std::nullopt;
  try {
    Deadline deadline = Deadline::after(std::chrono::seconds(2));
    SqlConnection connection(compute->address(), "postgres", deadline);
    std::vector<SqlRow> rows = connection.query(
        "SELECT coalesce(sum(blks_hit), 0)::bigint, coalesce(sum(blks_read), 0)::bigint "
        "FROM pg_stat_database",
        deadline);
    return BlockUse{std::stoll(rows.at(0).at(0)), std::stoll(rows.at(0).at(1))};
  } catch (const Error&) {
    return std::nullopt;  // It is being stopped, or stuck: whoever needs it says so.
  }
}

std::string ComputeAgent::dump_schema(const std::string& endpoint_id, const std::string& database,
                                      Deadline deadline) {
  constexpr int kMajor = 15;
  return compute::dump_schema(*supervisor_, options_.run, find_or_make(endpoint_id)->address(),
                              database, kMajor, deadline);
}

void ComputeAgent::on_exit(std::function<void(const std::string& endpoint_id)> callback) {
  MutexLock lock(mutex_);
  exit_callback_ = std::move(callback);
}

void ComputeAgent::handle_end(const std::string& endpoint_id) {
  auto compute = find(endpoint_id);
  if (!compute || !compute->clean_up_crash()) return;
  std::function<void(const std::string&)> callback;
  {
    MutexLock lock(mutex_);
    callback = exit_callback_;
  }
  if (callback) callback(endpoint_id);
}

std::vector<std::string> ComputeAgent::kept() const {
  std::vector<std::pair<fs::file_time_type, std::string>> found;
  for (const auto& folder : endpoint_folders()) {
    std::error_code none;
    auto since = fs::last_write_time(folder / Compute::kCleanFile, none);
    if (!none) found.emplace_back(since, folder.filename().string());
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> ids;
  for (auto& [since, id] : found) ids.push_back(std::move(id));
  return ids;
}

void ComputeAgent::advance_reads() {
  for (const auto& compute : all()) {
    try {
      compute->advance_reads();
    } catch (const Error& error) {
      logger.debug("a compute reads where it did for now: {}", error.what());
    }
  }
}

void ComputeAgent::limit_kept() {
  std::vector<std::string> ids = kept();
  for (size_t i = 0; i + options_.keep_suspended < ids.size(); ++i)
    find_or_make(ids[i])->drop_kept();
}

void ComputeAgent::drop_one_kept() {
  std::vector<std::string> ids = kept();
  if (ids.empty()) return;
  logger.info("{}: the disk is nearly full, its kept data directory is dropped", ids.front());
  find_or_make(ids.front())->drop_kept(Deadline::after(std::chrono::seconds(1)));
}

void ComputeAgent::stop_all() {
  std::map<std::string, RoleConnection> unused;
  {
    MutexLock lock(mutex_);
    unused.swap(role_connections_);
    stopping_ = true;
    exit_callback_ = nullptr;
  }
  unused.clear();
  Deadline deadline = Deadline::after(options_.stop_deadline);
  std::vector<std::thread> threads;
  for (const auto& compute : all()) {
    if (!compute->running()) continue;
    threads.emplace_back([compute, deadline] {
      try {
        compute->suspend(true, deadline);
      } catch (const std::exception& error) {
        logger.warn("{}", error.what());
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

TemplateCluster ComputeAgent::build_template(int major) {
  return build_template_cluster(*supervisor_, major, options_.home / ".template",
                                options_.libraries);
}

fs::path ComputeAgent::log_file(const std::string& endpoint_id) const {
  return options_.home / endpoint_id / "postgres.log";
}

}  // namespace halogen::compute
