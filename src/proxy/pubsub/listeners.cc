#include "proxy/pubsub/listeners.h"

#include "proxy/pubsub/hub.h"

namespace halogen::proxy {

void Listeners::listen(const PoolKey& key, Worker& worker, const ListenerPtr& listener,
                       const std::vector<std::string>& channels) {
  std::shared_ptr<Hub> hub;
  {
    MutexLock lock(mutex_);
    std::shared_ptr<Hub>& found = hubs_[{key.endpoint, key.database}];
    if (!found) {
      if (channels.empty()) return;
      found = std::make_shared<Hub>(key, worker.shared_from_this());
      auto compute = computes_.find(key.endpoint);
      if (compute != computes_.end()) found->compute_is(compute->second);
    }
    hub = found;
  }
  hub->listen(listener, channels);
}

std::vector<std::shared_ptr<Hub>> Listeners::hubs_of(const std::string& endpoint) {
  std::vector<std::shared_ptr<Hub>> hubs;
  for (auto one = hubs_.lower_bound({endpoint, ""});
       one != hubs_.end() && one->first.first == endpoint; ++one)
    hubs.push_back(one->second);
  return hubs;
}

void Listeners::compute_is(const std::string& endpoint, const ComputeAddress& address) {
  std::vector<std::shared_ptr<Hub>> hubs;
  {
    MutexLock lock(mutex_);
    computes_[endpoint] = address;
    hubs = hubs_of(endpoint);
  }
  for (auto& hub : hubs) hub->compute_is(address);
}

void Listeners::ready(const std::string& endpoint, uint64_t start, std::function<void()> done) {
  // The last copy of this that goes calls back.
  auto all = std::shared_ptr<void>(nullptr, [done = std::move(done)](void*) { done(); });
  std::vector<std::shared_ptr<Hub>> hubs;
  {
    MutexLock lock(mutex_);
    hubs = hubs_of(endpoint);
  }
  for (auto& hub : hubs) hub->ready(start, [all] {});
}

void Listeners::forget(const std::string& endpoint) {
  std::vector<std::shared_ptr<Hub>> hubs;
  {
    MutexLock lock(mutex_);
    hubs = hubs_of(endpoint);
    computes_.erase(endpoint);
    std::erase_if(hubs_, [&](const auto& one) { return one.first.first == endpoint; });
  }
  for (auto& hub : hubs) hub->stop();
}

void Listeners::clear() {
  std::map<Place, std::shared_ptr<Hub>> hubs;
  {
    MutexLock lock(mutex_);
    hubs = std::exchange(hubs_, {});
  }
  for (auto& [place, hub] : hubs) hub->stop();
}

}  // namespace halogen::proxy
