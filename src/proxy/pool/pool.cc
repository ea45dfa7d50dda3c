#include "proxy/pool/pool.h"

#include <algorithm>

namespace halogen::proxy {
namespace {

// Left for the superuser and for clients that connect directly.
constexpr int kKeptFree = 5;

using Closed = std::vector<ServerPtr>;  // Destroyed without the lock.

LenderPtr next_lender(std::vector<std::weak_ptr<Lender>>& lenders) {
  LenderPtr lender;
  while (!lender && !lenders.empty()) {
    lender = lenders.front().lock();
    lenders.erase(lenders.begin());
  }
  return lender;
}

}  // namespace

struct Pools::PoolEndpoint {
  ComputeAddress address{.max_connections = 100};  // Of the start that is current.
  bool gone = true;                                // Nothing listens there.
  uint64_t wakes = 0;
  uint64_t epoch = 0;  // Of logins; 0: not known yet.
  int open = 0;        // Of all pools.
  PoolSettings settings;
  std::map<PoolKey, PoolPtr> pools;
  std::map<uint32_t, steady_clock::time_point> vacated;  // Databases, and until when.

  bool is_vacated(uint32_t database) {
    std::erase_if(vacated, [](auto& one) { return one.second < steady_clock::now(); });
    return vacated.contains(database);
  }
  LoginMoment moment() const { return {address.start, epoch}; }
  int most() const { return std::max(1, address.max_connections - kKeptFree); }
  void close_idle(Pool& pool, Closed& closed);
  template <typename Chosen>
  void close_idle_if(Pool& pool, Closed& closed, Chosen chosen);
};

// Guarded by Pools::mutex_.
struct Pool {
  PoolKey key;
  std::weak_ptr<Pools::PoolEndpoint> endpoint;
  int open = 0;                // Idle, used, and being opened.
  std::deque<ServerPtr> idle;  // Used last at the back.
  std::deque<WaiterPtr> waiting;
  std::vector<std::weak_ptr<Lender>> lenders;  // The longest idle at the front.
  steady_clock::time_point not_before{};       // When to warm it again.
  std::map<std::string, Greeting> greetings;   // By startup_items(); current start and epoch.

