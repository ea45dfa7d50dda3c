#include "proxy/simulation/world.h"

#include <sys/socket.h>

#include <algorithm>

#include "base/error.h"
#include "base/ids.h"

namespace halogen::proxy::simulation {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr size_t kClients = 8;
constexpr int kMostServers = 3;
constexpr milliseconds kBetweenEvents{20'000};
constexpr seconds kSweepInterval{1};
constexpr seconds kFarewellTime{60};

ProxyOptions proxy_options(const fs::path& folder) {
  ProxyOptions options;
  options.certificate_directory = folder;
  return options;
}

}  // namespace

World::World(Options options)
    : options_(std::move(options)),
      folder_(fs::temp_directory_path() / ("halogen-simulate-" + random_name(8))),
      chance_(options_.seed),
      journal_(worker_->loop, options_.steps),
      compute_(ground_, folder_),
      endpoints_(ground_, compute_) {
  worker_->loop.simulate(*this);
  ProxyOptions of_proxy = proxy_options(folder_);
  CertificateFiles files = make_certificates(folder_, of_proxy.domain, of_proxy.region);
  shared_ = std::make_unique<Shared>(of_proxy, endpoints_, files, "secret");
  change_settings();
  for (size_t i = 0; i < kClients; i++)
    clients_.push_back(
        std::make_shared<Client>(ground_, compute_, [this] { return connect(); }, i));
}

// As Proxy::stop() does it.
World::~World() {
  shared_->pools.clear();
  shared_->listeners.clear();
  compute_.forget();
  clients_.clear();
  worker_.reset();
  fs::remove_all(folder_);
}

void World::run() {
  Loop& loop = worker_->loop;
  for (auto& client : clients_) loop.spawn(client->run(client));
  loop.spawn(keep_pools());
  loop.spawn(befall());
  loop.spawn(end());
  loop.run();
}

bool World::all_left() const {
  return std::ranges::all_of(clients_, [](auto& client) { return client->left(); });
}

// ---- The machine ----

void World::idle(steady_clock::time_point next) {
  if (next == steady_clock::time_point::max()) return journal_.found("all", "wait for ever");
  SteadyClock::simulate(std::max(next, steady_clock::now()));
}

// The least that there is: some 2 KB for each write.
void World::opened(int socket) {
  int size = 1;
  ::setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

size_t World::at_once(size_t size) {
  switch (chance_.below(8)) {
    case 0:
      return 0;
    case 1:
    case 2:
      return 1 + chance_.below(size);
    default:
      return size;
  }
}

// ---- The proxy ----

UniqueFd World::connect() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
    throw system_error(errno, "make a connection");
  UniqueFd clients(ends[0]);
  std::make_shared<Session>(*shared_, *worker_, Connection{UniqueFd(ends[1]), nullptr},
                            Origin{"simulated", IpAddress()})
      ->start();
  return clients;
}

Task<void> World::keep_pools() {
  while (true) {
    co_await pause(worker_->loop, kSweepInterval);
    shared_->pools.set_settings(kEndpoint, endpoints_.pool_settings(kEndpoint));
    shared_->pools.sweep();
  }
}

void World::change_settings() {
  PoolSettings settings;
  settings.pool_size = 1 + static_cast<int>(chance_.below(kMostServers));
  settings.query_wait_timeout = seconds(chance_.one_in(3) ? 10 : 120);
  settings.server_idle_timeout = seconds(chance_.one_in(3) ? 5 : 600);
  if (chance_.one_in(4)) settings.server_lifetime = milliseconds(0);
  endpoints_.set_settings(settings);
}

// ---- What befalls them ----

Task<void> World::befall() {
  while (true) {
    co_await pause(worker_->loop, chance_.up_to(kBetweenEvents));
    bool quiet = endpoints_.uses() == 0 && !endpoints_.starting();
    switch (chance_.below(6)) {
      case 0:
        if (compute_.believed() && !calm_) compute_.crash();
        break;
      case 1:
        if (!calm_) compute_.end_one_backend();
        break;
      case 2:
        change_settings();
        break;
      default:
        if (compute_.believed() && quiet) compute_.suspend();
    }
  }
}

// All is over when the clients have left, and nothing of theirs is to be left then.
Task<void> World::end() {
  while (!all_left()) co_await pause(worker_->loop, kSweepInterval);
  Deadline patience = Deadline::after(kFarewellTime);
  while (shared_->sessions > 0 && !patience.passed()) co_await pause(worker_->loop, kSweepInterval);
  if (shared_->sessions > 0)
    journal_.found("proxy", fmt::format("{} sessions stay", shared_->sessions.load()));
  if (endpoints_.uses() != 0)
    journal_.found("proxy", fmt::format("{} uses of the compute stay", endpoints_.uses()));
  worker_->loop.stop();
}

std::string describe(const World& world, const Options& options) {
  constexpr size_t kLines = 60;
  const std::optional<Finding>& finding = world.journal().finding();
  if (!finding) return {};
  return fmt::format(
      "{}FOUND with seed {} at step {}: {}: {}\nAgain: ./dev simulate {} --steps {}\n",
      world.journal().lines_about(finding->who, kLines), options.seed, finding->step, finding->who,
      finding->what, options.seed, options.steps);
}

}  // namespace halogen::proxy::simulation
