// cancel_keys.h: the pid and key we tell a client in place of its backend's, and what they stand
// for. Safe from any thread.
//
// A client's key is four bytes, as protocol 3.0 has it, or kLongSecret since 3.2.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/mutex.h"

namespace halogen::proxy {

struct BackendKey {
  uint32_t pid = 0;
  uint32_t key = 0;
};

// What a client is told, and shows to cancel.
struct ClientKey {
  uint32_t pid = 0;
  std::string secret;  // Raw bytes.
};

constexpr size_t kShortSecret = 4;
constexpr size_t kLongSecret = 32;

struct CancelTarget {
  std::string socket;      // Path of the compute's unix socket.
  BackendKey key;          // The backend's own.
  std::string endpoint{};  // Of the client, as told to add().
};

using CancelTargetPtr = std::shared_ptr<const CancelTarget>;  // Of a server, as long as it lives.

class CancelKeys {
 public:
  // A pair not in use, to be told to the client. It stands for nothing yet.
  ClientKey add(size_t secret_size = kShortSecret, const std::string& endpoint = {});
  void remove(uint32_t pid);
  // From now on it stands for this backend.
  void point(uint32_t pid, CancelTargetPtr target);
  // It stands for nothing any more. False if a request is on its way to the backend, which may then
  // interrupt whatever it does next.
  bool point_nowhere(uint32_t pid);

  // What a client asks to be interrupted; nullopt if that is nothing, or the key is wrong. To be
  // followed by end() once the request has been delivered.
  std::optional<CancelTarget> begin(const ClientKey& key);
  void end(uint32_t pid);

 private:
  struct Entry {
    std::string secret;
    std::string endpoint;
    CancelTargetPtr target;
    int under_way = 0;
  };
  Mutex mutex_;
  std::unordered_map<uint32_t, Entry> entries_ GUARDED_BY(mutex_);  // By our pid.
};

}  // namespace halogen::proxy
