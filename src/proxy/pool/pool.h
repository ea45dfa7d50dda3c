// pool.h: server connections that clients share, and who waits for one.
//
// A pool is for one (endpoint, database, role): servers differ in what they hold, not in who they
// are. Each open server, and each that is being opened, has a Slot; there are as many as the
// endpoint's settings say, and over all pools of an endpoint no more than its max_connections
// leave. Who finds neither an idle server nor a free slot waits in line, first come, first served;
// but to go to another worker costs a server a wake of its thread, so who waits on the server's own
// goes before, for a while. A server of an earlier start of the compute is never given out, nor one
// of an earlier epoch of logins (protocol/session_state.h): what Postgres settles when a session
// begins may have changed since.
//
// Threads: any. Callbacks run without the lock, on the thread that made them possible.
#pragma once
#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "protocol/endpoints.h"
#include "protocol/pooler_status.h"
#include "proxy/pool/server.h"

namespace halogen::proxy {

struct PoolKey {
  std::string endpoint;
  std::string database;
  std::string role;

  auto operator<=>(const PoolKey&) const = default;
};

class Pools;
struct Pool;
using PoolPtr = std::shared_ptr<Pool>;

// The right to have one server open. Gives it back when it goes.
class Slot {
 public:
  Slot() = default;
  Slot(Pools& pools, PoolPtr pool) : pools_(&pools), pool_(std::move(pool)) {}
  ~Slot() { give_back(); }
  Slot(Slot&& other) noexcept
      : pools_(std::exchange(other.pools_, nullptr)), pool_(std::move(other.pool_)) {}
  Slot& operator=(Slot&& other) noexcept {
    if (this == &other) return *this;
    give_back();
    pools_ = std::exchange(other.pools_, nullptr);
    pool_ = std::move(other.pool_);
    return *this;
  }
  const PoolPtr& pool() const { return pool_; }
  // The server it is for goes on to hold it by itself.
  void keep() { pools_ = nullptr; }

 private:
  void give_back();
  Pools* pools_ = nullptr;
  PoolPtr pool_;
};

// What a client gets: a server, or a slot to open one with.
struct Grant {
  ServerPtr server;
  Slot slot;
};

// Logins are the same in two moments that are equal.
struct LoginMoment {
  uint64_t start = 0;  // Of the compute.
  uint64_t epoch = 0;  // 0: nobody has told since that start.

  bool operator==(const LoginMoment&) const = default;
};

// Who wants a server: the current start of the compute, what it is to begin with (startup_items()),
// the conversation, and where that takes place.
struct Wanted {
  uint64_t start;
  const std::string& startup;
  uint64_t owner;
  const Worker* worker;
  // As of which the client is known to be let in; nullopt: it has just been asked.
  std::optional<LoginMoment> as_of{};
};

// What clients that start alike are told, and as whom.
struct Greeting {
  ReportedPtr reported;
  ServerLogin login;
};

// One in line. Called at most once, unless it has been withdrawn.
struct Waiter {
  std::function<void(Grant)> granted;
  const Worker* worker;
  steady_clock::time_point since = steady_clock::now();
  int passed_over = 0;  // So many times for one that came later.
};
using WaiterPtr = std::shared_ptr<Waiter>;

// One that keeps a server which it would rather not lose, but can.
struct Lender {
  std::function<void()> asked;  // At most once: somebody waits for it.
};
using LenderPtr = std::shared_ptr<Lender>;

// What SHOW POOLS and the metrics tell of one pool.
struct PoolStatus {
  PoolKey key;
  int size = 0;  // The most servers it may have.
  int idle = 0;
  int used = 0;  // Including those being opened.
  int waiting = 0;
  std::chrono::milliseconds longest_wait{0};
};

class Pools {
 public:
  PoolPtr find_or_add(const PoolKey& key);
  // From now on servers are of this start of the endpoint's compute; older idle ones are closed.
  // False if that was known.
  bool compute_is(const std::string& endpoint, const ComputeAddress& address);

