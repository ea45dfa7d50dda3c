#include "proxy/pool/cancel_keys.h"

#include <openssl/crypto.h>

#include "base/ids.h"

namespace halogen::proxy {

ClientKey CancelKeys::add(size_t secret_size, const std::string& endpoint) {
  ClientKey ours;
  ours.secret.resize(secret_size);
  random_bytes(ours.secret.data(), secret_size);
  MutexLock lock(mutex_);
  while (true) {
    random_bytes(&ours.pid, sizeof ours.pid);
    ours.pid &= 0x7fffffff;  // Clients take it for a signed number.
    if (ours.pid == 0) continue;
    if (entries_.try_emplace(ours.pid, Entry{ours.secret, endpoint}).second) return ours;
  }
}

void CancelKeys::remove(uint32_t pid) {
  MutexLock lock(mutex_);
  entries_.erase(pid);
}

void CancelKeys::point(uint32_t pid, CancelTargetPtr target) {
  MutexLock lock(mutex_);
  if (auto found = entries_.find(pid); found != entries_.end()) found->second.target.swap(target);
}

bool CancelKeys::point_nowhere(uint32_t pid) {
  MutexLock lock(mutex_);
  auto found = entries_.find(pid);
  if (found == entries_.end()) return true;
  found->second.target.reset();
  return found->second.under_way == 0;
}

std::optional<CancelTarget> CancelKeys::begin(const ClientKey& key) {
  MutexLock lock(mutex_);
  auto found = entries_.find(key.pid);
  if (found == entries_.end()) return std::nullopt;
  const std::string& right = found->second.secret;
  if (key.secret.size() != right.size()) return std::nullopt;
  if (CRYPTO_memcmp(key.secret.data(), right.data(), right.size()) != 0) return std::nullopt;
  if (!found->second.target) return std::nullopt;
  found->second.under_way++;
  CancelTarget target = *found->second.target;
  target.endpoint = found->second.endpoint;
  return target;
}

void CancelKeys::end(uint32_t pid) {
  MutexLock lock(mutex_);
  if (auto found = entries_.find(pid); found != entries_.end()) found->second.under_way--;
}

}  // namespace halogen::proxy
