#include "compute/agent/compute.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/token.h"
#include "compute/agent/data_directory.h"
#include "compute/agent/process.h"
#include "compute/agent/sql.h"
#include "compute/agent/step_times.h"
#include "compute/agent/untrusted_folder.h"
#include "compute/shim/manifest_builder.h"

namespace halogen::compute {
namespace {

const log::Logger logger("compute");

constexpr uint64_t kLogLimit = 64 << 20;
constexpr uint64_t kCacheShare = 8;  // One eighth.
constexpr uint64_t kSmallestCache = 256 << 20;
constexpr int kTermAttempts = 5;
constexpr const char* kDataPrefix = "data-";

metrics::Histogram start_seconds(bool kept) {
  return metrics::histogram("halogen_compute_start_seconds", "From the call to READY.",
                            {{"data", kept ? "kept" : "new"}});
}

void make_private_folder(const fs::path& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) throw system_error(errno, path.string());
}

void move(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) throw system_error(errno, from.string());
}

// For what must go on whatever happens; the failure is worth a line but nobody's action.
template <typename Job>
void quietly(const std::string& what, Job job) {
  try {
    job();
  } catch (const std::exception& error) {
    logger.info("{}: {}", what, error.what());
  }
}

}  // namespace

Compute::Compute(std::string endpoint_id, ComputeServices& services)
    : id_(std::move(endpoint_id)),
      services_(services),
      folder_(services.home / id_),
      clean_(folder_ / kCleanFile),
      log_(folder_ / "postgres.log") {}

Compute::~Compute() {
  Turns::Hold turn(turns_);
  abandon();
}

bool Compute::running() const {
  MutexLock lock(mutex_);
  return session_ && session_->postmaster->running();
}

ComputeAddress Compute::address() const {
  MutexLock lock(mutex_);
  if (!session_ || !session_->postmaster->running())
    throw Error(Errc::not_found, "the compute of {} is not running", id_);
  return address_of(*session_);
}

ComputeAddress Compute::address_of(const Session& session) {
  ComputeAddress address = session.postmaster->address();
  address.max_connections = session.max_connections;
  address.login_secret = session.login_secret;
  return address;
}

std::optional<ComputeProcess> Compute::process() const {
  std::shared_ptr<Session> session = current();
  if (!session || !session->postmaster->running()) return std::nullopt;
  ComputeProcess process{id_,
                         session->postmaster->pid(),
                         session->data.string(),
                         session->room->door().string(),
                         session->login_secret,
                         log_.string(),
                         {}};
  quietly(id_,
          [&] { process.problem = services_.safekeeper.status(session->spec.timeline).problem; });
  return process;
}

uint64_t Compute::role_changes() const {
  std::shared_ptr<Session> session = current();
  return session ? shim::read_role_changes(session->open_manifest.get()) : 0;
}

void Compute::note_roles(uint64_t changes, std::shared_ptr<const RoleList> roles) {
  MutexLock lock(mutex_);
  if (!session_) return;
  session_->roles_as_of = changes;
  session_->roles = std::move(roles);
}

std::shared_ptr<const RoleList> Compute::known_roles() const {
  MutexLock lock(mutex_);
  if (!session_ || !session_->roles || session_->roles_as_of == 0) return nullptr;
  const uint64_t now = shim::read_role_changes(session_->open_manifest.get());
  return now == session_->roles_as_of ? session_->roles : nullptr;
}

ComputeAddress Compute::start(const ComputeSpec& spec, Deadline deadline) {
  Turns::Hold turn(turns_, deadline);
  if (running()) return address();
  report_crash();
  abandon();
  make_private_folder(folder_);
  rotate_log();
  for (bool allow_kept : {true, false}) {
    StepTimes times;
    auto session = std::make_shared<Session>();
    session->spec = spec;
    bool kept = false;
    try {
      TermStart at = begin_term(spec, &session->term);
      times.mark("term");
      std::optional<fs::path> kept_data = allow_kept ? kept_at(spec, at.end) : std::nullopt;
      kept = kept_data.has_value();
      boot(*session, at, kept_data, times, deadline);
      logger.info("{}: awake at {} in term {}, {} data directory: {}", id_, at.end.str(),
                  session->term, kept ? "kept" : "new", times.str());
      start_seconds(kept).observe(times.seconds());
      ComputeAddress address = address_of(*session);
      MutexLock lock(mutex_);
      session_ = std::move(session);
      return address;
    } catch (const Error& error) {
      // Storage has refused: what is kept here may be the best copy there is.
      const bool refused = kept && !session->token && error.code() == Errc::corrupt;
      release(*session);
      if (refused) throw;
      if (kept || session->postmaster) discard_data();
      if (!kept || deadline.passed()) throw;
      logger.info("{}: the kept data directory is of no use, making a new one: {}", id_,
                  error.what());
    }
  }
  throw Error(Errc::internal, "{}: not reached", id_);
}

