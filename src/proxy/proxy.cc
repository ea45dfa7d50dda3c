#include "proxy/proxy.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <future>
#include <thread>

#include "base/log.h"
#include "base/mutex.h"
#include "net/socket.h"
#include "protocol/session_state.h"
#include "proxy/http/web_client.h"
#include "proxy/session/pooler_metrics.h"
#include "proxy/session/session.h"

namespace halogen::proxy {
namespace {

const log::Logger logger("proxy");

constexpr std::chrono::milliseconds kAcceptPause{100};  // Out of descriptors or memory.
constexpr std::chrono::seconds kSweepInterval{1};
constexpr std::chrono::seconds kStopTime{5};
constexpr std::chrono::seconds kCensusTime{1};
constexpr std::chrono::milliseconds kDrainStep{20};
constexpr std::chrono::seconds kWarmTime{10};  // To open a server that nobody waits for.
constexpr int kPortAttempts = 16;
constexpr int kBacklog = 65'535;  // The system cuts it down to net.core.somaxconn.
constexpr size_t kMostLookedAt = 16;
constexpr int kMostToGiveWay = 2;  // For each that comes, so that room is made.

// A peer that has vanished is noticed within about two minutes.
void set_client_options(int fd) {
  auto set = [fd](int level, int name, int value) {
    ::setsockopt(fd, level, name, &value, sizeof value);
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 60);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set(IPPROTO_TCP, TCP_KEEPCNT, 6);
}

[[noreturn]] void cannot_listen(const std::string& host, int port, std::string_view option,
                                const Error& error) {
  if (error.code() == Errc::already_exists)
    throw Error(Errc::unavailable,
                "port {} on {} is taken: another process listens there; stop it, or choose another "
                "port with {}",
                port, host, option);
  if (error.code() == Errc::permission_denied)
    throw Error(Errc::permission_denied,
                "not allowed to listen on port {} of {}; choose one above 1023 with {}", port, host,
                option);
  if (error.code() == Errc::invalid_argument)
    throw Error(Errc::invalid_argument, "not an address to listen on: {}", host);
  throw Error(Errc::io, "cannot listen on port {} of {}: {}", port, host, error.what());
}

// Where clients come in.
struct Door {
  Door(Loop& loop, UniqueFd listener, bool for_web)
      : socket(std::move(listener)), watch(Watch::start(loop, socket.get())), web(for_web) {
    ::fcntl(socket.get(), F_SETFL, O_NONBLOCK);
  }
  void close() {
    watch.reset();
    socket.reset();
  }

  UniqueFd socket;
  WatchPtr watch;
  bool web = false;  // HTTP is spoken there.
};

// A client that has been accepted.
struct Arrival {
  UniqueFd socket;
  bool web = false;                  // It speaks HTTP.
  std::string heard;                 // What somebody else has read of its request.
  std::unique_ptr<Channel> channel;  // TLS that somebody else has begun.
  sockaddr_storage from{};
  socklen_t from_size = sizeof from;

  // Numbers; "" if they cannot be told.
  std::pair<std::string, std::string> host_and_port() const {
    char host[NI_MAXHOST] = "", port[NI_MAXSERV] = "";
    ::getnameinfo(reinterpret_cast<const sockaddr*>(&from), from_size, host, sizeof host, port,
                  sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    return {host, port};
  }
};

// Not valid, with errno set, if there is none, or it cannot be taken.
Arrival take_arrival(int listener, bool web) {
  Arrival arrival;
  arrival.web = web;
  arrival.socket = UniqueFd(::accept4(listener, reinterpret_cast<sockaddr*>(&arrival.from),
                                      &arrival.from_size, SOCK_CLOEXEC | SOCK_NONBLOCK));
  return arrival;
}

std::string said(const Refused& refused) {
  std::string message;
  wire::put_error(message, refused.fields());
  return message;
}

}  // namespace

struct Proxy::Impl {
  Impl(Options the_options, Endpoints& the_endpoints)
      : options(std::move(the_options)), endpoints(the_endpoints) {}

