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
  // A pair not in use, to be told to the client. It stands for nothing yet.
  BackendKey add();
  void remove(BackendKey ours);
  // From now on it stands for this backend.
  void point(BackendKey ours, const CancelTarget& target);
  // It stands for nothing any more. False if a request is on its way to the backend, which may then
  // interrupt whatever it does next.
  bool point_nowhere(BackendKey ours);

  // What a client asks to be interrupted; nullopt if that is nothing, or the key is wrong. To be
  // followed by end() once the request has been delivered.
  std::optional<CancelTarget> begin(BackendKey ours);
  void end(BackendKey ours);

 private:
  struct Entry {
    uint32_t key;
    std::optional<CancelTarget> target;
    int under_way = 0;
  };
  Mutex mutex_;
  std::unordered_map<uint32_t, Entry> entries_ GUARDED_BY(mutex_);  // By our pid.
};

}  // namespace halogen::proxy