  // The epoch of logins has come this far: idle servers and greetings of an earlier one go. Ignored
  // unless it is of the current start.
  void epoch_is(const std::string& endpoint, uint64_t start, uint64_t epoch);
  LoginMoment moment_of(const std::string& endpoint);
  // Closes idle servers in this database (an OID), and those that come to rest in the next seconds,
  // in which none is opened that nobody asks for.
  void vacate(const std::string& endpoint, uint32_t database);
  // Closes an idle server so that Postgres has room for another connection: of this role, or in
  // this database, where that is what is full. False if there was none.
  struct Full {
    std::optional<std::string> role;
    std::optional<std::string> database;
  };
  bool make_room(const std::string& endpoint, const Full& full);

  // What clients that start like this are told at their greeting; nullopt if nobody has looked yet.
  std::optional<Greeting> greeting(const PoolPtr& pool, uint64_t start, const std::string& startup);
  void set_greeting(const PoolPtr& pool, uint64_t start, const std::string& startup,
                    Greeting greeting);

  // An idle server, if there is one; as acquire().
  std::optional<Grant> take_idle(const PoolPtr& pool, const Wanted& wanted);
  // A grant at once, or `waiter` is put in line.
  std::optional<Grant> acquire(const PoolPtr& pool, const Wanted& wanted, WaiterPtr waiter);
  // Whoever has to wait from now on may ask for this one's server. Forgotten when `lender` goes.
  void can_lend(const PoolPtr& pool, const LenderPtr& lender);
  // False if it has been granted (or is about to be).
  bool withdraw(const PoolPtr& pool, const WaiterPtr& waiter);
  // The server, ready for a query, goes to whoever is next, or lies idle.
  void give(ServerPtr server, Slot slot);

  // They count from now on, whatever is open already.
  void set_settings(const std::string& endpoint, const PoolSettings& settings);
  std::vector<std::string> endpoints();
  // The endpoint has been deleted: its idle servers go. Again until it is not among endpoints() any
  // more: it stays while somebody has a pool of it.
  void forget(const std::string& endpoint);
  // Closes what has been idle or open for too long, or was closed by the compute.
  void sweep();
  // Where a server is to be opened and given to a pool that has fewer than it is to keep warm. Only
  // of computes that have been started and, as far as is known, still run.
  struct Lack {
    Slot slot;
    ComputeAddress address;
  };
  std::vector<Lack> lacking();
  // It could not be opened: nothing lacks for a while; `gone`: until the compute is started again.
  void stays_lacking(const PoolPtr& pool, bool gone);
  // Adds to `all` what is known of this endpoint, or of all.
  void describe(const std::optional<std::string>& endpoint, bool details,
                std::map<std::string, PoolerStatus>& all);
  PoolStatus status_of(const PoolPtr& pool);
  static const PoolKey& key_of(const PoolPtr& pool);
  void clear();

 private:
  friend class Slot;
  friend struct Pool;
  struct PoolEndpoint;
  void give_back(const PoolPtr& pool);
  // Grants what can be granted; the caller runs them without the lock.
  using Grants = std::vector<std::pair<WaiterPtr, Grant>>;
  void serve_line(PoolEndpoint& endpoint, Grants& grants) REQUIRES(mutex_);
  std::optional<Grant> pick_idle(const PoolPtr& pool, const Wanted& wanted,
                                 std::vector<ServerPtr>& closed) REQUIRES(mutex_);
  static WaiterPtr next_in_line(Pool& pool, const Worker* worker);
  static PoolStatus status_of(const PoolEndpoint& endpoint, const Pool& pool);
  bool take_slot(Pool& pool, std::vector<ServerPtr>& closed) REQUIRES(mutex_);

  Mutex mutex_;
  std::map<std::string, std::shared_ptr<PoolEndpoint>> endpoints_ GUARDED_BY(mutex_);
};

}  // namespace halogen::proxy