  void start();
  void drain(std::chrono::milliseconds patience, const std::function<bool()>& goes_on);
  void stop();
  void for_all_sessions(std::function<void(Session&)> act);
  void for_all_web_clients(void (WebClient::*act)());
  void end_listening();
  void listen();
  int listen_at(int wanted, bool web);
  std::optional<int> try_listen(int wanted, bool web);
  Task<void> accept(Door& door);
  Task<void> keep_pools();
  void forget(const std::string& endpoint);
  void warm_pools();
  Task<void> warm(Pools::Lack lack);
  void run(size_t number);
  void look_after_certificates();
  std::optional<Refused> refusal(const IpAddress& address);
  void hand_over(Arrival arrival);
  ssl_st* begin_tls(int socket);
  void take_in(UniqueFd socket, ssl_st* tls, std::string heard);
  void make_room(Worker& worker);

  Options options;
  Endpoints& endpoints;
  fs::path ca_file;
  int port = 0;
  int sql_port = 0;
  bool running = false;
  size_t next_worker = 0;
  std::unique_ptr<Shared> shared;
  std::atomic<Shared*> told_of = nullptr;  // `shared`, for other threads: once it is complete.
  metrics::Registration metrics;
  std::vector<std::shared_ptr<Worker>> workers;
  std::vector<Door> doors;  // The first worker's.
  std::vector<std::thread> threads;
  // A thread of its own: making a certificate waits for the disk.
  std::thread certificate_thread;
  Mutex mutex;
  CondVar stop_asked;
  bool stopping GUARDED_BY(mutex) = false;
};

// nullopt if the port is free on the first host and taken on another, and any will do.
std::optional<int> Proxy::Impl::try_listen(int wanted, bool web) {
  std::vector<Door> opened;
  int at = wanted;
  for (const std::string& host : options.hosts) {
    try {
      opened.emplace_back(
          workers.front()->loop,
          options.listen ? options.listen(host, at, kBacklog) : net::listen_tcp(host, at, kBacklog),
          web);
    } catch (const Error& error) {
      if (error.code() == Errc::not_found && options.hosts.size() > 1) continue;
      if (wanted == 0 && !opened.empty()) return std::nullopt;
      cannot_listen(host, at, web ? "--sql-port" : "--pg-port", error);
    }
    at = net::local_port(opened.back().socket.get());
  }
  if (opened.empty()) throw Error(Errc::io, "none of the addresses to listen on is this machine's");
  std::move(opened.begin(), opened.end(), std::back_inserter(doors));
  return at;
}

int Proxy::Impl::listen_at(int wanted, bool web) {
  for (int attempt = 0; attempt < kPortAttempts; attempt++) {
    if (std::optional<int> at = try_listen(wanted, web)) return *at;
  }
  throw Error(Errc::unavailable, "found no port that is free on all addresses");
}

void Proxy::Impl::listen() {
  port = listen_at(options.port, false);
  sql_port = listen_at(options.web.port, true);
}

void Proxy::Impl::start() {
  CHECK(!running, "proxy started twice");
  CertificateFiles files =
      make_certificates(options.certificate_directory, options.domain, options.region);
  ca_file = files.ca;
  shared = std::make_unique<Shared>(options, endpoints, files,
                                    keep_secret(options.certificate_directory / "scram.secret"));
  std::signal(SIGPIPE, SIG_IGN);

  // The other half of the cores is for the computes: a query costs them more than it costs us, and
  // one thread that is never idle carries more than two that wake each other.
  size_t count = options.threads > 0 ? static_cast<size_t>(options.threads)
                                     : std::max(1u, std::thread::hardware_concurrency() / 2);
  for (size_t i = 0; i < count; i++) workers.push_back(std::make_shared<Worker>());
  try {
    listen();
  } catch (...) {
    doors.clear();
    workers.clear();
    throw;
  }
  Loop& first = workers.front()->loop;
  for (Door& door : doors) first.spawn(accept(door));
  first.spawn(keep_pools());
  shared->census.set_workers(workers);
  for (size_t i = 0; i < count; i++) threads.emplace_back([this, i] { run(i); });
  certificate_thread = std::thread([this] { look_after_certificates(); });
  running = true;
  told_of = shared.get();
  metrics = metrics::Registration(
      [this] { return pooler_metrics(shared->census.take_now({std::nullopt, false})); });
  logger.info("listening on port {}, for HTTP on {}, {} threads", port, sql_port, count);
}

void Proxy::Impl::run(size_t number) {
  ::pthread_setname_np(::pthread_self(), fmt::format("proxy-{}", number).c_str());
  workers[number]->loop.run();
}

void Proxy::Impl::look_after_certificates() {
  for (;;) {
    auto next = std::chrono::steady_clock::now() + options.certificate_check;
    {
      MutexLock lock(mutex);
      while (!stopping && stop_asked.wait_until(mutex, next)) {
      }
      if (stopping) return;
    }
    try {
      CertificateFiles files =
          make_certificates(options.certificate_directory, options.domain, options.region);
      bool fresh = false;
      for (TlsContext* tls : {&shared->tls, &shared->web_tls, &shared->api_tls})
        fresh = tls->reload(files) || fresh;
      if (fresh)
        logger.info("new connections are shown the certificate of {}", files.certificate.string());
    } catch (const Error& error) {
      logger.error("cannot renew the server's certificate, the one before stays: {}", error.what());
    }
  }
}

// One at a time, so that those who have been let in get their turn, too.
Task<void> Proxy::Impl::accept(Door& door) {
  bool warned = false;
  while (door.socket.valid()) {
    if (!co_await door.watch->readable()) continue;
    Arrival arrival = take_arrival(door.socket.get(), door.web);
    if (arrival.socket.valid()) {
      warned = false;
      hand_over(std::move(arrival));
      continue;
    }
    int error = errno;
    if (error == EAGAIN || error == ECONNABORTED || error == EINTR) continue;
    if (!std::exchange(warned, true))
      logger.warn("cannot accept clients: {}", std::strerror(error));
    // Also where nobody waits: the system looks for a descriptor first.
    if ((error == EMFILE || error == ENFILE) &&
        shared->descriptors.turn_away(door.socket.get(), said(no_descriptors()))) {
      shared->metrics.no_descriptor.add();
      continue;
    }
    co_await pause(workers.front()->loop, kAcceptPause);
  }
}

// Closes servers that have served their time, and opens those that are to be kept ready.
Task<void> Proxy::Impl::keep_pools() {
  while (!shared->stopping) {
    co_await pause(workers.front()->loop, kSweepInterval);
    for (const std::string& endpoint : shared->pools.endpoints()) {
      if (endpoints.exists(endpoint))
        shared->pools.set_settings(endpoint, endpoints.pool_settings(endpoint));
      else
        forget(endpoint);
    }
    shared->pools.sweep();
    warm_pools();
  }
}

// It has been deleted. Sessions have been woken for it, so pools know all that are in use.
void Proxy::Impl::forget(const std::string& endpoint) {
  for_all_sessions([endpoint](Session& session) {
    if (session.endpoint() == endpoint) session.lose_endpoint();
  });
  for (const auto& worker : workers)
    worker->loop.post([endpoint, worker = worker.get()] {
      std::erase_if(worker->tallies, [&](auto& one) { return one.first.first == endpoint; });
    });
  shared->listeners.forget(endpoint);
  shared->auth_limits.forget(endpoint);
  shared->pools.forget(endpoint);
}

void Proxy::Impl::warm_pools() {
  for (Pools::Lack& lack : shared->pools.lacking())
    workers.front()->loop.spawn(warm(std::move(lack)));
}

// No use of the compute: it is neither started nor kept awake for this.
Task<void> Proxy::Impl::warm(Pools::Lack lack) {
  PoolPtr pool = lack.slot.pool();
  const PoolKey& key = Pools::key_of(pool);
  wire::Parameters parameters{
      {"user", key.role}, {"database", key.database}, {std::string(kReportSessionSetting), "on"}};
  bool gone = false;
  try {
    Opened opened = co_await open_server(*workers.front(), lack.address, parameters,
                                         Deadline::after(kWarmTime));
    if (opened.server && !shared->stopping) {
      shared->pools.epoch_is(key.endpoint, opened.server->start, opened.server->login.epoch);
      shared->pools.give(std::move(opened.server), std::move(lack.slot));
      co_return;
    }
    gone = !opened.refused;
    if (opened.refused)
      logger.debug("no server is kept ready for {} at {}: {}", key.role, key.endpoint,
                   opened.refused->message);
  } catch (const Error& error) {
    logger.debug("no server is kept ready at {}: {}", key.endpoint, error.what());
  }
  shared->pools.stays_lacking(pool, gone);
}

// What a client is refused for before it has said a word; nullopt if it may come in. As it cannot
// have begun TLS yet, it is told in the clear; some clients show that, others only that they were
// refused.
std::optional<Refused> Proxy::Impl::refusal(const IpAddress& address) {
  if (shared->descriptors.full()) {
    shared->metrics.no_descriptor.add();
    return no_descriptors();
  }
  // One address may have as many newcomers as there is room for others, so that there always is.
  int room = options.max_unauthenticated - shared->unauthenticated;
  if (room <= 0 || shared->work_limits.under_way(address) >= room) {
    shared->metrics.refused.add();
    return too_many_newcomers();
  }
  if (shared->work_limits.is_empty(address, steady_clock::now())) {
    shared->metrics.auth_limited.add();
    return spent_all();
  }
  if (shared->auth_limits.is_worn_out(address, steady_clock::now())) {
    shared->metrics.auth_limited.add();
    return Refused("28000", "too many failed attempts to authenticate from this address");
  }
  return std::nullopt;
}

// To a worker. On the first one's thread.
void Proxy::Impl::hand_over(Arrival arrival) {
  shared->metrics.opened.add();
  auto [host, from_port] = arrival.host_and_port();
  std::optional<IpAddress> address = IpAddress::parse(host.substr(0, host.find('%')));  // No zone.
  if (!address) return;
  if (std::optional<Refused> refused = refusal(*address)) {
    // To a client of HTTP, which has begun TLS, it would mean nothing.
    if (!arrival.web) send_last_words(arrival.socket.get(), said(*refused));
    return;
  }
  set_client_options(arrival.socket.get());
  Worker& worker = *workers[next_worker++ % workers.size()];
  auto kept = std::make_shared<Arrival>(std::move(arrival));  // For std::function.
  worker.loop.post(
      [this, &worker, kept, origin = Origin{fmt::format("{}:{}", host, from_port), *address}] {
        if (shared->stopping) return;
        make_room(worker);
        Connection connection{std::move(kept->socket), std::move(kept->channel)};
        if (kept->web)
          std::make_shared<WebClient>(*shared, worker, std::move(connection), origin,
                                      std::move(kept->heard))
              ->start();
        else
          std::make_shared<Session>(*shared, worker, std::move(connection), origin)->start();
      });
}

ssl_st* Proxy::Impl::begin_tls(int socket) {
  MutexLock lock(mutex);
  if (told_of == nullptr || stopping) return nullptr;
  try {
    return shared->api_tls.accept(socket);
  } catch (const Error& error) {
    logger.warn("{}", error.what());
    return nullptr;
  }
}

void Proxy::Impl::take_in(UniqueFd socket, ssl_st* tls, std::string heard) {
  auto arrival = std::make_shared<Arrival>();
  if (tls != nullptr) arrival->channel = std::make_unique<TlsChannel>(tls);
  if (::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&arrival->from),
                    &arrival->from_size) != 0)
    return;  // It has left.
  ::fcntl(socket.get(), F_SETFL, O_NONBLOCK);
  arrival->socket = std::move(socket);
  arrival->web = true;
  arrival->heard = std::move(heard);
  MutexLock lock(mutex);
  if (told_of == nullptr || stopping || shared->draining) return;
  workers.front()->loop.post([this, arrival] { hand_over(std::move(*arrival)); });
}

