#include "proxy/pool/cancel_keys.h"

#include <openssl/crypto.h>

#include "base/ids.h"

namespace halogen::proxy {

// A transaction points it twice, so that needs no search; only a cancel request does.
struct CancelKeys::Told::Entry {
  ClientKey key;
  std::string endpoint;
  CancelWaiting waiting;
  Mutex mutex{};  // Taken after that of the keys.
  CancelTargetPtr target GUARDED_BY(mutex){};
  int under_way GUARDED_BY(mutex) = 0;
};

CancelKeys::Told::~Told() {
  if (!entry_) return;
  MutexLock lock(keys_->mutex_);
  auto [one, end] = keys_->entries_.equal_range(entry_->key.pid);
  while (one != end && one->second != entry_) ++one;
  if (one != end) keys_->entries_.erase(one);
}

const ClientKey& CancelKeys::Told::key() const { return entry_->key; }

void CancelKeys::Told::point(CancelTargetPtr target) {
  MutexLock lock(entry_->mutex);
  entry_->target.swap(target);
}

bool CancelKeys::Told::point_nowhere() {
  MutexLock lock(entry_->mutex);
  entry_->target.reset();
  return entry_->under_way == 0;
}

CancelKeys::Told CancelKeys::add(size_t secret_size, const std::string& endpoint,
                                 CancelWaiting waiting, uint32_t pid) {
  auto entry = std::make_shared<Told::Entry>(ClientKey{}, endpoint, std::move(waiting));
  ClientKey& ours = entry->key;
  ours.secret.resize(secret_size);
  MutexLock lock(mutex_);
  while (true) {
    random_bytes(ours.secret.data(), secret_size);
    random_bytes(&ours.pid, sizeof ours.pid);
    ours.pid &= 0x7fffffff;  // Clients take it for a signed number.
    if (pid != 0) ours.pid = pid;
    bool taken = pid != 0 ? find(ours) != nullptr : entries_.contains(ours.pid);
    if (ours.pid == 0 || taken) continue;
    entries_.emplace(ours.pid, entry);
    return Told(*this, entry);
  }
}

CancelKeys::EntryPtr CancelKeys::find(const ClientKey& key) {
  auto [begin, end] = entries_.equal_range(key.pid);
  for (auto one = begin; one != end; ++one) {
    const std::string& right = one->second->key.secret;
    if (key.secret.size() == right.size() &&
        CRYPTO_memcmp(key.secret.data(), right.data(), right.size()) == 0)
      return one->second;
  }
  return nullptr;
}

std::optional<CancelTarget> CancelKeys::begin(const ClientKey& key) {
  MutexLock lock(mutex_);
  EntryPtr found = find(key);
  if (!found) return std::nullopt;
  MutexLock own(found->mutex);
  if (!found->target) return std::nullopt;
  found->under_way++;
  CancelTarget target = *found->target;
  target.endpoint = found->endpoint;
  return target;
}

std::optional<WaitingClient> CancelKeys::waiting_client(const ClientKey& key) {
  MutexLock lock(mutex_);
  EntryPtr found = find(key);
  if (!found) return std::nullopt;
  return WaitingClient{found->endpoint, found->waiting};
}

void CancelKeys::end(const ClientKey& key) {
  MutexLock lock(mutex_);
  EntryPtr found = find(key);
  if (!found) return;
  MutexLock own(found->mutex);
  found->under_way--;
}

}  // namespace halogen::proxy
