#include "proxy/pool/cancel_keys.h"

#include <openssl/crypto.h>

#include "base/ids.h"

namespace halogen::proxy {

ClientKey CancelKeys::add(size_t secret_size, const std::string& endpoint, CancelWaiting waiting) {
  ClientKey ours;
  ours.secret.resize(secret_size);
  random_bytes(ours.secret.data(), secret_size);
  MutexLock lock(mutex_);
  while (true) {
    random_bytes(&ours.pid, sizeof ours.pid);
    ours.pid &= 0x7fffffff;  // Clients take it for a signed number.
    if (ours.pid == 0) continue;
    if (entries_.try_emplace(ours.pid, Entry{ours.secret, endpoint, waiting}).second) return ours;
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

CancelKeys::Entry* CancelKeys::find(const ClientKey& key) {
  auto found = entries_.find(key.pid);
  if (found == entries_.end()) return nullptr;
  const std::string& right = found->second.secret;
  if (key.secret.size() != right.size()) return nullptr;
  if (CRYPTO_memcmp(key.secret.data(), right.data(), right.size()) != 0) return nullptr;
  return &found->second;
}

std::optional<CancelTarget> CancelKeys::begin(const ClientKey& key) {
  MutexLock lock(mutex_);
  Entry* entry = find(key);
  if (entry == nullptr || !entry->target) return std::nullopt;
  entry->under_way++;
  CancelTarget target = *entry->target;
  target.endpoint = entry->endpoint;
  return target;
}

std::optional<WaitingClient> CancelKeys::waiting_client(const ClientKey& key) {
  MutexLock lock(mutex_);
  Entry* entry = find(key);
  if (entry == nullptr) return std::nullopt;
  return WaitingClient{entry->endpoint, entry->waiting};
}

void CancelKeys::end(uint32_t pid) {
  MutexLock lock(mutex_);
  if (auto found = entries_.find(pid); found != entries_.end()) found->second.under_way--;
}

}  // namespace halogen::proxy