// Half-open clients must not keep all others out until they time out: when it gets crowded, those
// that have kept us waiting for long go first. On the worker's thread.
void Proxy::Impl::make_room(Worker& worker) {
  if (shared->unauthenticated < options.max_unauthenticated * 3 / 4) return;
  auto since = steady_clock::now() - options.crowded_patience;
  int gone = 0;
  std::vector<std::shared_ptr<Session>> oldest;  // Leaving the list is up to them.
  for (Session* session : worker.newcomers) {
    if (oldest.size() == kMostLookedAt) break;
    oldest.push_back(session->shared_from_this());
  }
  for (const auto& session : oldest) {
    if (gone < kMostToGiveWay && session->give_way(since)) gone++;
  }
}

void Proxy::Impl::end_listening() {
  workers.front()->loop.post([this] {
    for (Door& door : doors) door.close();
  });
}

void Proxy::Impl::for_all_web_clients(void (WebClient::*act)()) {
  for (const auto& worker : workers) {
    worker->loop.post([act, worker = worker.get()] {
      std::vector<std::shared_ptr<WebClient>> clients;
      for (WebClient* client : worker->web_clients) clients.push_back(client->shared_from_this());
      for (const auto& client : clients) ((*client).*act)();
    });
  }
}

void Proxy::Impl::for_all_sessions(std::function<void(Session&)> act) {
  for (const auto& worker : workers) {
    worker->loop.post([act, worker = worker.get()] {
      std::vector<std::shared_ptr<Session>> sessions;  // Some end at once.
      for (Session* session : worker->sessions) sessions.push_back(session->shared_from_this());
      for (const auto& session : sessions) act(*session);
    });
  }
}

