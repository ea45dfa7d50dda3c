#include "proxy/pool/cancel_keys.h"

#include <openssl/crypto.h>

#include "base/ids.h"

namespace halogen::proxy {

ClientKey CancelKeys::add(size_t secret_size, const std::string& endpoint, CancelWaiting waiting,
                          uint32_t pid) {
  ClientKey ours;
  ours.secret.resize(secret_size);
  MutexLock lock(mutex_);
  while (true) {
    random_bytes(ours.secret.data(), secret_size);
    random_bytes(&ours.pid, sizeof ours.pid);
    ours.pid &= 0x7fffffff;  // Clients take it for a signed number.
    if (pid != 0) ours.pid = pid;
    bool taken = pid != 0 ? find(ours) != entries_.end() : entries_.contains(ours.pid);
    if (ours.pid == 0 || taken) continue;
    entries_.emplace(ours.pid, Entry{ours.secret, endpoint, std::move(waiting)});
    return ours;
  }
}

CancelKeys::Entries::iterator CancelKeys::find(const ClientKey& key) {
  auto [begin, end] = entries_.equal_range(key.pid);
  for (auto one = begin; one != end; ++one) {
    const std::string& right = one->second.secret;
    if (key.secret.size() == right.size() &&
        CRYPTO_memcmp(key.secret.data(), right.data(), right.size()) == 0)
      return one;
  }
  return entries_.end();
}

void CancelKeys::remove(const ClientKey& key) {
  MutexLock lock(mutex_);
  if (auto found = find(key); found != entries_.end()) entries_.erase(found);
}

void CancelKeys::point(const ClientKey& key, CancelTargetPtr target) {
  MutexLock lock(mutex_);
  if (auto found = find(key); found != entries_.end()) found->second.target.swap(target);
}

bool CancelKeys::point_nowhere(const ClientKey& key) {
  MutexLock lock(mutex_);
  auto found = find(key);
  if (found == entries_.end()) return true;
  found->second.target.reset();
  return found->second.under_way == 0;
}

std::optional<CancelTarget> CancelKeys::begin(const ClientKey& key) {
  MutexLock lock(mutex_);
  auto found = find(key);
  if (found == entries_.end() || !found->second.target) return std::nullopt;
  found->second.under_way++;
  CancelTarget target = *found->second.target;
  target.endpoint = found->second.endpoint;
  return target;
}

std::optional<WaitingClient> CancelKeys::waiting_client(const ClientKey& key) {
  MutexLock lock(mutex_);
  auto found = find(key);
  if (found == entries_.end()) return std::nullopt;
  return WaitingClient{found->second.endpoint, found->second.waiting};
}

void CancelKeys::end(const ClientKey& key) {
  MutexLock lock(mutex_);
  if (auto found = find(key); found != entries_.end()) found->second.under_way--;
}

}  // namespace halogen::proxy
