#include "proxy/proxy.h"

#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>

#include <csignal>
#include <thread>

#include "base/log.h"
#include "base/mutex.h"
#include "protocol/session_state.h"
#include "proxy/pooler_metrics.h"
#include "proxy/session.h"

namespace halogen::proxy {
namespace {

using asio::ip::tcp;

const log::Logger logger("proxy");

constexpr std::chrono::milliseconds kAcceptPause{100};  // Out of descriptors or memory.
constexpr std::chrono::seconds kSweepInterval{1};
constexpr std::chrono::seconds kStopTime{5};
constexpr std::chrono::milliseconds kDrainStep{20};
constexpr std::chrono::seconds kWarmTime{10};  // To open a server that nobody waits for.
constexpr int kPortAttempts = 16;
constexpr int kBacklog = 65'535;  // The system cuts it down to net.core.somaxconn.
constexpr size_t kMostLookedAt = 16;
constexpr int kMostToGiveWay = 2;  // For each that comes, so that room is made.

// A peer that has vanished is noticed within about two minutes.
void set_client_options(tcp::socket& socket) {
  auto set = [fd = socket.native_handle()](int level, int name, int value) {
    ::setsockopt(fd, level, name, &value, sizeof value);
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 60);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set(IPPROTO_TCP, TCP_KEEPCNT, 6);
}

[[noreturn]] void cannot_listen(const std::string& host, int port, const asio::error_code& error) {
  if (error == asio::error::address_in_use)
    throw Error(Errc::unavailable,
                "port {} on {} is taken: another process listens there; stop it, or choose another "
                "port with --pg-port",
                port, host);
  if (error == asio::error::access_denied)
    throw Error(Errc::permission_denied,
                "not allowed to listen on port {} of {}; choose one above 1023 with --pg-port",
                port, host);
  throw Error(Errc::io, "cannot listen on port {} of {}: {}", port, host, error.message());
}

std::optional<IpAddress> address_of(const tcp::endpoint& endpoint) {
  std::string text = endpoint.address().to_string();
  return IpAddress::parse(std::string_view(text).substr(0, text.find('%')));  // Without a zone.
}

std::string said(const Refused& refused) {
  std::string message;
  wire::put_error(message, refused.fields());
  return message;
}

bool no_such_address(const asio::error_code& error) {
  return error == asio::error::address_family_not_supported || error.value() == EADDRNOTAVAIL;
}

}  // namespace

struct Proxy::Impl {
  Impl(Options the_options, Endpoints& the_endpoints)
      : options(std::move(the_options)), endpoints(the_endpoints) {}

  void start();
  void drain(std::chrono::milliseconds patience, const std::function<bool()>& goes_on);
  void stop();
  void for_all_sessions(std::function<void(Session&)> act);
  void end_listening();
  void listen();
  bool try_listen(int wanted);
  Task<void> accept(tcp::acceptor& acceptor);
  Task<void> keep_pools();
  void forget(const std::string& endpoint);
  void warm_pools();
  Task<void> warm(Pools::Lack lack);
  void run(size_t number);
  void look_after_certificates();
  std::optional<Refused> refusal(const IpAddress& address);
  void hand_over(const std::shared_ptr<Worker>& worker, tcp::socket socket);
  void make_room(Worker& worker);

  Options options;
  Endpoints& endpoints;
  fs::path ca_file;
  int port = 0;
  bool running = false;
  size_t next_worker = 0;
  std::unique_ptr<Shared> shared;
  std::atomic<Shared*> told_of = nullptr;  // `shared`, for other threads: once it is complete.
  metrics::Registration metrics;
  std::vector<std::shared_ptr<Worker>> workers;
  std::vector<std::unique_ptr<tcp::acceptor>> acceptors;  // On the first worker.
  std::vector<std::thread> threads;
  // A thread of its own: making a certificate waits for the disk.
  std::thread certificate_thread;
  Mutex mutex;
  CondVar stop_asked;
  bool stopping GUARDED_BY(mutex) = false;
};

// False if the port is free on the first host and taken on another, and any will do.
bool Proxy::Impl::try_listen(int wanted) {
  acceptors.clear();
  port = wanted;
  for (const std::string& host : options.hosts) {
    asio::error_code error;
    tcp::endpoint at(asio::ip::make_address(host, error), static_cast<uint16_t>(port));
    if (error) throw Error(Errc::invalid_argument, "not an address to listen on: {}", host);
    auto acceptor = std::make_unique<tcp::acceptor>(workers.front()->context);
    acceptor->open(at.protocol(), error);
    if (!error) acceptor->set_option(tcp::acceptor::reuse_address(true), error);
    if (!error && at.address().is_v6()) acceptor->set_option(asio::ip::v6_only(true), error);
    if (!error) acceptor->bind(at, error);
    if (!error) acceptor->listen(kBacklog, error);
    if (error && no_such_address(error) && options.hosts.size() > 1) continue;
    if (error && wanted == 0 && !acceptors.empty()) return false;
    if (error) cannot_listen(host, port, error);
    port = acceptor->local_endpoint().port();
    acceptors.push_back(std::move(acceptor));
  }
  if (acceptors.empty())
    throw Error(Errc::io, "none of the addresses to listen on is this machine's");
  return true;
}

void Proxy::Impl::listen() {
  for (int attempt = 0; attempt < kPortAttempts; attempt++) {
    if (try_listen(options.port)) return;
  }
  throw Error(Errc::unavailable, "found no port that is free on all addresses");
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
    acceptors.clear();
    workers.clear();
    throw;
  }
  for (auto& acceptor : acceptors)
    asio::co_spawn(workers.front()->context, accept(*acceptor), asio::detached);
  shared->census.set_workers(workers);
  for (size_t i = 0; i < count; i++) threads.emplace_back([this, i] { run(i); });
  asio::co_spawn(workers.front()->context, keep_pools(), asio::detached);
  certificate_thread = std::thread([this] { look_after_certificates(); });
  running = true;
  told_of = shared.get();
  metrics = metrics::Registration(
      [this] { return pooler_metrics(shared->census.take_now({std::nullopt, false})); });
  logger.info("listening on port {}, {} threads", port, count);
}