// Sessions look themselves whenever a server has answered; what else they may do is not worth a
// look of its own, and found here.
void Proxy::Impl::drain(std::chrono::milliseconds patience, const std::function<bool()>& goes_on) {
  if (!running) return;
  logger.info("draining, for at most {} s: {} clients", patience.count() / 1000,
              shared->sessions.load());
  shared->draining = true;
  end_listening();
  Deadline deadline = Deadline::after(patience);
  while (shared->sessions > shared->replicating && !deadline.passed() && goes_on()) {
    for_all_web_clients(&WebClient::retire);
    for_all_sessions(&Session::retire);
    std::this_thread::sleep_for(kDrainStep);
  }
  logger.info("drained: {} clients, {} are left", shared->drained.load(), shared->sessions.load());
}

void Proxy::Impl::stop() {
  if (!std::exchange(running, false)) return;
  metrics = metrics::Registration();
  shared->draining = shared->stopping = true;
  {
    MutexLock lock(mutex);
    stopping = true;
    stop_asked.notify_all();
  }
  certificate_thread.join();
  end_listening();
  for_all_sessions(&Session::terminate);
  for_all_web_clients(&WebClient::retire);
  Deadline deadline = Deadline::after(kStopTime);
  while (shared->sessions > 0 && !deadline.passed())
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  shared->pools.clear();
  shared->listeners.clear();
  for (const auto& worker : workers) worker->loop.stop();
  for (std::thread& thread : threads) thread.join();
  threads.clear();
  doors.clear();
  workers.clear();
  logger.info("stopped; {} clients cut off", shared->cut_off.load());
}

