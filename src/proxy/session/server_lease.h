// server_lease.h: the server that works for a session, from when it is got until it is given back.
//
// Invariant: a server changes hands only when nothing of this session is on its way to it, neither
// bytes nor a cancel request. Else the next owner's bytes would be read in the middle of a message,
// or its statement be canceled.
#pragma once
#include <optional>
#include <string_view>

#include "proxy/pool/cancel_keys.h"
#include "proxy/pool/pool.h"
#include "proxy/pool/server.h"
#include "proxy/session/client_side.h"

namespace halogen::proxy {

class ServerLease {
 public:
  explicit ServerLease(ClientSide& client) : client_(client), sent_(client.worker.loop) {}
  ~ServerLease() { drop(); }
  ServerLease(const ServerLease&) = delete;
  ServerLease& operator=(const ServerLease&) = delete;

  // From now on the client's cancel requests are for whatever server there is.
  void set_key(CancelKeys::Told key);
  // Null before one was set.
  const ClientKey* key() const { return key_ ? &key_->key() : nullptr; }

  // `slot`: of a pool's server.
  void take(ServerPtr server, Slot slot);
  explicit operator bool() const { return server_ != nullptr; }
  Server* operator->() const { return server_.get(); }
  Server& operator*() const { return *server_; }
  const ServerPtr& get() const { return server_; }

  // What it takes without waiting leaves `bytes`; true if that is all, or there is no server.
  bool send_at_once(std::string_view& bytes);
  // One after the other. Where it fails, whoever reads from the server will find out.
  Task<void> send(std::string_view bytes);
  bool is_sending() const { return sending_; }

  // Nothing more is sent: the server does what it was asked, and nobody else gets it.
  void finish();
  // To its pool, or closed if that cannot have it. Requires that nothing is_sending().
  void give();
  // It is gone, or of no use.
  void drop();

 private:
  bool point_nowhere();

  ClientSide& client_;
  std::optional<CancelKeys::Told> key_;
  ServerPtr server_;
  Slot slot_;
  bool sending_ = false;
  bool finishing_ = false;
  Event sent_;
};

}  // namespace halogen::proxy
