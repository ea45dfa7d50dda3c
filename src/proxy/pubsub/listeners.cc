#include "proxy/pubsub/listeners.h"

#include "proxy/pubsub/hub.h"

namespace halogen::proxy {

void Listeners::listen(const ListeningPlace& place, Worker& worker, const ListenerPtr& listener,
                       const std::string& role, const std::vector<std::string>& channels) {
  MutexLock lock(mutex_);
  std::shared_ptr<Hub>& hub = hubs_[place];
  if (!hub) {
    hub = std::make_shared<Hub>(place, worker.shared_from_this(),
                                [this](Hub& it) { return retire(it); });
    auto compute = computes_.find(place.endpoint);
    if (compute != computes_.end())
      hub->ask([address = compute->second](Hub& it) { it.compute_is(address); });
  }
  hub->ask([=](Hub& it) { it.listen(listener, role, channels); });
}

std::vector<std::shared_ptr<Hub>> Listeners::hubs_of(const std::string& endpoint) {
  std::vector<std::shared_ptr<Hub>> hubs;
  for (auto one = hubs_.lower_bound({endpoint, "", ""});
       one != hubs_.end() && one->first.endpoint == endpoint; ++one)
    hubs.push_back(one->second);
  return hubs;
}

void Listeners::notified(const std::string& endpoint, const std::string& database,
                         const NotifyingTransaction& transaction, uint32_t client_pid) {
  MutexLock lock(mutex_);
  for (auto& hub : hubs_of(endpoint))
    if (hub->place().database == database)
      hub->ask([=](Hub& it) { it.notified(transaction, client_pid); });
}

void Listeners::when_told(const ListeningPlace& place, const NotifyingTransaction& transaction,
                          std::function<void()> done) {
  MutexLock lock(mutex_);
  auto hub = hubs_.find(place);
  if (hub == hubs_.end()) return done();
  hub->second->ask([=, done = std::move(done)](Hub& it) { it.when_told(transaction, done); });
}

void Listeners::compute_is(const std::string& endpoint, const ComputeAddress& address) {
  MutexLock lock(mutex_);
  computes_[endpoint] = address;
  for (auto& hub : hubs_of(endpoint)) hub->ask([address](Hub& it) { it.compute_is(address); });
}

void Listeners::ready(const std::string& endpoint, uint64_t start, std::function<void()> done) {
  // The last copy of this that goes calls back.
  auto all = std::shared_ptr<void>(nullptr, [done = std::move(done)](void*) { done(); });
  MutexLock lock(mutex_);
  for (auto& hub : hubs_of(endpoint))
    hub->ask([start, all](Hub& it) { it.ready(start, [all] {}); });
}

void Listeners::forget(const std::string& endpoint) {
  MutexLock lock(mutex_);
  for (auto& hub : hubs_of(endpoint)) hub->ask([](Hub& it) { it.stop(); });
  computes_.erase(endpoint);
  std::erase_if(hubs_, [&](const auto& one) { return one.first.endpoint == endpoint; });
}

void Listeners::clear() {
  MutexLock lock(mutex_);
  for (auto& [place, hub] : hubs_) hub->ask([](Hub& it) { it.stop(); });
  hubs_.clear();
}

bool Listeners::retire(Hub& hub) {
  MutexLock lock(mutex_);
  if (hub.is_asked()) return false;
  auto found = hubs_.find(hub.place());
  if (found != hubs_.end() && found->second.get() == &hub) hubs_.erase(found);
  return true;
}

}  // namespace halogen::proxy
