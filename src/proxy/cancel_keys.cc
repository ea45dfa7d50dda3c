#include "proxy/cancel_keys.h"

#include <openssl/crypto.h>

#include "base/ids.h"

namespace halogen::proxy {

ClientKey CancelKeys::add(CancelTarget target, size_t secret_size) {
  ClientKey ours;
  ours.secret.resize(secret_size);
  random_bytes(ours.secret.data(), secret_size);
  MutexLock lock(mutex_);
  while (true) {
    random_bytes(&ours.pid, sizeof ours.pid);
    ours.pid &= 0x7fffffff;  // Clients take it for a signed number.
    if (ours.pid == 0) continue;
    if (entries_.try_emplace(ours.pid, Entry{ours.secret, target}).second) return ours;
  }
}

void CancelKeys::remove(uint32_t pid) {
  MutexLock lock(mutex_);
  entries_.erase(pid);
}

std::optional<CancelTarget> CancelKeys::find(uint32_t pid, std::string_view secret) const {
  MutexLock lock(mutex_);
  auto found = entries_.find(pid);
  if (found == entries_.end()) return std::nullopt;
  const std::string& right = found->second.secret;
  if (secret.size() != right.size()) return std::nullopt;
  if (CRYPTO_memcmp(secret.data(), right.data(), right.size()) != 0) return std::nullopt;
  return found->second.target;
}

}  // namespace halogen::proxy
