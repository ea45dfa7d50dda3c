// handshake.h: a client's first packets: encryption, and what it wants.
#pragma once
#include <optional>

#include "postgres/startup.h"
#include "proxy/session/client_side.h"

namespace halogen::proxy {

class Handshake {
 public:
  explicit Handshake(ClientSide& client) : client_(client) {}

  // Private by then. nullopt: it was a cancel request, which has been dealt with. Throws Refused.
  Task<std::optional<startup::Packet>> receive_startup();

 private:
  Task<startup::Packet> receive_packet();
  Task<void> begin_tls();
  void refuse_early_bytes(std::string_view request);
  Task<void> refuse_encryption(bool& before);

  ClientSide& client_;
  bool gss_refused_ = false;
  bool tls_refused_ = false;  // Inside a tunnel.
};

}  // namespace halogen::proxy
