#include "pageserver/layers/compactor.h"

#include <sys/resource.h>
#include <unistd.h>

namespace halogen::pageserver {

namespace {

constexpr int kNiceness = 10;

}  // namespace

Compactor::~Compactor() {
  std::thread thread;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    thread = std::move(thread_);
    changed_.notify_all();
  }
  if (thread.joinable()) thread.join();
}

void Compactor::request(Client& client) {
  MutexLock lock(mutex_);
  if (stopping_) return;
  const auto now = steady_clock::now();
  auto [at, fresh] = waiting_.try_emplace(&client, now);
  at->second = std::min(at->second, now);
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  changed_.notify_all();
}

void Compactor::leave(Client& client) {
  MutexLock lock(mutex_);
  waiting_.erase(&client);
  while (running_ == &client) changed_.wait(mutex_);
  waiting_.erase(&client);
  if (last_ == &client) last_ = nullptr;
}

// The next in turn that is due; null if none is: `due` is when one will be.
Compactor::Client* Compactor::next(steady_clock::time_point& due) {
  const auto now = steady_clock::now();
  due = now + std::chrono::hours(1);
  Client* first = nullptr;
  for (const auto& [client, when] : waiting_) {
    due = std::min(due, when);
    if (when > now) continue;
    if (client > last_) return client;
    if (!first) first = client;
  }
  return first;
}

void Compactor::run() {
  // Reads and commits come first. A failure costs nothing else.
  (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNiceness);
  for (;;) {
    Client* client = nullptr;
    {
      MutexLock lock(mutex_);
      steady_clock::time_point due;
      while (!stopping_ && !(client = next(due))) changed_.wait_until(mutex_, due);
      if (stopping_) return;
      waiting_.erase(client);
      running_ = last_ = client;
    }
    const auto again = client->compact_once();
    MutexLock lock(mutex_);
    running_ = nullptr;
    if (again) waiting_.emplace(client, steady_clock::now() + *again);
    changed_.notify_all();
  }
}

}  // namespace halogen::pageserver
