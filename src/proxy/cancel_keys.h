// cancel_keys.h: the pid and key we tell a client in place of its backend's, and what they stand
// for. Safe from any thread.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/mutex.h"

namespace halogen::proxy {

struct BackendKey {
  uint32_t pid = 0;
  uint32_t key = 0;
};

struct CancelTarget {
  std::string socket;  // Path of the compute's unix socket.
  BackendKey key;      // The backend's own.
};

class CancelKeys {
 public:
  // A pair not in use, to be told to the client.
  BackendKey add(CancelTarget target);
  void remove(BackendKey ours);
  std::optional<CancelTarget> find(BackendKey ours) const;

 private:
  struct Entry {
    uint32_t key;
    CancelTarget target;
  };
  mutable Mutex mutex_;
  std::unordered_map<uint32_t, Entry> entries_ GUARDED_BY(mutex_);  // By our pid.
};

}  // namespace halogen::proxy