Proxy::Proxy(Options options, Endpoints& endpoints)
    : impl_(std::make_unique<Impl>(std::move(options), endpoints)) {}

Proxy::~Proxy() { stop(); }

void Proxy::start() { impl_->start(); }
void Proxy::drain(std::chrono::milliseconds patience, const std::function<bool()>& goes_on) {
  impl_->drain(patience, goes_on);
}
void Proxy::stop() { impl_->stop(); }
int Proxy::port() const { return impl_->port; }
int Proxy::sql_port() const { return impl_->sql_port; }
std::map<std::string, uint64_t> Proxy::bytes_sent() {
  std::map<std::string, uint64_t> sent;
  Shared* shared = impl_->told_of.load();
  if (shared == nullptr) return sent;
  for (const auto& [endpoint, status] : shared->census.take_now({std::nullopt, false}))
    for (const auto& [database, totals] : status.totals) sent[endpoint] += totals.sent;
  return sent;
}

PoolerStatus Proxy::pooler_status(const std::string& endpoint_id, bool details) {
  PoolerStatus status;
  if (Shared* shared = impl_->told_of.load())
    status = std::move(shared->census.take_now({endpoint_id, details})[endpoint_id]);
  status.endpoint = endpoint_id;
  status.settings = impl_->endpoints.pool_settings(endpoint_id);
  return status;
}
bool Proxy::end_client(const std::string& endpoint_id, uint64_t client_id) {
  Shared* shared = impl_->told_of.load();
  if (shared == nullptr) return false;
  auto promise = std::make_shared<std::promise<bool>>();
  std::future<bool> found = promise->get_future();
  shared->census.end_client(endpoint_id, client_id,
                            [promise](bool ended) { promise->set_value(ended); });
  return found.wait_for(kCensusTime) == std::future_status::ready && found.get();
}
ssl_st* Proxy::begin_tls(int socket) { return impl_->begin_tls(socket); }
void Proxy::take_in(UniqueFd socket, ssl_st* tls, std::string heard) {
  impl_->take_in(std::move(socket), tls, std::move(heard));
}
size_t Proxy::room_for_clients() const { return impl_->shared->descriptors.clients(); }
size_t Proxy::held_bytes() const {
  return impl_->shared->held_bytes.held() + impl_->shared->web_bytes.held();
}
fs::path Proxy::ca_file() const { return impl_->ca_file; }

}  // namespace halogen::proxy
