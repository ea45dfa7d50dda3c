#include "proxy/cancel_keys.h"

#include "base/ids.h"

namespace halogen::proxy {

BackendKey CancelKeys::add(CancelTarget target) {
  MutexLock lock(mutex_);
  while (true) {
    BackendKey ours;
    random_bytes(&ours, sizeof ours);
    ours.pid &= 0x7fffffff;  // Clients take it for a signed number.
    if (ours.pid == 0) continue;
    if (entries_.try_emplace(ours.pid, Entry{ours.key, target}).second) return ours;
  }
}

void CancelKeys::remove(BackendKey ours) {
  MutexLock lock(mutex_);
  entries_.erase(ours.pid);
}

std::optional<CancelTarget> CancelKeys::find(BackendKey ours) const {
  MutexLock lock(mutex_);
  auto found = entries_.find(ours.pid);
  if (found == entries_.end() || found->second.key != ours.key) return std::nullopt;
  return found->second.target;
}

}  // namespace halogen::proxy
