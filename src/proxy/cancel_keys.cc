#include "proxy/cancel_keys.h"

#include "base/ids.h"

namespace halogen::proxy {

BackendKey CancelKeys::add() {
  MutexLock lock(mutex_);
  while (true) {
    BackendKey ours;
    random_bytes(&ours, sizeof ours);
    ours.pid &= 0x7fffffff;  // Clients take it for a signed number.
    if (ours.pid == 0) continue;
    if (entries_.try_emplace(ours.pid, Entry{ours.key}).second) return ours;
  }
}

void CancelKeys::remove(BackendKey ours) {
  MutexLock lock(mutex_);
  entries_.erase(ours.pid);
}

void CancelKeys::point(BackendKey ours, const CancelTarget& target) {
  MutexLock lock(mutex_);
  if (auto found = entries_.find(ours.pid); found != entries_.end()) found->second.target = target;
}

bool CancelKeys::point_nowhere(BackendKey ours) {
  MutexLock lock(mutex_);
  auto found = entries_.find(ours.pid);
  if (found == entries_.end()) return true;
  found->second.target.reset();
  return found->second.under_way == 0;
}

std::optional<CancelTarget> CancelKeys::begin(BackendKey ours) {
  MutexLock lock(mutex_);
  auto found = entries_.find(ours.pid);
  if (found == entries_.end() || found->second.key != ours.key) return std::nullopt;
  if (found->second.target) found->second.under_way++;
  return found->second.target;
}

void CancelKeys::end(BackendKey ours) {
  MutexLock lock(mutex_);
  if (auto found = entries_.find(ours.pid); found != entries_.end()) found->second.under_way--;
}

}  // namespace halogen::proxy
