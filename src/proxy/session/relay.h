// relay.h: a replication connection: bytes both ways, with no look at what they say. It cannot be
// moved to another server.
#pragma once
#include "proxy/conversation/message_tracker.h"
#include "proxy/pool/server.h"
#include "proxy/session/client_side.h"

namespace halogen::proxy {

class Relay {
 public:
  Relay(ClientSide& client, ServerPtr server);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  // Until one side ends. Throws Refused where the client has yet to be told why, `cancelled` where
  // the session must end.
  Task<void> carry();
  void cancel() { server_.cancel(); }

 private:
  Task<void> client_to_server();
  Task<void> server_to_client();
  Task<void> carry_from_client();
  Task<void> carry_from_server();

  ClientSide& client_;
  const ServerPtr kept_;
  Stream& server_;
  MessageTracker from_client_;
  MessageTracker from_server_;
  bool upstream_done_ = false;  // client_to_server() has ended.
};

}  // namespace halogen::proxy