TermStart Compute::begin_term(const ComputeSpec& spec, uint64_t* term) {
  for (int attempt = 1;; ++attempt) {
    *term = services_.safekeeper.status(spec.timeline).term + 1;
    try {
      return services_.safekeeper.begin_term(spec.timeline, *term);
    } catch (const Error& error) {
      if (error.code() != Errc::fenced || attempt == kTermAttempts) throw;
    }
  }
}

std::optional<fs::path> Compute::kept_at(const ComputeSpec& spec, Lsn end) const {
  try {
    std::string text = read_file(clean_);
    std::string wanted = clean_text(spec, end);
    if (!text.starts_with(wanted)) return std::nullopt;
    fs::path data = folder_ / text.substr(wanted.size());
    if (align_record(read_clean_end(data, spec.major).end) != align_record(end))
      return std::nullopt;
    return data;
  } catch (const Error&) {
    return std::nullopt;  // Not suspended cleanly, or never run here.
  }
}

void Compute::boot(Session& session, const TermStart& at, const std::optional<fs::path>& kept,
                   StepTimes& times, Deadline deadline) {
  std::unique_ptr<SparePostmaster> spare = services_.spares.take(session.spec.major);
  session.room = spare->room();
  if (services_.layers.login_secret) session.login_secret = Token::random().str();
  prepare_data(session, at, kept, times, deadline);
  session.open_manifest = open_file(session.manifest(), O_RDWR | O_NOFOLLOW | O_NONBLOCK);
  std::vector<int> wal;
  if (session.wal) wal = {session.wal->page.get(), session.wal->news.get()};
  session.postmaster = std::make_unique<Postmaster>(
      *spare, shim_environment(session),
      Postmaster::Options{session.data, session.room->inside(session.data), log_,
                          session.room->door(), wal},
      [&services = services_, id = id_] { services.process_ended(id); });
  limit(session);
  open_network(session);
  times.mark("spawn");
  session.postmaster->wait_ready(deadline);
  wait_for_network(session, deadline);
  session.room->open_door();
  if (!session.wal)
    services_.safekeeper.pull(session.spec.timeline, session.term,
                              {.host = session.room->door().string(),
                               .port = session.postmaster->address().port,
                               .user = kSuperuser,
                               .application_name = kStandbyName,
                               .login_secret = session.login_secret});
  times.mark("postgres");
}

// A compute of another size than it should be is worth more than none.
void Compute::limit(const Session& session) const {
  try {
    session.postmaster->process().limit({session.spec.least_units, session.spec.most_units});
  } catch (const Error& error) {
    logger.warn("{}: does not get its share of the machine: {}", id_, error.what());
  }
}

void Compute::open_network(Session& session) {
  if (!session.spec.outgoing_traffic || services_.places.warden == nullptr) return;
  session.outgoing = std::make_unique<OutgoingTraffic>(
      services_.supervisor, services_.places.libraries, session.postmaster->pid(),
      session.room->folder() / "network.log");
  quietly(id_, [&] { session.postmaster->process().charge(session.outgoing->pid()); });
}

// A database without outgoing traffic is worth more than none.
void Compute::wait_for_network(Session& session, Deadline deadline) {
  try {
    if (session.outgoing) session.outgoing->wait_ready(deadline);
  } catch (const Error& error) {
    logger.warn("{}: starts without outgoing traffic: {}", id_, error.what());
    session.outgoing.reset();
  }
}

// No mount, no change of owner: what is renamed into a room's folder is seen inside at once.
void Compute::bring_in(Session& session, const fs::path& kept) {
  session.data = session.room->data() / kept.filename();
  move(kept, session.data);
  move(manifest_of(kept), session.manifest());
}

void Compute::bring_out(Session& session) {
  fs::path kept = folder_ / session.data.filename();
  move(session.manifest(), manifest_of(kept));
  move(session.data, kept);
}

// Names of the safekeeper's segments, in place of any that are left. The folder is still ours, or
// was left by a compute.
void Compute::give_wal(Session& session) const {
  if (services_.wal == WalPath::pull) return;
  remove_wal_names(session.data);
  session.wal = services_.safekeeper.write_in_place(
      session.spec.timeline, session.term, UntrustedFolder(session.data).open_folder("pg_wal"));
}

PageSource Compute::page_source(const Session& session) const {
  const fs::path socket = services_.pageserver.page_service_socket();
  // The more is on the disk already, kept data directories included, the smaller the caches.
  const uint64_t share = fs::space(session.room->folder()).available / kCacheShare;
  return {services_.places.page_socket_inside(socket), *session.token,
          services_.cache_bytes != 0 ? services_.cache_bytes : std::max(share, kSmallestCache)};
}