  int size(const Pools::PoolEndpoint& of) const {
    if (of.settings.pool_size > 0) return of.settings.pool_size;
    return std::max(1, of.address.max_connections * 9 / 10);
  }
};

template <typename Chosen>
void Pools::PoolEndpoint::close_idle_if(Pool& pool, Closed& closed, Chosen chosen) {
  std::deque<ServerPtr> staying;
  for (ServerPtr& server : pool.idle) {
    if (!chosen(*server)) {
      staying.push_back(std::move(server));
      continue;
    }
    closed.push_back(std::move(server));
    pool.open--;
    open--;
  }
  pool.idle = std::move(staying);
}

void Pools::PoolEndpoint::close_idle(Pool& pool, Closed& closed) {
  close_idle_if(pool, closed, [](const Server&) { return true; });
}

void Slot::give_back() {
  if (pools_ == nullptr) return;
  std::exchange(pools_, nullptr)->give_back(pool_);
  pool_.reset();
}

PoolPtr Pools::find_or_add(const PoolKey& key) {
  MutexLock lock(mutex_);
  auto& endpoint = endpoints_[key.endpoint];
  if (!endpoint) endpoint = std::make_shared<PoolEndpoint>();
  PoolPtr& pool = endpoint->pools[key];
  if (!pool) {
    pool = std::make_shared<Pool>();
    pool->key = key;
    pool->endpoint = endpoint;
  }
  return pool;
}

bool Pools::compute_is(const std::string& name, const ComputeAddress& address) {
  Closed closed;
  MutexLock lock(mutex_);
  auto& endpoint = endpoints_[name];
  if (!endpoint) endpoint = std::make_shared<PoolEndpoint>();
  bool another = endpoint->wakes == 0 || endpoint->address.start != address.start;
  endpoint->address = address;
  if (!another) return false;
  endpoint->gone = false;
  endpoint->wakes++;
  endpoint->epoch = 0;
  for (auto& [key, pool] : endpoint->pools) {
    endpoint->close_idle(*pool, closed);
    pool->greetings.clear();
  }
  return true;
}

void Pools::epoch_is(const std::string& name, uint64_t start, uint64_t epoch) {
  Closed closed;
  Grants grants;
  {
    MutexLock lock(mutex_);
    auto found = endpoints_.find(name);
    if (found == endpoints_.end()) return;
    PoolEndpoint& endpoint = *found->second;
    if (endpoint.address.start != start || epoch <= endpoint.epoch) return;
    endpoint.epoch = epoch;
    for (auto& [key, pool] : endpoint.pools) {
      endpoint.close_idle_if(*pool, closed,
                             [epoch](const Server& server) { return server.login.epoch < epoch; });
      pool->greetings.clear();
    }
    serve_line(endpoint, grants);
  }
  for (auto& [waiter, grant] : grants) waiter->granted(std::move(grant));
}

LoginMoment Pools::moment_of(const std::string& name) {
  MutexLock lock(mutex_);
  auto found = endpoints_.find(name);
  return found == endpoints_.end() ? LoginMoment{} : found->second->moment();
}

// Servers that are in use, or are being opened, are left: somebody uses the database. Those that
// come to rest while Postgres waits go as well.
void Pools::vacate(const std::string& name, uint32_t database) {
  constexpr std::chrono::seconds kPostgresWaits{5};
  Closed closed;
  Grants grants;
  {
    MutexLock lock(mutex_);
    auto found = endpoints_.find(name);
    if (found == endpoints_.end()) return;
    auto until = steady_clock::now() + kPostgresWaits;
    found->second->vacated[database] = until;
    for (auto& [key, pool] : found->second->pools) {
      size_t before = closed.size();
      found->second->close_idle_if(*pool, closed, [database](const Server& server) {
        return server.login.database == database;
      });
      if (closed.size() > before) pool->not_before = until;
    }
    serve_line(*found->second, grants);
  }
  for (auto& [waiter, grant] : grants) waiter->granted(std::move(grant));
}

bool Pools::make_room(const std::string& name, const Full& full) {
  Closed closed;
  MutexLock lock(mutex_);
  auto found = endpoints_.find(name);
  if (found == endpoints_.end()) return false;
  for (auto& [key, pool] : found->second->pools) {
    if (full.role.value_or(key.role) != key.role) continue;
    if (full.database.value_or(key.database) != key.database) continue;
    found->second->close_idle_if(*pool, closed,
                                 [&closed](const Server&) { return closed.empty(); });
    if (!closed.empty()) return true;
  }
  return false;
}

// Nobody comes by a pool that only the map has while the lock is held.
void Pools::forget(const std::string& name) {
  Closed closed;
  MutexLock lock(mutex_);
  auto found = endpoints_.find(name);
  if (found == endpoints_.end()) return;
  auto& pools = found->second->pools;
  for (auto& [key, pool] : pools) found->second->close_idle(*pool, closed);
  std::erase_if(pools, [](const auto& one) { return one.second.use_count() == 1; });
  if (pools.empty()) endpoints_.erase(found);
}

// Room for one more server, if need be that of another pool's idle one.
bool Pools::take_slot(Pool& pool, Closed& closed) {
  std::shared_ptr<PoolEndpoint> endpoint = pool.endpoint.lock();
  if (pool.open >= pool.size(*endpoint)) return false;
  if (endpoint->open >= endpoint->most()) {
    auto richest = std::max_element(
        endpoint->pools.begin(), endpoint->pools.end(),
        [](const auto& a, const auto& b) { return a.second->idle.size() < b.second->idle.size(); });
    Pool& other = *richest->second;
    if (other.idle.empty()) return false;
    closed.push_back(std::move(other.idle.front()));
    other.idle.pop_front();
    other.open--;
    endpoint->open--;
  }
  pool.open++;
  endpoint->open++;
  return true;
}

std::optional<Greeting> Pools::greeting(const PoolPtr& pool, uint64_t start,
                                        const std::string& startup) {
  MutexLock lock(mutex_);
  if (pool->endpoint.lock()->address.start != start) return std::nullopt;
  auto found = pool->greetings.find(startup);
  if (found == pool->greetings.end()) return std::nullopt;
  return found->second;
}

void Pools::set_greeting(const PoolPtr& pool, uint64_t start, const std::string& startup,
                         Greeting greeting) {
  constexpr size_t kMostGreetings = 64;
  MutexLock lock(mutex_);
  std::shared_ptr<PoolEndpoint> endpoint = pool->endpoint.lock();
  if (endpoint->address.start != start || greeting.login.epoch < endpoint->epoch) return;
  if (pool->greetings.size() >= kMostGreetings) pool->greetings.clear();
  pool->greetings[startup] = std::move(greeting);
}

// The one that the client had before is the best, then one that begins as the client does: any
// other has to be made like it first. Of several, one of the same worker.
std::optional<Grant> Pools::pick_idle(const PoolPtr& pool, const Wanted& wanted, Closed& closed) {
  constexpr size_t kLookedAt = 8;
  auto worth = [&](const Server& server) {
    if (server.state.startup != wanted.startup) return 0;
    if (server.state.owner == wanted.owner) return 3;
    return server.worker == wanted.worker ? 2 : 1;
  };
  while (!pool->idle.empty()) {
    auto best = std::prev(pool->idle.end());
    int best_worth = worth(**best);
    for (size_t i = 1; i < std::min(kLookedAt, pool->idle.size()) && best_worth < 3; i++) {
      auto one = pool->idle.end() - static_cast<std::ptrdiff_t>(i + 1);
      if (worth(**one) <= best_worth) continue;
      best = one;
      best_worth = worth(**one);
    }
    ServerPtr server = std::move(*best);
    pool->idle.erase(best);
    if (server->start == wanted.start) return Grant{std::move(server), Slot(*this, pool)};
    closed.push_back(std::move(server));
    pool->open--;
    pool->endpoint.lock()->open--;
  }
  return std::nullopt;
}

// Whether a server is quiet is a system call, and asked without the lock.
std::optional<Grant> Pools::take_idle(const PoolPtr& pool, const Wanted& wanted) {
  while (true) {
    Closed closed;
    std::optional<Grant> grant;
    {
      MutexLock lock(mutex_);
      if (wanted.as_of && *wanted.as_of != pool->endpoint.lock()->moment()) return std::nullopt;
      grant = pick_idle(pool, wanted, closed);
    }
    if (!grant || grant->server->quiet()) return grant;
    grant->server.reset();  // Before its slot.
  }
}

std::optional<Grant> Pools::acquire(const PoolPtr& pool, const Wanted& wanted, WaiterPtr waiter) {
  LenderPtr lender;
  while (true) {
    Closed closed;
    std::optional<Grant> grant;
    {
      MutexLock lock(mutex_);
      grant = pick_idle(pool, wanted, closed);
      if (!grant && pool->waiting.empty() && take_slot(*pool, closed))
        return Grant{nullptr, Slot(*this, pool)};
      if (!grant) {
        pool->waiting.push_back(std::move(waiter));
        lender = next_lender(pool->lenders);
      }
    }
    if (!grant) break;
    if (grant->server->quiet()) return grant;
    grant->server.reset();
  }
  if (lender) lender->asked();
  return std::nullopt;
}

void Pools::can_lend(const PoolPtr& pool, const LenderPtr& lender) {
  {
    MutexLock lock(mutex_);
    std::erase_if(pool->lenders, [&](auto& one) { return one.expired(); });
    pool->lenders.push_back(lender);
    if (pool->waiting.empty()) return;
    pool->lenders.pop_back();
  }
  lender->asked();
}

bool Pools::withdraw(const PoolPtr& pool, const WaiterPtr& waiter) {
  MutexLock lock(mutex_);
  auto found = std::find(pool->waiting.begin(), pool->waiting.end(), waiter);
  if (found == pool->waiting.end()) return false;
  pool->waiting.erase(found);
  return true;
}

// Who has been passed over often enough is next, wherever it waits.
WaiterPtr Pools::next_in_line(Pool& pool, const Worker* worker) {
  constexpr size_t kLookedAt = 16;
  constexpr int kPassedOver = 16;
  auto& line = pool.waiting;
  auto next = line.begin();
  if ((*next)->passed_over < kPassedOver) {
    auto end = line.begin() + static_cast<std::ptrdiff_t>(std::min(kLookedAt, line.size()));
    auto near = std::find_if(next, end, [&](auto& one) { return one->worker == worker; });
    if (near != end) next = near;
  }
  for (auto one = line.begin(); one != next; ++one) (*one)->passed_over++;
  WaiterPtr waiter = std::move(*next);
  line.erase(next);
  return waiter;
}

void Pools::give(ServerPtr server, Slot slot) {
  CHECK(server->unread.empty(), "invariant 2: a server is given on in the middle of a message");
  PoolPtr pool = slot.pool();
  WaiterPtr next;
  {
    MutexLock lock(mutex_);
    std::shared_ptr<PoolEndpoint> endpoint = pool->endpoint.lock();
    bool too_old = steady_clock::now() - server->opened > endpoint->settings.server_lifetime;
    bool outdated =
        server->start != endpoint->address.start || server->login.epoch < endpoint->epoch;
    if (outdated || too_old || pool->open > pool->size(*endpoint)) {
      // Falls through to the end: server and slot go, in this order.
    } else if (pool->waiting.empty() && endpoint->is_vacated(server->login.database)) {
      // Likewise.
    } else if (pool->waiting.empty()) {
      server->last_used = steady_clock::now();
      pool->idle.push_back(std::move(server));
      slot.keep();
      return;
    } else {
      next = next_in_line(*pool, server->worker);
    }
  }
  // It may have been lost while its client took time to hear its answers, and nobody read from it:
  // then who is next opens another.
  if (next && !server->quiet()) server.reset();
  if (next) next->granted(Grant{std::move(server), std::move(slot)});
  server.reset();
}

void Pools::give_back(const PoolPtr& pool) {
  Grants grants;
  {
    MutexLock lock(mutex_);
    std::shared_ptr<PoolEndpoint> endpoint = pool->endpoint.lock();
    pool->open--;
    endpoint->open--;
    serve_line(*endpoint, grants);
  }
  for (auto& [waiter, grant] : grants) waiter->granted(std::move(grant));
}

// A slot has come free: it may be another pool's turn.
void Pools::serve_line(PoolEndpoint& endpoint, Grants& grants) {
  while (true) {
    Pool* longest = nullptr;
    PoolPtr owner;
    Closed closed;
    for (auto& [key, pool] : endpoint.pools) {
      if (pool->waiting.empty() || pool->open >= pool->size(endpoint)) continue;
      if (longest == nullptr || pool->waiting.front()->since < longest->waiting.front()->since) {
        longest = pool.get();
        owner = pool;
      }
    }
    if (longest == nullptr || endpoint.open >= endpoint.most()) return;
    if (!take_slot(*longest, closed)) return;
    grants.emplace_back(std::move(longest->waiting.front()), Grant{nullptr, Slot(*this, owner)});
    longest->waiting.pop_front();
  }
}

void Pools::sweep() {
  Closed closed;
  Grants grants;
  {
    MutexLock lock(mutex_);
    auto now = steady_clock::now();
    for (auto& [name, endpoint] : endpoints_) {
      for (auto& [key, pool] : endpoint->pools) {
        int kept = 0;
        std::deque<ServerPtr> staying;
        for (auto one = pool->idle.rbegin(); one != pool->idle.rend(); ++one) {
          auto idle_bound = endpoint->settings.server_idle_timeout;
          bool idle_too_long = idle_bound.count() > 0 && now - (*one)->last_used > idle_bound &&
                               kept >= endpoint->settings.min_pool_size;
          bool too_old = now - (*one)->opened > endpoint->settings.server_lifetime;
          if (idle_too_long || too_old || !(*one)->quiet()) {
            closed.push_back(std::move(*one));
            pool->open--;
            endpoint->open--;
          } else {
            kept++;
            staying.push_front(std::move(*one));
          }
        }
        pool->idle = std::move(staying);
      }
      serve_line(*endpoint, grants);
    }
  }
  for (auto& [waiter, grant] : grants) waiter->granted(std::move(grant));
}

void Pools::set_settings(const std::string& name, const PoolSettings& settings) {
  MutexLock lock(mutex_);
  if (auto found = endpoints_.find(name); found != endpoints_.end())
    found->second->settings = settings;
}

std::vector<std::string> Pools::endpoints() {
  std::vector<std::string> names;
  MutexLock lock(mutex_);
  for (auto& [name, endpoint] : endpoints_) names.push_back(name);
  return names;
}

// Of room that nobody uses: no pool's idle server is closed to warm another.
std::vector<Pools::Lack> Pools::lacking() {
  std::vector<Lack> all;
  Closed closed;
  MutexLock lock(mutex_);
  auto now = steady_clock::now();
  for (auto& [name, endpoint] : endpoints_) {
    if (endpoint->gone) continue;
    for (auto& [key, pool] : endpoint->pools) {
      if (now < pool->not_before) continue;
      while (pool->open < endpoint->settings.min_pool_size && endpoint->open < endpoint->most() &&
             take_slot(*pool, closed))
        all.push_back({Slot(*this, pool), endpoint->address});
    }
  }
  return all;
}

void Pools::stays_lacking(const PoolPtr& pool, bool gone) {
  constexpr std::chrono::seconds kPause{30};
  MutexLock lock(mutex_);
  pool->not_before = steady_clock::now() + (gone ? std::chrono::seconds(0) : kPause);
  if (gone) pool->endpoint.lock()->gone = true;
}

PoolStatus Pools::status_of(const PoolEndpoint& endpoint, const Pool& pool) {
  PoolStatus one;
  one.key = pool.key;
  one.size = pool.size(endpoint);
  one.idle = static_cast<int>(pool.idle.size());
  one.used = pool.open - one.idle;
  one.waiting = static_cast<int>(pool.waiting.size());
  if (one.waiting > 0)
    one.longest_wait = std::chrono::duration_cast<std::chrono::milliseconds>(
        steady_clock::now() - pool.waiting.front()->since);
  return one;
}

// Pools without clients and servers are left out.
void Pools::describe(const std::optional<std::string>& asked, bool details,
                     std::map<std::string, PoolerStatus>& all) {
  MutexLock lock(mutex_);
  for (auto& [name, endpoint] : endpoints_) {
    if (asked && *asked != name) continue;
    auto described = all.find(name);
    for (auto& [key, pool] : endpoint->pools) {
      if (pool->open == 0 && described == all.end()) continue;
      described = all.try_emplace(name).first;
      PoolerStatus& status = described->second;
      auto is_row = [&key](const PoolerPool& row) {
        return row.mode == PoolMode::transaction && row.database == key.database &&
               row.role == key.role;
      };
      auto row = std::find_if(status.pools.begin(), status.pools.end(), is_row);
      if (row == status.pools.end() && pool->open == 0) continue;
      if (row == status.pools.end())
        row = status.pools.insert(status.pools.end(), {key.database, key.role});
      PoolStatus counts = status_of(*endpoint, *pool);
      row->size = counts.size;
      row->servers_idle = counts.idle;
      row->servers_opening = std::max(0, counts.used - row->servers_used);
      if (!details) continue;
      for (const ServerPtr& server : pool->idle) {
        PoolerServer& one = status.servers.emplace_back();
        server->describe(one);
        one.database = key.database;
        one.role = key.role;
      }
    }
    if (described == all.end()) continue;
    described->second.wakes = endpoint->wakes;
    described->second.max_connections = endpoint->wakes > 0 ? endpoint->address.max_connections : 0;
  }
}

PoolStatus Pools::status_of(const PoolPtr& pool) {
  MutexLock lock(mutex_);
  return status_of(*pool->endpoint.lock(), *pool);
}

const PoolKey& Pools::key_of(const PoolPtr& pool) { return pool->key; }

void Pools::clear() {
  Closed closed;
  MutexLock lock(mutex_);
  for (auto& [name, endpoint] : endpoints_)
    for (auto& [key, pool] : endpoint->pools) {
      endpoint->close_idle(*pool, closed);
      pool->waiting.clear();
    }
}

}  // namespace halogen::proxy