void Proxy::Impl::run(size_t number) {
  ::pthread_setname_np(::pthread_self(), fmt::format("proxy-{}", number).c_str());
  auto guard = asio::make_work_guard(workers[number]->context);
  workers[number]->context.run();
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
      if (shared->tls.reload(files))
        logger.info("new connections are shown the certificate of {}", files.certificate.string());
    } catch (const Error& error) {
      logger.error("cannot renew the server's certificate, the one before stays: {}", error.what());
    }
  }
}

Task<void> Proxy::Impl::accept(tcp::acceptor& acceptor) {
  asio::steady_timer pause(acceptor.get_executor());
  bool warned = false;
  while (acceptor.is_open()) {
    const auto& worker = workers[next_worker++ % workers.size()];
    tcp::socket socket(worker->context);
    asio::error_code error;
    co_await acceptor.async_accept(socket, asio::redirect_error(asio::use_awaitable, error));
    if (!acceptor.is_open()) break;
    if (!error) {
      warned = false;
      hand_over(worker, std::move(socket));
    } else if (error != asio::error::connection_aborted) {
      if (!std::exchange(warned, true)) logger.warn("cannot accept clients: {}", error.message());
      if (error.value() == EMFILE || error.value() == ENFILE) {
        // Also where nobody waits: the system looks for a descriptor first.
        if (shared->descriptors.turn_away(acceptor.native_handle(), said(no_descriptors()))) {
          shared->metrics.no_descriptor.add();
          continue;
        }
      }
      pause.expires_after(kAcceptPause);
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
    }
  }
}

// Closes servers that have served their time, and opens those that are to be kept ready.
Task<void> Proxy::Impl::keep_pools() {
  asio::steady_timer pause(workers.front()->context);
  while (!shared->stopping) {
    asio::error_code ignored;
    pause.expires_after(kSweepInterval);
    co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
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
    asio::post(worker->context, [endpoint, worker = worker.get()] {
      std::erase_if(worker->tallies, [&](auto& one) { return one.first.first == endpoint; });
    });
  shared->listeners.forget(endpoint);
  shared->auth_limits.forget(endpoint);
  shared->pools.forget(endpoint);
}

void Proxy::Impl::warm_pools() {
  for (Pools::Lack& lack : shared->pools.lacking())
    asio::co_spawn(workers.front()->context, warm(std::move(lack)), asio::detached);
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
  if (shared->unauthenticated >= options.max_unauthenticated) {
    shared->metrics.refused.add();
    return too_many_newcomers();
  }
  if (shared->auth_limits.is_worn_out(address, steady_clock::now())) {
    shared->metrics.auth_limited.add();
    return Refused("28000", "too many failed attempts to authenticate from this address");
  }
  return std::nullopt;
}

void Proxy::Impl::hand_over(const std::shared_ptr<Worker>& worker, tcp::socket socket) {
  shared->metrics.opened.add();
  asio::error_code error;
  tcp::endpoint remote = socket.remote_endpoint(error);
  std::optional<IpAddress> address = address_of(remote);
  if (error || !address) return;  // Gone already.
  if (std::optional<Refused> refused = refusal(*address)) {
    send_last_words(socket.native_handle(), said(*refused));
    return;
  }
  set_client_options(socket);
  std::string peer = fmt::format("{}:{}", remote.address().to_string(), remote.port());
  asio::post(worker->context, [this, worker = worker.get(), socket = std::move(socket),
                               peer = std::move(peer), address = *address]() mutable {
    if (shared->stopping) return;
    make_room(*worker);
    std::make_shared<Session>(*shared, *worker, std::move(socket), std::move(peer), address)
        ->start();
  });
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
  asio::post(workers.front()->context, [this] {
    asio::error_code ignored;
    for (auto& acceptor : acceptors) acceptor->close(ignored);
  });
}

void Proxy::Impl::for_all_sessions(std::function<void(Session&)> act) {
  for (const auto& worker : workers) {
    asio::post(worker->context, [act, worker = worker.get()] {
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
  Deadline deadline = Deadline::after(kStopTime);
  while (shared->sessions > 0 && !deadline.passed())
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  shared->pools.clear();
  shared->listeners.clear();
  for (const auto& worker : workers) worker->context.stop();
  for (std::thread& thread : threads) thread.join();
  threads.clear();
  acceptors.clear();
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
PoolerStatus Proxy::pooler_status(const std::string& endpoint_id, bool details) {
  PoolerStatus status;
  if (Shared* shared = impl_->told_of.load())
    status = std::move(shared->census.take_now({endpoint_id, details})[endpoint_id]);
  status.endpoint = endpoint_id;
  status.settings = impl_->endpoints.pool_settings(endpoint_id);
  return status;
}
size_t Proxy::room_for_clients() const { return impl_->shared->descriptors.clients(); }
fs::path Proxy::ca_file() const { return impl_->ca_file; }

}  // namespace halogen::proxy