void Compute::prepare_data(Session& session, const TermStart& at,
                           const std::optional<fs::path>& kept, StepTimes& times,
                           Deadline deadline) {
  const ComputeSpec& spec = session.spec;
  const Room& room = *session.room;
  Settings settings({room.sockets_inside(), services_.places.libraries_inside(),
                     fs::space(room.folder()).available, services_.wal},
                    spec.settings);
  session.max_connections = settings.get_int("max_connections");
  if (kept) {
    session.token = services_.pageserver.open_session(spec.timeline, session.term, at.end);
    bring_in(session, *kept);
    give_wal(session);
    reuse_data_directory(room.config(), session.manifest(), settings, at.end, page_source(session));
    forget_clean_end();
    times.mark("reuse");
    return;
  }
  discard_data();
  services_.pageserver.wait_for_lsn(spec.timeline, at.end, deadline);
  times.mark("ingest");
  session.token = services_.pageserver.open_session(spec.timeline, session.term, at.end);
  Skeleton skeleton = services_.pageserver.skeleton(spec.timeline, at.end, deadline);
  stored_files_.clear();
  for (const SkeletonFile& file : skeleton.files)
    stored_files_[file.path] = std::hash<std::string>()(file.content);
  times.mark("skeleton");
  session.data = room.data() / (kDataPrefix + random_name(8));
  services_.folders.take(spec.major, session.data);
  give_wal(session);
  fill_data_directory(session.data,
                      {skeleton, at, spec.system_identifier, settings, page_source(session),
                       session.manifest(), room.config(), session.wal.has_value()});
  times.mark("files");
}

std::vector<std::string> Compute::shim_environment(const Session& session) const {
  std::vector<std::string> words = {
      "HALOGEN_SHIM_MANIFEST=" + session.room->inside(session.manifest()).string(),
      "HALOGEN_SHIM_DATA=" + session.room->inside(session.data).string()};
  if (!session.login_secret.empty())
    words.push_back("HALOGEN_LOGIN_SECRET=" + session.login_secret);
  if (std::string out = layers_out(services_.layers); !out.empty())
    words.push_back(fmt::format("{}={}", kWithoutLayers, out));
  return words;
}

void Compute::abandon() {
  std::shared_ptr<Session> session = take_session();
  if (!session) return;
  release(*session);
  quietly(id_, [&] { discard_data(); });
}

void Compute::release(Session& session) {
  bool dead = true;
  if (session.postmaster) {
    try {
      session.postmaster->kill();
    } catch (const Error& error) {
      dead = false;
      logger.error("{}: {}", id_, error.what());
    }
  }
  // What lives on keeps the names: the safekeeper sees them, and goes on in another file.
  if (session.wal && dead && fs::exists(session.data))
    quietly(id_, [&] { remove_wal_names(session.data); });
  if (session.postmaster || session.wal)
    quietly(id_, [&] { services_.safekeeper.stop_pull(session.spec.timeline, session.term); });
  session.wal.reset();
  session.outgoing.reset();
  if (session.token) quietly(id_, [&] { services_.pageserver.close_session(*session.token); });
  session.token.reset();
  if (session.room) quietly(id_, [&] { services_.folders.discard(session.room->folder()); });
}

std::vector<fs::path> Compute::data_directories(const fs::path& endpoint_folder) {
  std::vector<fs::path> found;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(endpoint_folder, none))
    if (entry.path().filename().string().starts_with(kDataPrefix) &&
        fs::is_directory(entry.symlink_status()))
      found.push_back(entry.path());
  return found;
}

void Compute::discard_data(FolderPool& folders, const fs::path& endpoint_folder) {
  ::unlink((endpoint_folder / kCleanFile).c_str());
  std::vector<fs::path> found;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(endpoint_folder, none))
    if (entry.path().filename().string().starts_with(kDataPrefix)) found.push_back(entry.path());
  for (const fs::path& path : found) folders.discard(path);
}

void Compute::forget_clean_end() { ::unlink(clean_.c_str()); }

bool Compute::clean_up_crash() {
  Turns::Hold turn(turns_);
  if (!report_crash()) return false;
  abandon();
  return true;
}

bool Compute::report_crash() const {
  std::shared_ptr<Session> session = current();
  if (!session || session->postmaster->running()) return false;
  logger.warn("{}: postgres ended unexpectedly ({}); its log is {}", id_,
              session->postmaster->how_it_ended(), log_.string());
  return true;
}

std::shared_ptr<Compute::Session> Compute::current() const {
  MutexLock lock(mutex_);
  return session_;
}

std::shared_ptr<Compute::Session> Compute::take_session() {
  MutexLock lock(mutex_);
  return std::exchange(session_, nullptr);
}

void Compute::destroy() {
  Turns::Hold turn(turns_);
  abandon();
  forget_clean_end();
  services_.folders.discard(folder_);
}

void Compute::drop_kept(Deadline deadline) {
  Turns::Hold turn(turns_, deadline);
  if (!running()) discard_data();
}

void Compute::advance_reads() {
  std::shared_ptr<Session> session = current();
  if (!session) return;
  const auto now = steady_clock::now();
  if (now < session->reads_since + services_.reads_move_on &&
      !shim::wants_later_read_lsn(session->open_manifest.get()))
    return;
  Turns::Hold turn(turns_, Deadline::after(std::chrono::seconds(0)));
  if (current() != session || !session->token) return;
  session->reads_since = now;
  shim::set_read_lsn(session->open_manifest.get(),
                     services_.pageserver.advance_session(*session->token));
}

void Compute::rotate_log() const { compute::rotate_log(log_, kLogLimit); }

}  // namespace halogen::compute
