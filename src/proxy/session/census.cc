#include "proxy/session/census.h"

#include <algorithm>
#include <atomic>
#include <future>

#include "proxy/session/session.h"

namespace halogen::proxy {
namespace {

constexpr std::chrono::seconds kPatience{1};
// After that long without a client, what an endpoint has done is forgotten.
constexpr std::chrono::minutes kKeptFor{10};

bool is_asked(const Census::Question& question, const std::string& endpoint) {
  return !question.endpoint || *question.endpoint == endpoint;
}

// On the worker's thread.
void tell(Worker& worker, const Census::Question& question, Statuses& into) {
  for (const Session* session : worker.sessions) {
    if (session->endpoint().empty() || !is_asked(question, session->endpoint())) continue;
    session->describe(into[session->endpoint()], question.details);
  }
  auto now = steady_clock::now();
  for (auto one = worker.tallies.begin(); one != worker.tallies.end();) {
    auto& [place, tally] = *one;
    if (tally.use_count() > 1) tally->last_used = now;
    if (now - tally->last_used > kKeptFor) {
      one = worker.tallies.erase(one);
      continue;
    }
    if (is_asked(question, place.first)) into[place.first].totals[place.second].add(tally->totals);
    ++one;
  }
}

void add(const PoolerPool& from, PoolerPool& to) {
  for (size_t i = 0; i < kClientStates; i++) to.clients[i] += from.clients[i];
  for (auto& [reason, count] : from.pinned_by) to.pinned_by[reason] += count;
  to.servers_used += from.servers_used;
  to.longest_wait = std::max(to.longest_wait, from.longest_wait);
}

void add(PoolerStatus from, PoolerStatus& to) {
  for (const PoolerPool& pool : from.pools)
    add(pool, pool_row(to, pool.database, pool.role, pool.mode));
  for (auto& [database, totals] : from.totals) {
    auto [found, added] = to.totals.try_emplace(database, totals);
    if (!added) found->second.add(totals);
  }
  std::move(from.clients.begin(), from.clients.end(), std::back_inserter(to.clients));
  std::move(from.servers.begin(), from.servers.end(), std::back_inserter(to.servers));
}

}  // namespace

PoolerPool& pool_row(PoolerStatus& status, const std::string& database, const std::string& role,
                     PoolMode mode) {
  for (PoolerPool& pool : status.pools)
    if (pool.mode == mode && pool.database == database && pool.role == role) return pool;
  PoolerPool& pool = status.pools.emplace_back();
  pool.database = database;
  pool.role = role;
  pool.mode = mode;
  return pool;
}

// Lives as long as a worker has not told, or is gone.
struct Census::Taking {
  Taking(Census& the_census, Question the_question, std::function<void(Statuses)> the_done)
      : census(the_census), question(std::move(the_question)), done(std::move(the_done)) {}
  ~Taking() {
    MutexLock lock(mutex);
    for (Statuses& part : parts)
      for (auto& [endpoint, status] : part) add(std::move(status), all[endpoint]);
    census.pools_.describe(question.endpoint, question.details, all);
    std::erase_if(all, [this](const auto& one) { return !census.endpoints_.exists(one.first); });
    for (auto& [endpoint, status] : all) {
      status.endpoint = endpoint;
      status.settings = census.endpoints_.pool_settings(endpoint);
      std::sort(status.pools.begin(), status.pools.end(), [](const auto& a, const auto& b) {
        return std::tie(a.database, a.role, a.mode) < std::tie(b.database, b.role, b.mode);
      });
    }
    done(std::move(all));
  }
  Taking(const Taking&) = delete;
  Taking& operator=(const Taking&) = delete;

  Census& census;
  const Question question;
  const std::function<void(Statuses)> done;
  Mutex mutex;
  std::vector<Statuses> parts GUARDED_BY(mutex);
  Statuses all GUARDED_BY(mutex);
};

void Census::set_workers(const std::vector<std::shared_ptr<Worker>>& workers) {
  workers_.assign(workers.begin(), workers.end());
}

void Census::take(Question question, std::function<void(Statuses)> done) {
  auto taking = std::make_shared<Taking>(*this, std::move(question), std::move(done));
  for (const auto& weak : workers_) {
    std::shared_ptr<Worker> worker = weak.lock();
    if (!worker) continue;
    worker->loop.post([worker = worker.get(), taking] {
      Statuses part;
      tell(*worker, taking->question, part);
      MutexLock lock(taking->mutex);
      taking->parts.push_back(std::move(part));
    });
  }
}

Statuses Census::take_now(Question question) {
  auto promise = std::make_shared<std::promise<Statuses>>();
  std::future<Statuses> answer = promise->get_future();
  take(std::move(question), [promise](Statuses all) { promise->set_value(std::move(all)); });
  if (answer.wait_for(kPatience) != std::future_status::ready) return {};
  return answer.get();
}

// Told by the last worker that lets go of it.
struct Census::Ending {
  explicit Ending(std::function<void(bool)> the_done) : done(std::move(the_done)) {}
  ~Ending() { done(found); }
  Ending(const Ending&) = delete;
  Ending& operator=(const Ending&) = delete;

  const std::function<void(bool)> done;
  std::atomic<bool> found = false;
};

void Census::end_client(const std::string& endpoint, uint64_t id, std::function<void(bool)> done) {
  auto ending = std::make_shared<Ending>(std::move(done));
  for (const auto& weak : workers_) {
    std::shared_ptr<Worker> worker = weak.lock();
    if (!worker) continue;
    worker->loop.post([worker = worker.get(), endpoint, id, ending] {
      for (Session* session : worker->sessions) {
        if (session->id() != id || session->endpoint() != endpoint) continue;
        ending->found = true;
        std::shared_ptr<Session> kept = session->shared_from_this();
        kept->kill();
        return;
      }
    });
  }
}

}  // namespace halogen::proxy
