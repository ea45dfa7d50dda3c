// cancel_keys.h: the pid and key we tell a client in place of its backend's, and what they stand
// for. Safe from any thread.
//
// A client's key is four bytes, as protocol 3.0 has it, or kLongSecret since 3.2.
#pragma once
#include <cstdint>
#include <functional>
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

// Asks a client's session to cancel a request that waits for a server. Calls back exactly once,
// unless the session is gone: whether there was such a request. Safe from any thread.
using CancelWaiting = std::function<void(std::function<void(bool)>)>;

// A client that no server works for. Its requests, if it has any, wait for one.
struct WaitingClient {
  std::string endpoint;
  CancelWaiting cancel;
};

class CancelKeys {
 public:
  // A key that a client was told, for as long as this lives. It stands for a backend, or for none.
  class Told {
   public:
    Told(Told&&) = default;
    Told& operator=(Told&&) = delete;
    ~Told();

    const ClientKey& key() const;
    // From now on it stands for this backend.
    void point(CancelTargetPtr target);
    // It stands for nothing any more. False if a request is on its way to the backend, which may
    // then interrupt whatever it does next.
    bool point_nowhere();

   private:
    friend class CancelKeys;
    struct Entry;
    Told(CancelKeys& keys, std::shared_ptr<Entry> entry) : keys_(&keys), entry_(std::move(entry)) {}

    CancelKeys* keys_;
    std::shared_ptr<Entry> entry_;  // Null once it was moved from.
  };

  // A pair not in use, to be told to the client. It stands for no backend yet. With this pid, if
  // one is given: those of several computes may be the same. Must not outlive this.
  Told add(size_t secret_size = kShortSecret, const std::string& endpoint = {},
           CancelWaiting waiting = {}, uint32_t pid = 0);

  // What a client asks to be interrupted; nullopt if that is nothing, or the key is wrong. To be
  // followed by end() once the request has been delivered.
  std::optional<CancelTarget> begin(const ClientKey& key);
  void end(const ClientKey& key);
  // The client with this key; nullopt if the key is wrong.
  std::optional<WaitingClient> waiting_client(const ClientKey& key);

 private:
  using EntryPtr = std::shared_ptr<Told::Entry>;
  EntryPtr find(const ClientKey& key) REQUIRES(mutex_);

  Mutex mutex_;
  // By the pid that the client was told.
  std::unordered_multimap<uint32_t, EntryPtr> entries_ GUARDED_BY(mutex_);
};

}  // namespace halogen::proxy
