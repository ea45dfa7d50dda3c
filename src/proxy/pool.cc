#include "proxy/pool.h"

#include <algorithm>

namespace halogen::proxy {
namespace {

// Left for the superuser and for clients that connect directly.
constexpr int kKeptFree = 5;

using Closed = std::vector<ServerPtr>;  // Destroyed without the lock.

}  // namespace

struct Pools::PoolEndpoint {
  uint64_t start = 0;
  int max_connections = 100;
  int open = 0;  // Of all pools.
  PoolSettings settings;
  std::map<PoolKey, PoolPtr> pools;

  int most() const { return std::max(1, max_connections - kKeptFree); }
};

// Guarded by Pools::mutex_.
struct Pool {
  PoolKey key;
  std::weak_ptr<Pools::PoolEndpoint> endpoint;
  int open = 0;                // Idle, used, and being opened.
  std::deque<ServerPtr> idle;  // Used last at the back.
  std::deque<WaiterPtr> waiting;
  std::vector<std::weak_ptr<Lender>> lenders;    // The longest idle at the front.
  std::map<std::string, ReportedPtr> greetings;  // By startup_items(); of Pools' current start.

  int size(const Pools::PoolEndpoint& of) const {
    if (of.settings.pool_size > 0) return of.settings.pool_size;
    return std::max(1, of.max_connections * 9 / 10);
  }
};

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

void Pools::compute_is(const std::string& name, const ComputeAddress& address,
                       const PoolSettings& settings) {
  Closed closed;
  MutexLock lock(mutex_);
  auto& endpoint = endpoints_[name];
  if (!endpoint) endpoint = std::make_shared<PoolEndpoint>();
  endpoint->settings = settings;
  endpoint->max_connections = address.max_connections;
  if (endpoint->start == address.start) return;
  endpoint->start = address.start;
  for (auto& [key, pool] : endpoint->pools) {
    pool->open -= static_cast<int>(pool->idle.size());
    endpoint->open -= static_cast<int>(pool->idle.size());
    std::move(pool->idle.begin(), pool->idle.end(), std::back_inserter(closed));
    pool->idle.clear();
    pool->greetings.clear();
  }
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

ReportedPtr Pools::greeting(const PoolPtr& pool, uint64_t start, const std::string& startup) {
  MutexLock lock(mutex_);
  if (pool->endpoint.lock()->start != start) return nullptr;
  auto found = pool->greetings.find(startup);
  return found == pool->greetings.end() ? nullptr : found->second;
}

void Pools::set_greeting(const PoolPtr& pool, uint64_t start, const std::string& startup,
                         ReportedPtr reported) {
  constexpr size_t kMostGreetings = 64;
  MutexLock lock(mutex_);
  if (pool->endpoint.lock()->start != start) return;
  if (pool->greetings.size() >= kMostGreetings) pool->greetings.clear();
  pool->greetings[startup] = std::move(reported);
}

// One that begins as the client does is preferred, above all the one it had before: the others have
// to be made like it first.
std::optional<Grant> Pools::pick_idle(const PoolPtr& pool, uint64_t start,
                                      const std::string& startup, uint64_t owner, Closed& closed) {
  constexpr size_t kLookedAt = 8;
  while (!pool->idle.empty()) {
    auto best = std::prev(pool->idle.end());
    size_t looked_at = 0;
    for (auto one = pool->idle.rbegin(); one != pool->idle.rend() && looked_at++ < kLookedAt;
         ++one) {
      if ((*one)->state.startup != startup) continue;
      bool own = (*one)->state.owner == owner;
      if (own || (*best)->state.startup != startup) best = std::prev(one.base());
      if (own) break;
    }
    ServerPtr server = std::move(*best);
    pool->idle.erase(best);
    if (server->start == start && server->quiet())
      return Grant{std::move(server), Slot(*this, pool)};
    closed.push_back(std::move(server));
    pool->open--;
    pool->endpoint.lock()->open--;
  }
  return std::nullopt;
}

std::optional<Grant> Pools::take_idle(const PoolPtr& pool, uint64_t start,
                                      const std::string& startup, uint64_t owner) {
  Closed closed;
  MutexLock lock(mutex_);
  return pick_idle(pool, start, startup, owner, closed);
}

std::optional<Grant> Pools::acquire(const PoolPtr& pool, uint64_t start, const std::string& startup,
                                    uint64_t owner, WaiterPtr waiter) {
  Closed closed;
  LenderPtr lender;
  {
    MutexLock lock(mutex_);
    if (auto grant = pick_idle(pool, start, startup, owner, closed)) return grant;
    if (pool->waiting.empty() && take_slot(*pool, closed)) return Grant{nullptr, Slot(*this, pool)};
    pool->waiting.push_back(std::move(waiter));
    while (!lender && !pool->lenders.empty()) {
      lender = pool->lenders.front().lock();
      pool->lenders.erase(pool->lenders.begin());
    }
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

void Pools::give(ServerPtr server, Slot slot) {
  PoolPtr pool = slot.pool();
  WaiterPtr next;
  {
    MutexLock lock(mutex_);
    std::shared_ptr<PoolEndpoint> endpoint = pool->endpoint.lock();
    bool too_old = steady_clock::now() - server->opened > endpoint->settings.server_lifetime;
    if (server->start != endpoint->start || too_old || pool->open > pool->size(*endpoint)) {
      // Falls through to the end: server and slot go, in this order.
    } else if (pool->waiting.empty()) {
      server->last_used = steady_clock::now();
      pool->idle.push_back(std::move(server));
      slot.keep();
      return;
    } else {
      next = std::move(pool->waiting.front());
      pool->waiting.pop_front();
    }
  }
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
          bool idle_too_long = now - (*one)->last_used > endpoint->settings.server_idle_timeout &&
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

std::vector<Slot> Pools::lacking() {
  std::vector<Slot> slots;
  Closed closed;
  MutexLock lock(mutex_);
  for (auto& [name, endpoint] : endpoints_)
    for (auto& [key, pool] : endpoint->pools)
      for (int open = pool->open; open < endpoint->settings.min_pool_size; open++)
        if (take_slot(*pool, closed)) slots.emplace_back(*this, pool);
  return slots;
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

std::vector<PoolStatus> Pools::status() {
  std::vector<PoolStatus> all;
  MutexLock lock(mutex_);
  for (auto& [name, endpoint] : endpoints_)
    for (auto& [key, pool] : endpoint->pools) all.push_back(status_of(*endpoint, *pool));
  return all;
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
      std::move(pool->idle.begin(), pool->idle.end(), std::back_inserter(closed));
      pool->open -= static_cast<int>(pool->idle.size());
      endpoint->open -= static_cast<int>(pool->idle.size());
      pool->idle.clear();
      pool->waiting.clear();
    }
}

}  // namespace halogen::proxy
